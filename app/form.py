"""The form of a comparison on ready latents, which stands on Generate; other pages lead there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import streamlit as st
from pydantic import BaseModel

from app import sources, widgets
from app.fields import field_of, settings
from gelda.augmenters import AUGMENTERS
from gelda.compare_config import UNREAD, CompareConfig, resolve_compare
from gelda.datasets.options import SourceOptions
from gelda.errors import UserError
from gelda.setting_words import choice
from gelda.settings import WEIGHTED

# A comparison on a person's own latents: the settings of each protocol beside the common ones.
COMPARE_FIELDS = ("seeds",)
PROTOCOL_FIELDS = {
    "longtail": ("imbalance", "cut"),
    "zero-shot": ("target", "keep", "unlabelled"),
    "few-shot": ("target", "shots", "unlabelled"),
}
PROTOCOLS = {
    "longtail": "Training items are thinned, so that classes run from many to few; all are tested alike.",
    "zero-shot": "One subdomain keeps training items of one class only, and is tested on all classes.",
    "few-shot": "One subdomain keeps a few training items of each class, and is tested on all classes.",
}
# How thorough a comparison is: a preset, what it is called, what it takes, and what it adds to the preset.
EFFORTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "default": (
        "In full",
        "Every method, its settings tuned on validation.",
        {},
    ),
    "tiny": (
        "Trial",
        "Every stage at its smallest: it shows the way, its figures mean nothing.",
        {"map": True},
    ),
}


def comparison(bank: str) -> tuple[dict[str, Any], str]:
    """The form of a comparison on these latents: protocol, what it needs; what is to be started, and its
    preset."""
    fields, prefix = CompareConfig.model_fields, f"compare-{bank}"
    with st.container(horizontal=True, gap="medium"):
        protocol = st.segmented_control(
            "Protocol", get_args(fields["protocol"].annotation), default="longtail", key=f"{prefix}.protocol",
            required=True, format_func=lambda name: choice("protocol", name),
        )  # fmt: skip
        effort = st.segmented_control(
            "How thorough", list(EFFORTS), default="default", key=f"{prefix}.effort", required=True,
            format_func=lambda name: EFFORTS[name][0],
        )  # fmt: skip
    _, takes, added = EFFORTS[effort]
    widgets.note(f"{PROTOCOLS[protocol]} {takes}")
    base = {"bank": bank, "protocol": protocol, **added}
    defaults = resolve_compare(base, effort)
    prefix = prefix if effort == "default" else f"{prefix}-{effort}"  # each with defaults of its own
    named = _named(bank)
    with st.container(key="main"):
        names = (*PROTOCOL_FIELDS[protocol], *COMPARE_FIELDS)
        changed = settings(names, defaults, named, prefix, explained=True)
    with st.expander("Expert settings"):
        chosen = st.multiselect(
            "Settings to change", expert_fields(), format_func=lambda name: _titled(defaults, name),
            key=f"{prefix}.expert", placeholder="Any other setting, by name or title",
        )  # fmt: skip
        further = settings(chosen, defaults, {"methods": tuple(AUGMENTERS), **named}, prefix, explained=True)
    return {**base, **changed, **further}, effort


def _named(bank: str) -> dict[str, Sequence[str]]:
    """Names that the latents' own classes, subdomains and layers give to settings; none where they cannot be
    read."""
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
        resolve_compare(values, effort)
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
    title = field_of(config, name)[0].title
    return f"{name}: {title}" if title else name
