"""The settings of a run as a form: the few that matter, and all others folded away by what they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from pydantic import BaseModel

from app import fields, widgets, words
from gelda import setting_words
from gelda.augmenters import AUGMENTERS
from gelda.config import RunConfig, flat, merged, resolve_config
from gelda.datasets.digits import CONDITIONS

MAIN = (
    "seeds",
    "sampling.allocation",
    "sampling.allocation_factor",
    "sampling.weight",
    "sampling.guidance_class",
    "sampling.guidance_subdomain",
)
FIXED = ("data.dataset", "encoder.name")  # a preset is about these
OPTIONS = {"data.empty_subdomains": tuple(CONDITIONS), "methods": tuple(AUGMENTERS)}
SECTIONS = {
    "data": "What is made scarce",
    "generator": "The denoiser and its training",
    "sampling": "Drawing and using synthetic latents",
    "adapter": "Adapter and heads",
    "paper_sampling": "Drawing for the paper’s form",
    "projection": "The map",
    "": "The run: its name, methods, device",
}


def view(preset: str) -> dict[str, Any]:
    """The form of a preset; what was changed of it, nested as in a spec."""
    defaults, prefix = resolve_config(preset=preset), _prefix(preset)
    with st.container(key="main"):
        changed = fields.settings(MAIN, defaults, OPTIONS, prefix, explained=True)
    st.subheader("Every other setting")
    with st.container(key="folded"):
        for section, title in SECTIONS.items():
            names = folded(section)
            with st.expander(title, key=f"{prefix}-fold-{section or 'run'}"):
                own = fields.settings(names, defaults, OPTIONS, prefix, explained=True)
            told = differences(own, defaults)
            if told:
                widgets.note(f"{len(told)} changed: {words.safe('; '.join(told))}.")
            changed = merged(changed, own)
    return changed


def folded(section: str) -> list[str]:
    """Dotted settings of a section of a run's config, or ("") those outside of any, that are folded away."""
    models = {
        name: field.annotation
        for name, field in RunConfig.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    if section:
        names = [f"{section}.{name}" for name in models[section].model_fields]
    else:
        names = [name for name in RunConfig.model_fields if name not in models]
    return [name for name in names if name not in (*MAIN, *FIXED)]


def reset(preset: str, changed: Mapping[str, Any]) -> None:
    """How many settings differ from the preset, and the way back to it; nothing where none does."""
    if not changed:
        return
    told = differences(changed, resolve_config(preset=preset))
    with st.container(horizontal=True, vertical_alignment="center"):
        widgets.note(f"{words.count(len(told), 'setting')} changed from the preset.")
        st.button("Back to the preset", type="tertiary", on_click=_again, args=(preset,))


def differences(changed: Mapping[str, Any], defaults: BaseModel) -> list[str]:
    """What was changed, one phrase a setting: "Diffusion training steps 60 (500)"."""
    return [
        f"{setting_words.beside(fields.title(name, defaults), _told(name, value))} "
        f"({_told(name, fields.field_of(defaults, name)[1])})"
        for name, value in flat(changed).items()
    ]


def _told(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "none"
    return setting_words.choice(name, words.minus(str(value))) if value not in (None, "") else "none"


def _prefix(preset: str) -> str:
    """Of the widgets' keys; another one after a way back, for a widget keeps what was typed into it."""
    times = st.session_state.get(f"_back-{preset}", 0)
    return f"generate-{preset}-{times}" if times else f"generate-{preset}"


def _again(preset: str) -> None:
    st.session_state[f"_back-{preset}"] = st.session_state.get(f"_back-{preset}", 0) + 1
