"""A grid of one's own: settings to vary, their values, and what it takes before it starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import streamlit as st

from app import widgets, words
from app.fields import CHOICES, field_of, read
from gelda import grids, setting_words, studies
from gelda.config import RunConfig
from gelda.errors import UserError

SECTIONS = ("sampling", "generator", "adapter")
FACTORS = 3  # interactions of more than two are not told, and settings multiply
NOTED = "At least 5 seeds for a claim: with fewer, nothing is told apart."


def view(base: RunConfig, start: Callable[[dict[str, Any]], None]) -> None:
    """The form; `start` is called with the grid (`grids.from_spec`) when it is to be run."""
    st.subheader("A grid of your own")
    chosen = st.multiselect(
        "Settings to vary", varied(base), key="grid_factors", max_selections=FACTORS,
        format_func=lambda name: f"{_named(name)} ({name})", placeholder="Two or three, by name or title",
    )  # fmt: skip
    if not chosen:
        widgets.note(
            "Every combination of their values is run and compared to the first one; then what each setting "
            "does by itself, and what two do together."
        )
        return
    factors = {}
    for column, name in zip(st.columns(len(chosen), gap="large"), chosen, strict=True):
        with column:
            factors[name] = _values(base, name)
    few = [_title(name) for name, values in factors.items() if len(values) < 2]
    if few:
        widgets.note(f"Give two values or more of: {words.safe(words.listed(few))}.")
        return
    grid = {"title": "A grid of your own", "question": question(list(factors)), "factors": factors}
    try:
        study, _ = grids.from_spec(grid, "The grid")
        takes = studies.shape(study, base)
    except UserError as error:
        widgets.warn(error)
        return
    widgets.note(outlook([len(values) for values in factors.values()], takes))
    with st.container(horizontal=True):
        st.button("Run the grid", key="grid_run", on_click=lambda: start({**grid, "factors": _typed(chosen)}))
        text = json.dumps({**grid, "config": {"seeds": base.seeds}}, indent=1) + "\n"
        st.download_button("Save it", text, "grid.json", "application/json", on_click="ignore",
                           help="For gelda ablate grid.json, on this machine or another one.")  # fmt: skip


def varied(base: RunConfig) -> list[str]:
    """Dotted settings that a grid can vary: one value each, and no change of what is tested."""
    return [
        f"{section}.{name}"
        for section in SECTIONS
        for name, value in getattr(base, section)
        if not isinstance(value, tuple | dict)
    ]


def question(names: list[str]) -> str:
    """ "What do class guidance and weight of a synthetic latent do, alone and together?" """
    titles = [_title(name) for name in names]
    return f"What {'do' if len(titles) > 1 else 'does'} {words.listed(titles)} do" + (
        ", alone and together?" if len(titles) > 1 else "?"
    )


def outlook(levels: list[int], takes: dict[str, Any]) -> str:
    """What a grid takes, before it starts."""
    product = " × ".join(map(str, levels))
    return (
        f"{product} settings and one without synthetic latents, {words.count(takes['seeds'], 'seed')} each: "
        f"{words.thousands(takes['runs'])} runs, {words.thousands(takes['generators'])} generators to train; "
        f"about {words.duration(round(takes['seconds'], -1))} on an idle core. The first value of each is "
        "the reference."
    )


def parsed(text: str) -> list[Any]:
    """ "0.1, 0.3": values as `--set` reads them, each once."""
    found = [read(part.strip()) for part in text.split(",") if part.strip()]
    return [value for place, value in enumerate(found) if value not in found[:place]]


def _title(name: str) -> str:
    return setting_words.setting(name)


def _named(name: str) -> str:
    """A setting's title where a sentence or a label begins."""
    return _title(name)[0].upper() + _title(name)[1:]


def _typed(names: list[str]) -> dict[str, list[Any]]:
    """Values of the fields at a click: typed, and clicked at once, they are ahead of the page."""
    typed = {name: st.session_state[f"grid.{name}"] for name in names}
    return {name: parsed(value) if isinstance(value, str) else value for name, value in typed.items()}


def _values(base: RunConfig, name: str) -> list[Any]:
    field, default = field_of(base, name)
    title, told, key = _named(name), field.description, f"grid.{name}"
    options = list(CHOICES.get(name) or [o for o in get_args(field.annotation) if isinstance(o, str)])
    if isinstance(default, bool):
        said = {True: "on", False: "off"}
        return st.multiselect(title, [True, False], [default], said.get, help=told, key=key)
    if options:
        first = [default] if default in options else []
        return st.multiselect(
            title, options, first, lambda o: setting_words.choice(name, o), help=told, key=key
        )
    about = f"{told or ''} Values with commas between them; the first is the reference."
    return parsed(st.text_input(title, "" if default is None else str(default), help=about, key=key,
                                placeholder="0.1, 0.3, 1"))  # fmt: skip
