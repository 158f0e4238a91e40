"""EXPLORE_PANELS: what can be opened below the map. One entry and one function `view(explored)` a panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from app import (
    between_view,
    columns_view,
    edit_view,
    maps_view,
    neighbours_view,
    scrubber_view,
    selecting,
    selection_view,
    state,
    words,
)
from app.explored import Explored
from gelda import runs

# A link to a panel shows it: more than a screen's height may stand above it, and that grows and shrinks while
# the page is drawn.
SHOW = """
(() => {
  let left = 60;
  const show = () => {
    const tabs = document.querySelector('[class*="st-key-panel"]');
    const top = tabs?.getBoundingClientRect().top;
    if (top > 100 || top < 40) tabs.scrollIntoView({ block: "start" });
    if (left--) setTimeout(show, 150);
  };
  const stop = () => { left = 0; };
  for (const act of ["wheel", "pointerdown", "keydown"]) addEventListener(act, stop, { once: true });
  show();
})();
"""

_SHOWN = "_panel_shown"  # set where a click has opened a panel that may lie out of view


@dataclass(frozen=True)
class Panel:
    """title: on its tab; view: draws it; without_map: whether it makes sense before a map exists.

    lines: pairs of rows ``[M, 2]`` that the map joins while the panel is open.
    """

    title: str
    view: Callable[[Explored], None]
    without_map: bool = False
    lines: Callable[[Explored], np.ndarray] | None = None


PANELS: dict[str, Panel] = {
    "selection": Panel("Selection", selection_view.view, without_map=True),
    "columns": Panel("Columns", columns_view.view, without_map=True),
    "neighbours": Panel("Nearest neighbours", neighbours_view.view, True, neighbours_view.lines),
    "edit": Panel("Edit and refit", edit_view.view, without_map=True),
    "maps": Panel("Maps", maps_view.view, without_map=True),
    "scrubber": Panel("Out of noise", scrubber_view.view),
    "between": Panel("Between two cells", between_view.view),
}


def bind(explored: Explored) -> list[str]:
    """The panels that make sense now; which of them is open is in the URL, and the map must know it."""
    offered = [name for name, panel in PANELS.items() if explored.info is not None or panel.without_map]
    state.bind("panel", offered[0], offered)
    return offered


def lines(explored: Explored) -> np.ndarray | None:
    """What the open panel wants joined on the map."""
    wanted = PANELS[state.value("panel")].lines
    return wanted(explored) if wanted else None


def view(explored: Explored, offered: Sequence[str]) -> None:
    """The tabs and the one panel that is open."""
    st.segmented_control(
        "Below the map", offered, key=state.key("panel"), required=True, label_visibility="collapsed",
        format_func=lambda name: PANELS[name].title,
    )  # fmt: skip
    if state.asked("panel") or st.session_state.pop(_SHOWN, False):
        st.html(f"<script>{SHOW}</script>", unsafe_allow_javascript=True)
    PANELS[state.value("panel")].view(explored)


def for_cell(explored: Explored, classes: Sequence[int], subdomains: Sequence[int]) -> None:
    """What can be done with what the grid was clicked for: select it, and generate into one cell."""
    if not (classes or subdomains):
        return
    rows = np.flatnonzero(explored.visible)
    cell = len(classes) == 1 and (len(subdomains) == 1 or len(explored.subdomains) == 1)
    what = "this cell" if cell else f"these {words.count(len(rows), 'point')}"
    st.button(
        f"Select {what}",
        on_click=selecting.pick,
        args=(explored.run.id, rows, "grid"),
        disabled=not len(rows),
    )
    if cell and "edit" in PANELS and not runs.readonly():
        names = explored.classes[classes[0]], explored.subdomains[subdomains[0] if subdomains else 0]
        st.button("Generate into this cell", on_click=_generate, args=("|".join(names),))


def show(panel: str) -> None:
    """Open a panel and bring it into view; for a button that stands far from it."""
    state.put("panel", panel)
    st.session_state[_SHOWN] = True


def _generate(cell: str) -> None:
    show("edit")
    state.put("edit_cell", cell)
