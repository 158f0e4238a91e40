"""The WebGL component of the map, and the plotly figure where a browser has no WebGL2.

What a person changes often (colours, what is visible and selected) comes with each message; what a run or a
map fixes lies in blocks at addresses named by their content, which a browser fetches once: a filter of
200 000 points sends 0.4 MB and not 7. The component (assets/map) returns a polygon in map coordinates or
one row number; the points inside are found in numpy, so nothing large travels up.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app import charts, components, loading, pictures, state, words
from app.map_data import Drawn, Layout, blocks, digest, drawn, inside, labels_at_modes, pack

TALL, TALLEST = "100vh - 26rem", 900  # a window also holds a headline, a legend, the layers and the search
_component = components.declare("map", "map", "map/map.css", "map/points.js", "map/map.js")


def draw(
    layout: Layout,
    *,
    key: str,
    height: int,
    run: Path,
    on_pick: Callable[[dict[str, Any]], None] | None = None,
    tall: bool = False,
) -> int:
    """Show the map; `on_pick` receives ``{"polygon"}``, ``{"row", "more"}`` or ``{"clear"}``.

    height: in pixels; with `tall`, at least that, and what room the window has.
    Returns how many points are drawn: fewer than are in view where those are more than `map_data.MOST`.
    """
    held = st.session_state.get(key)
    fallback = bool(held and held.get("fallback"))
    if fallback:
        _draw_plain(layout, key, height, on_pick)
    some = drawn(layout)
    if len(some.rows) == len(layout.points):
        parts = _whole((run, loading.points_stamp(run), digest(layout)), layout, some)
    else:
        parts = blocks(layout, some.rows)
    addresses = {name: components.publish(part, f"{key}-{name}") for name, part in parts.items()}

    def picked() -> None:
        event = st.session_state[key].get("pick")
        if event and on_pick and state.fresh(key, event):
            on_pick(event)

    def missing() -> None:
        st.session_state[f"{key}-asked"] = st.session_state.get(f"{key}-asked", 0) + 1

    message = pack(
        layout,
        some,
        addresses=addresses,
        interactive=on_pick is not None,
        asked=st.session_state.get(f"{key}-asked", 0),
        height=f"clamp({height}px, {TALL}, {TALLEST}px)" if tall else f"{height}px",
    )
    _component(
        key=key,
        data=components.numbered(key, message),
        height=1 if fallback else "content" if tall else height,
        default={"fallback": False},
        on_pick_change=picked,
        on_missing_change=missing,
        on_fallback_change=lambda: None,
    )
    pictures.bring(run, layout.run, f"{key}-pictures")
    return int(some.shown.sum())


@st.cache_resource(max_entries=12, show_spinner=False)
def _whole(key: tuple[Path, int, str], _layout: Layout, _some: Drawn) -> dict[str, bytes]:
    """The blocks of all points of a map: packing them anew costs more than finding that they are the same."""
    return blocks(_layout, _some.rows)


def _draw_plain(
    layout: Layout, key: str, height: int, on_pick: Callable[[dict[str, Any]], None] | None
) -> None:
    """A sample drawn by plotly, with its lasso and box: their polygons select as the map's own do."""
    in_view = np.flatnonzero(layout.visible & np.isfinite(layout.xy[:, 0]))
    rows = charts.stratified(layout.points, in_view)
    st.caption(
        f"This browser offers no WebGL2, so the map is a plain one of {words.thousands(len(rows))} of "
        f"{words.thousands(len(in_view))} points, from every class and subdomain. Drag to select: all points "
        "inside are meant, also those not drawn."
    )
    figure = charts.plain_map(
        layout.xy[rows], layout.points.iloc[rows], layout.colouring.numbers[rows], st.context.theme.type
    )
    if len(layout.selected):
        figure.update_traces(selectedpoints=np.flatnonzero(np.isin(rows, layout.selected)))

    def picked() -> None:
        found = st.session_state[f"{key}_plain"].selection
        polygons = [list(zip(part["x"], part["y"], strict=True)) for part in found.lasso]
        for (left, right), (top, bottom) in ((part["x"], part["y"]) for part in found.box):
            polygons.append([(left, top), (right, top), (right, bottom), (left, bottom)])
        if polygons and on_pick:
            on_pick({"polygon": polygons[-1]})

    st.plotly_chart(
        figure, height=height, theme=None, key=f"{key}_plain", alt=layout.alt,
        on_select=picked if on_pick else "ignore", selection_mode=("lasso", "box"),
    )  # fmt: skip


__all__ = ["Layout", "draw", "inside", "labels_at_modes"]
