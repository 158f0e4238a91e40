"""Forms made from the configs: a widget per setting, its bounds and words read from the pydantic field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app import sources, widgets, words
from gelda import jobs
from gelda.allocation import ALLOCATIONS
from gelda.augmenters import AUGMENTERS
from gelda.compare_config import UNREAD, CompareConfig, resolve_compare
from gelda.conditions import CONTROLS
from gelda.datasets.options import SourceOptions
from gelda.errors import UserError
from gelda.finetune import FILTERS
from gelda.layer_weights import WEIGHTED
from gelda.recipes import RECIPES
from gelda.sampler import SCHEDULERS

# What a person may want to change before a first run; everything else is a `gelda run --set` away.
DEMO_FIELDS = (
    "seeds",
    "data.imbalance",
    "data.empty_subdomains",
    "generator.steps",
    "sampling.allocation",
    "sampling.weight",
    "sampling.recipe",
    "sampling.guidance_class",
    "sampling.guidance_subdomain",
    "device",
    "precision",
)
# A comparison on a person's own latents: the settings of each protocol beside the common ones.
COMPARE_FIELDS = ("seeds",)
PROTOCOL_FIELDS = {
    "longtail": ("imbalance", "cut"),
    "zero-shot": ("target", "keep", "unlabelled"),
    "few-shot": ("target", "shots", "unlabelled"),
}
# How thorough a comparison is: a preset, what it is called, what it takes, and what it adds to the preset.
EFFORTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "default": (
        "In full",
        "Every method, tuned on validation: 10 to 20 minutes for 10\u202f000 latents on two processor cores.",
        {},
    ),
    "tiny": (
        "Trial",
        "Every stage at its smallest, in a minute or two: it shows the way, its figures mean nothing.",
        {"map": True},
    ),
}
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
TITLES: dict[str, dict[str, str]] = {
    "sampling.allocation": {name: spec.title for name, spec in ALLOCATIONS.items()},
    "sampling.recipe": {name: spec.title for name, spec in RECIPES.items()},
    "protocol": {"longtail": "Long tail", "zero-shot": "Zero-shot", "few-shot": "Few-shot"},
    "emotions": {"own": "as the data name them", "joined": "one name each", "four": "the common four only"},
    "cut": {"class": "classes", "cell": "cells (class, subdomain)", "given": "the data's own split"},
}


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
        tall = any(isinstance(_field(defaults, name)[1], tuple | dict) for name in row)
        align = "top" if tall or explained else "bottom"
        columns = st.columns(across, gap="medium", vertical_alignment=align)
        for column, name in zip(columns, row, strict=False):
            field, default = _field(defaults, name)
            with column:
                value = _widget(
                    name, field, default, (options or {}).get(name), f"{prefix}.{name}", not explained
                )
                if explained:
                    widgets.note(words.safe(field.description or ""))
            if value != default:
                *sections, last = name.split(".")
                here = changed
                for section in sections:
                    here = here.setdefault(section, {})
                here[last] = value
    return changed


def start_comparison(label: str, bank: str = "", disabled: bool = False, **look: Any) -> str | None:
    """A popover with the form of a new comparison, `bank` filled in; the run's id once it was started."""
    prefix = f"compare-{bank}" if bank else "compare"
    started = st.session_state.get("_started", 0)  # a new key closes what was open when a run has begun
    with st.popover(label, key=f"{prefix}.popover.{started}", **look):
        values, effort = comparison(prefix, bank)
        wrong = problem(values, effort)
        if wrong:
            st.warning(wrong)
        idle = disabled or bool(wrong) or not values["bank"]
        pressed = st.button("Compare", type="primary", disabled=idle, key=f"{prefix}.start")
        if disabled:
            widgets.note("A run is going: this one can be started when it has finished.")
        if not pressed:
            return None
        try:
            with st.spinner("Reading the latents"):
                run = jobs.start_comparison(values, effort)
        except UserError as error:
            st.warning(str(error))
            return None
        st.session_state["_started"] = started + 1
        return run


def comparison(prefix: str = "compare", bank: str = "") -> tuple[dict[str, Any], str]:
    """The form of a new comparison: bank, protocol, what it needs; what is to be started, and its preset."""
    fields = CompareConfig.model_fields
    if not bank:
        bank = st.text_input(
            "Latents", key=f"{prefix}.bank", placeholder="/path/to/latents.npz",
            help="A bank folder, or a file of latents: z_<layer>, y, class_names and, for a transfer, "
            "subdomain and subdomain_names.",
        ).strip()  # fmt: skip
    with st.container(horizontal=True, gap="medium"):
        protocol = st.segmented_control(
            "Protocol", get_args(fields["protocol"].annotation), default="longtail", key=f"{prefix}.protocol",
            required=True, format_func=TITLES["protocol"].get, help=fields["protocol"].description,
        )  # fmt: skip
        effort = st.segmented_control(
            "How thorough", list(EFFORTS), default="default", key=f"{prefix}.effort", required=True,
            format_func=lambda name: EFFORTS[name][0],
        )  # fmt: skip
    _, takes, added = EFFORTS[effort]
    widgets.note(takes)
    base = {"bank": bank, "protocol": protocol, **added}
    defaults = resolve_compare({**base, "bank": bank or "-"}, effort)
    prefix = prefix if effort == "default" else f"{prefix}-{effort}"  # each with defaults of its own
    named = _named(bank)
    changed = settings((*PROTOCOL_FIELDS[protocol], *COMPARE_FIELDS), defaults, named, prefix)
    with st.expander("Expert settings"):
        chosen = st.multiselect(
            "Settings to change", expert_fields(), format_func=lambda name: _titled(defaults, name),
            key=f"{prefix}.expert", placeholder="Any other setting, by name or title",
        )  # fmt: skip
        further = settings(chosen, defaults, {"methods": tuple(AUGMENTERS), **named}, prefix)
    return {**base, **changed, **further}, effort


def _named(bank: str) -> dict[str, Sequence[str]]:
    """Names that the latents' own classes, subdomains and layers give to settings; none where they cannot be
    read."""
    if not bank:
        return {}
    try:
        look = sources.look(bank, SourceOptions())
    except UserError:
        return {}  # said when the comparison is to be started
    classes, subdomains = look.names
    layers = dict(look.bank.layers) if look.bank else {}
    summed = [WEIGHTED] * (len(layers) > 1 and len(set(layers.values())) == 1)
    named = {"adapter.fm_layer": ("auto", *layers, *summed)} if layers else {}
    return {"target": subdomains, "keep": classes, "classes": classes, **named}


def problem(values: dict[str, Any], effort: str) -> str:
    """What is wrong with a comparison's settings in themselves, in a sentence; "" where nothing is."""
    try:
        resolve_compare({**values, "bank": values["bank"] or "-"}, effort)
    except UserError as error:
        return str(error)
    return ""


def expert_fields() -> list[str]:
    """Every setting that a comparison reads and the short form leaves out, dotted."""
    shown = {
        "name",
        "bank",
        "protocol",
        *COMPARE_FIELDS,
        *(n for names in PROTOCOL_FIELDS.values() for n in names),
    }
    found = []
    for name, field in CompareConfig.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found += [f"{name}.{own}" for own in section.model_fields if own not in UNREAD.get(name, ())]
        elif name not in shown:
            found.append(name)
    return found


def _titled(config: BaseModel, name: str) -> str:
    title = _field(config, name)[0].title
    return f"{name}: {title}" if title else name


def _field(config: BaseModel, name: str) -> tuple[FieldInfo, Any]:
    *sections, last = name.split(".")
    owner = config
    for section in sections:
        owner = getattr(owner, section)
    return type(owner).model_fields[last], getattr(owner, last)


def _widget(
    name: str, field: FieldInfo, default: Any, offered: Sequence[str] | None, key: str, helped: bool = True
) -> Any:
    told = (field.description or None) if helped else None
    label = field.title or name.split(".")[-1].replace("_", " ").capitalize()
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
        shown = TITLES.get(name.removeprefix("paper_"), {})
        return st.selectbox(
            label, options, options.index(default), lambda o: shown.get(o, o), help=told, key=key
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
        return tuple(part if one_a_line else _read(part) for part in parts if part)
    if get_origin(field.annotation) in (Union, UnionType):
        text = st.text_input(label, "" if default is None else str(default), help=told, key=key).strip()
        return None if not text else text if set(kinds) == {str, type(None)} else _read(text)
    low, high = _bounds(field)
    step: Any = 1 if isinstance(default, int) else 0.1
    kind = type(default)
    return st.number_input(
        label,
        min_value=None if low is None else kind(low),
        max_value=None if high is None else kind(high),
        value=default,
        step=step,
        help=told,
        key=key,
    )


def _pairs(text: str) -> dict[str, str | None]:
    rows = [line.split("=", 1) for line in text.splitlines() if "=" in line]
    return {key.strip(): value.strip() or None for key, value in rows}


def _read(text: str) -> Any:
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
