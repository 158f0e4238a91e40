"""EXPLORE_PANELS: what can be opened below the map. One entry and one function `view(explored)` a panel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from app import selection_view, state
from app.explored import Explored


@dataclass(frozen=True)
class Panel:
    """title: on its tab; view: draws it; without_map: whether it makes sense before a map exists."""

    title: str
    view: Callable[[Explored], None]
    without_map: bool = False


PANELS: dict[str, Panel] = {
    "selection": Panel("Selection", selection_view.view),
}


def view(explored: Explored) -> None:
    """The tabs and the one panel that is open; its name is in the URL."""
    offered = {name: p for name, p in PANELS.items() if explored.info is not None or p.without_map}
    if not offered:
        return
    state.bind("panel", next(iter(offered)), list(offered))
    if len(offered) > 1:
        st.segmented_control(
            "Below the map", list(offered), key="panel", required=True, label_visibility="collapsed",
            format_func=lambda name: offered[name].title,
        )  # fmt: skip
    offered[state.value("panel")].view(explored)
