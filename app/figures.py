"""Charts on a page: one save button each, and a title for readers of the screen."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import charts, state, words

FORMS = {"svg": "SVG", "png": "PNG"}


def bind() -> None:
    """Hold in the URL the form that charts are saved in; call it before the first chart of a page."""
    state.bind("charts", "svg", list(FORMS))


def form_picker() -> None:
    """The choice of the form, once a page, where its exports are."""
    st.segmented_control("Charts save as", list(FORMS), key="charts", required=True, format_func=FORMS.get)


def show(figure: Any, name: str, on_select: Any = "ignore") -> None:
    """A chart with its save button and its title for screen readers."""
    st.plotly_chart(
        figure,
        theme=None,
        config=charts.config(name, st.session_state.get("charts") or "svg"),
        key=f"chart-{name}",
        alt=words.plain(figure.layout.title.text),
        on_select=on_select,
        selection_mode="points",
    )
