"""Widgets made from the configs: one a setting, its bounds and words read from the pydantic field."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app import widgets, words
from gelda.allocation import ALLOCATIONS
from gelda.compositions import CONTROLS
from gelda.filters import FILTERS
from gelda.recipes import RECIPES
from gelda.schedulers import SCHEDULERS
from gelda.setting_words import choice
from gelda.settings import FORMS

CHOICES: dict[str, Sequence[str]] = {
    "device": ("auto", "cpu", "cuda", "mps"),
    "precision": ("auto", "fp32", "bf16"),
    "sampling.allocation": tuple(ALLOCATIONS),
    "sampling.recipe": tuple(RECIPES),
    "sampling.filter": tuple(FILTERS),
    "sampling.scheduler": tuple(SCHEDULERS),
    "generator.condition_control": tuple(CONTROLS),
}
CHOICES |= {f"paper_{name}": names for name, names in CHOICES.items() if name.startswith("sampling.")}
# What a choice means: stands under it in the place of a list of all choices
NOTES: dict[str, dict[str, str]] = {
    "sampling.allocation": {name: spec.note for name, spec in ALLOCATIONS.items()},
    "sampling.recipe": {name: spec.note for name, spec in RECIPES.items()},
    "sampling.filter": {name: spec.note for name, spec in FILTERS.items()},
    "sampling.scheduler": {name: spec.note for name, spec in SCHEDULERS.items()},
    "generator.form": {
        "auto": "Plain in a run; chosen by validation in a comparison.",
        **{name: f"{note[:1].upper()}{note[1:]}." for name, note in FORMS.items()},
    },
    "cut": {
        "class": "Whole classes are thinned, from many items to few.",
        "cell": "Each class is thinned in each subdomain by itself.",
        "given": "Nothing is thinned: the data's own split is long-tailed.",
    },
    "device": {
        "auto": "A GPU where there is one.", "cpu": "Everything on the processor.",
        "cuda": "The first NVIDIA GPU.", "mps": "The GPU of an Apple computer.",
    },
    "precision": {
        "auto": "16 bits where the device is fast at it.", "fp32": "Exact, and slower on most devices.",
        "bf16": "Half the memory; the weights themselves stay at 32 bits.",
    },
}  # fmt: skip


def settings(
    names: Sequence[str],
    defaults: BaseModel,
    options: dict[str, Sequence[str]] | None = None,
    prefix: str = "set",
    across: int = 2,
    explained: bool = False,
) -> dict[str, Any]:
    """Draw a widget for each dotted setting of a config; returns only what differs from `defaults`, nested.

    `options` gives the names that can be chosen for settings that hold one or several names. What a setting
    means is in its help, or, `explained`, in a line under it.
    """
    changed: dict[str, Any] = {}
    for first in range(0, len(names), across):  # row by row: a tall widget must not push a column down
        row = names[first : first + across]
        tall = any(isinstance(field_of(defaults, name)[1], tuple | dict) for name in row)
        align = "top" if tall or explained else "bottom"
        columns = st.columns(across, gap="medium", vertical_alignment=align)
        for column, name in zip(columns, row, strict=False):
            field, default = field_of(defaults, name)
            with column:
                value = _widget(
                    name, field, default, (options or {}).get(name), f"{prefix}.{name}", not explained
                )
                if explained:
                    notes = NOTES.get(name.removeprefix("paper_"), {})
                    widgets.note(words.safe(notes.get(str(value)) or field.description or ""))
            if value != default:
                *sections, last = name.split(".")
                here = changed
                for section in sections:
                    here = here.setdefault(section, {})
                here[last] = value
    return changed


def field_of(config: BaseModel, name: str) -> tuple[FieldInfo, Any]:
    """The field of a dotted setting, and its value in a config."""
    *sections, last = name.split(".")
    owner = config
    for section in sections:
        owner = getattr(owner, section)
    return type(owner).model_fields[last], getattr(owner, last)


def title(name: str, config: BaseModel) -> str:
    """What a dotted setting is called on a form."""
    return _title(name, field_of(config, name)[0])


def _title(name: str, field: FieldInfo) -> str:
    return field.title or name.split(".")[-1].replace("_", " ").capitalize()


def _widget(
    name: str, field: FieldInfo, default: Any, offered: Sequence[str] | None, key: str, helped: bool = True
) -> Any:
    told = (field.description or None) if helped else None
    label = _title(name, field)
    if offered is not None and isinstance(default, str):
        first = offered.index(default) if default in offered else None
        return st.selectbox(label, offered, first, placeholder="Choose", help=told, key=f"{key}.one") or ""
    if offered is not None:
        return tuple(st.multiselect(label, offered, default=list(default), help=told, key=key))
    if isinstance(default, bool):
        return st.toggle(label, default, help=told, key=key)
    literal = tuple(o for o in get_args(field.annotation) if isinstance(o, str))
    if name in CHOICES or literal:
        options = list(CHOICES.get(name, literal))
        return st.selectbox(
            label, options, options.index(default), lambda o: choice(name, o), help=told, key=key
        )
    kinds = get_args(field.annotation)
    if isinstance(default, str):
        text = st.text_input(label, default, help=told, key=key).strip()
        return text or (None if type(None) in kinds else "")
    if isinstance(default, dict):
        lines = "\n".join(f"{name} = {value or ''}" for name, value in default.items())
        return _pairs(st.text_area(label, lines, help=f"{told or ''} One a line: name = value.", key=key))
    if isinstance(default, tuple):
        one_a_line = kinds[0] is str
        text = ("\n" if one_a_line else ", ").join(map(str, default))
        text = (st.text_area if one_a_line else st.text_input)(label, text, help=told, key=key)
        parts = [part.strip() for part in (text.splitlines() if one_a_line else text.split(","))]
        return tuple(part if one_a_line else read(part) for part in parts if part)
    if get_origin(field.annotation) in (Union, UnionType):
        text = st.text_input(label, "" if default is None else str(default), help=told, key=key).strip()
        return None if not text else text if set(kinds) == {str, type(None)} else read(text)
    low, high = _bounds(field)
    kind = type(default)
    step: Any = 1 if kind is int else _step(default)
    return st.number_input(
        label,
        min_value=None if low is None else kind(low),
        max_value=None if high is None else kind(high),
        value=default,
        step=step,
        format=None if kind is int else "%g",  # two decimals would show a rate of 0.0015 as nothing
        help=told,
        key=key,
    )


def _pairs(text: str) -> dict[str, str | None]:
    rows = [line.split("=", 1) for line in text.splitlines() if "=" in line]
    return {key.strip(): value.strip() or None for key, value in rows}


def read(text: str) -> Any:
    """A number where it is one, as `--set` reads it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    low = high = None
    for rule in field.metadata:
        low = getattr(rule, "ge", getattr(rule, "gt", low))
        high = getattr(rule, "le", getattr(rule, "lt", high))
    return low, high


def _step(default: float) -> float:
    """A tenth; for smaller settings a tenth of their own size, as a power of ten."""
    return 0.1 if default >= 0.1 or default <= 0 else 10.0 ** (math.floor(math.log10(default)) - 1)
