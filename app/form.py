"""Forms made from the configs: a widget per setting, its bounds and words read from the pydantic field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gelda.allocation import ALLOCATIONS
from gelda.config import RunConfig, resolve_config
from gelda.recipes import RECIPES

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
CHOICES: dict[str, Sequence[str]] = {
    "device": ("auto", "cpu", "cuda", "mps"),
    "precision": ("auto", "fp32", "bf16"),
    "sampling.allocation": tuple(ALLOCATIONS),
    "sampling.recipe": tuple(RECIPES),
}
TITLES: dict[str, dict[str, str]] = {
    "sampling.allocation": {name: spec.title for name, spec in ALLOCATIONS.items()},
    "sampling.recipe": {name: spec.title for name, spec in RECIPES.items()},
}


def settings(
    names: Sequence[str], many: dict[str, Sequence[str]], preset: str = "digits", prefix: str = "set"
) -> dict[str, Any]:
    """Draw a widget for each dotted setting; returns only what differs from the preset, nested.

    `many` gives the options of settings that hold several names.
    """
    defaults = resolve_config(preset=preset)
    changed: dict[str, Any] = {}
    halves = st.columns(2, gap="medium")
    for place, name in enumerate(names):
        field, default = _field(defaults, name)
        with halves[place % 2]:
            value = _widget(name, field, default, many.get(name), f"{prefix}.{name}")
        if value != default:
            *sections, last = name.split(".")
            here = changed
            for section in sections:
                here = here.setdefault(section, {})
            here[last] = value
    return changed


def _field(config: RunConfig, name: str) -> tuple[FieldInfo, Any]:
    *sections, last = name.split(".")
    owner: BaseModel = config
    for section in sections:
        owner = getattr(owner, section)
    return type(owner).model_fields[last], getattr(owner, last)


def _widget(name: str, field: FieldInfo, default: Any, many: Sequence[str] | None, key: str) -> Any:
    words = field.description or ""
    label = field.title or name.split(".")[-1].replace("_", " ").capitalize()
    if many is not None:
        return tuple(st.multiselect(label, many, default=list(default), help=words, key=key))
    if name in CHOICES:
        options = list(CHOICES[name])
        shown = TITLES.get(name, {})
        return st.selectbox(
            label, options, options.index(default), lambda o: shown.get(o, o), help=words, key=key
        )
    low, high = _bounds(field)
    step: Any = 1 if isinstance(default, int) else 0.1
    kind = type(default)
    return st.number_input(
        label,
        min_value=None if low is None else kind(low),
        max_value=None if high is None else kind(high),
        value=default,
        step=step,
        help=words,
        key=key,
    )


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    low = high = None
    for rule in field.metadata:
        low = getattr(rule, "ge", getattr(rule, "gt", low))
        high = getattr(rule, "le", getattr(rule, "lt", high))
    return low, high
