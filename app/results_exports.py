"""Results to take along: the report in every form, and the form that charts are saved in."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import figures, widgets
from gelda import card, runs

TITLES = {"csv": "CSV", "md": "Markdown", "latex": "LaTeX", "json": "JSON", "card": "Card"}
MIMES = {"csv": "text/csv", "md": "text/markdown", "json": "application/json", "card": "text/markdown"}


def view(run: runs.RunState, report: dict[str, Any]) -> None:
    """A button a form; the text is made when it is pressed."""
    st.subheader("Take it with you")
    with st.container(horizontal=True):
        for form, title in TITLES.items():
            suffix, make = card.FORMATS[form]
            name, mime = f"{run.id}.{suffix}", MIMES.get(form, "text/plain")
            st.download_button(
                title, lambda make=make: make(report), name, mime, key=f"take-{form}", on_click="ignore"
            )
    widgets.note(
        "The card tells in two pages what the run was for, its data, figures and limits, and the "
        "command that makes it again."
    )
    figures.form_picker()
    widgets.note("A chart’s camera, at its upper right, saves it.")
