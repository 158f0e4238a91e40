"""Small maps side by side: packed here, drawn by the component in assets/multiples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import charts, components, palette
from app.map_data import SELECTED, SYNTHETIC, frame

MOST = 2_500  # points of one small map: more would lie on one another

_component = components.declare(
    "multiples", "multiples", "multiples/multiples.css", "map/points.js", "multiples/multiples.js"
)


@dataclass(frozen=True)
class Tile:
    """One small map: its places [N, 2] (NaN off it), or none and no key where it has not been made."""

    title: str
    facts: str
    key: str = ""
    xy: np.ndarray | None = None
    on: bool = False  # is it the map in view?


def pack(
    tiles: Sequence[Tile],
    points: pd.DataFrame,
    colours: np.ndarray,
    visible: np.ndarray,
    selected: np.ndarray,
) -> bytes:
    """Every tile's points, those in view and MOST at most, every cell and all that is selected kept; places
    are shares of the tile's own box. colours [N] are palette entries, selected are rows."""
    kind = np.where((points["origin"] == "synthetic").to_numpy(), SYNTHETIC, 0).astype("u1")
    kind[selected] |= SELECTED
    heads, parts, start = [], [], 0
    for tile in tiles:
        rows, place, wide, high = _fitted(tile, points, visible, selected)
        parts.append((place, colours[rows], kind[rows]))
        heads.append(
            {"title": tile.title, "facts": tile.facts, "key": tile.key, "on": tile.on,
             "from": start, "to": start + len(rows), "wide": wide, "high": high}
        )  # fmt: skip
        start += len(rows)
    place, colour, kinds = (np.concatenate(column) for column in zip(*parts, strict=True))
    head = {
        "tiles": heads,
        "some": bool(len(selected)),
        "palette": {name: palette.entries(look) for name, look in palette.THEMES.items()},
    }
    arrays = {"place": place.astype("<u2").ravel(), "colour": colour.astype("u1"), "kind": kinds.astype("u1")}
    return frame(head, arrays)


def _fitted(
    tile: Tile, points: pd.DataFrame, visible: np.ndarray, selected: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Rows of a tile, their places in 16 bits, and the width and height of its box in the map's units."""
    if tile.xy is None:
        return np.empty(0, np.int64), np.empty((0, 2)), 1.0, 1.0
    shown = visible & np.isfinite(tile.xy[:, 0])
    rows = charts.stratified(points, np.flatnonzero(shown), MOST)
    rows = np.union1d(rows, selected[shown[selected]])
    if not len(rows):
        return rows, np.empty((0, 2)), 1.0, 1.0
    low = tile.xy[rows].min(axis=0)
    size = np.maximum(tile.xy[rows].max(axis=0) - low, 1e-6)
    return rows, np.rint((tile.xy[rows] - low) / size * 65_535), float(size[0]), float(size[1])


def draw(data: bytes, key: str, on_pick: Callable[[str], None]) -> None:
    """Show packed tiles; `on_pick` receives the key of the map that was clicked."""

    def picked() -> None:
        event: dict[str, Any] | None = st.session_state[key].get("pick")
        if event:
            on_pick(event["key"])

    _component(key=key, data=components.numbered(key, data), on_pick_change=picked)
