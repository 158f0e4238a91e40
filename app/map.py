"""Python side of the map: packs points into bytes for the WebGL component, finds what a lasso holds.

The component (assets/map) returns a polygon in map coordinates or one row number; the points inside are
found here, so nothing large travels up. Without WebGL2, `draw` falls back to a sampled plotly figure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import loading, palette
from app.colouring import Colouring

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "map"
SYNTHETIC, VISIBLE, SELECTED, REJECTED = 1, 2, 4, 8  # bits of a point's kind, as in points.js
LASSO_CHUNK = 50_000  # points tested at once: bounds the memory of the crossing test
HELP = (
    "Map of latents. Drag to move, wheel or plus and minus to zoom, shift and drag or L for a lasso, B for a "
    "box, click for one point, shift and click for one more, Escape to clear, 0 to show all."
)

_read = lambda name: (FOLDER / name).read_text(encoding="utf-8")  # noqa: E731
_component = st.components.v2.component(
    "gelda_map", html='<div class="map"></div>', css=_read("map.css"), js=_read("points.js") + _read("map.js")
)


@dataclass(frozen=True)
class Layout:
    """What a map shows, one entry a point of the run; ``view`` names the layout and resets pan and zoom."""

    view: str
    xy: np.ndarray  # [N, 2] float32, NaN off the map
    points: pd.DataFrame  # the run's points
    colouring: Colouring
    visible: np.ndarray  # [N] bool
    selected: np.ndarray  # row numbers
    labels: list[dict[str, Any]]
    class_names: Sequence[str]
    subdomain_names: Sequence[str]
    sources: dict[str, str]  # augmenter -> title
    near: np.ndarray  # [N, 8] rows of the nearest real training points
    distance: np.ndarray  # [N, 8]
    alt: str
    things: str = "images"  # what its real items are
    mode: str = "replace"  # how a pick joins what is selected: selecting.MODES


def pack(layout: Layout, *, atlas: dict[str, Any] | None, slots: np.ndarray | None, height: int,
         interactive: bool = True) -> bytes:  # fmt: skip
    """Header length, JSON header, then little-endian arrays on boundaries of four bytes."""
    points = layout.points
    count = len(points)
    kind = np.zeros(count, dtype=np.uint8)
    kind[(points["origin"] == "synthetic").to_numpy()] |= SYNTHETIC
    kind[layout.visible & np.isfinite(layout.xy[:, 0])] |= VISIBLE
    kind[np.asarray(layout.selected, dtype=np.int64)] |= SELECTED
    kind[~points["kept"].to_numpy(dtype=bool)] |= REJECTED
    splits, split_names = pd.factorize(points["split"])
    sources, source_names = pd.factorize(points["method"])
    arrays = {
        "xy": layout.xy.astype("<f4").ravel(),
        "near": layout.near[:, : loading.STAND_INS].astype("<i4").ravel(),
        "distance": layout.distance[:, 0].astype("<f4"),
        "sprite": (np.full(count, -1) if slots is None else slots).astype("<i4"),
        "label": points["label"].to_numpy().astype("<u2"),
        "subdomain": points["subdomain"].to_numpy().astype("<u2"),
        "colour": layout.colouring.numbers.astype("u1"),
        "kind": kind,
        "split": splits.astype("u1"),
        "source": sources.astype("u1"),
    }
    head: dict[str, Any] = {
        "view": layout.view,
        "height": height,
        "interactive": interactive,
        "labels": layout.labels,
        "classes": list(layout.class_names),
        "subdomains": list(layout.subdomain_names),
        "splits": [str(name) for name in split_names],
        "sources": [layout.sources.get(name, name) for name in source_names],
        "palette": {name: palette.entries(look) for name, look in palette.THEMES.items()},
        "grey": palette.GREY,
        "atlas": atlas,
        "alt": layout.alt,
        "things": layout.things,
        "mode": layout.mode,
        "help": HELP,
    }
    return _frame(head, arrays)


def _frame(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    sizes = {name: (array.dtype.str.lstrip("<|"), array) for name, array in arrays.items()}
    # Offsets stand in the header before the arrays, so their width must not move it: pad to a fixed length.
    offset = 4 + -(-(len(json.dumps(head)) + 80 * len(arrays)) // 4) * 4
    start, table = offset, {}
    for name, (code, array) in sizes.items():
        table[name] = [code, start, array.size]
        start += -(-array.nbytes // 4) * 4
    text = json.dumps({**head, "arrays": table}).encode().ljust(offset - 4)
    body = b"".join(array.tobytes().ljust(-(-array.nbytes // 4) * 4, b"\0") for _, array in sizes.values())
    return len(text).to_bytes(4, "little") + text + body


def draw(
    layout: Layout,
    *,
    key: str,
    height: int,
    run: Path,
    on_pick: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Show the map; `on_pick` receives ``{"polygon"}``, ``{"row", "more"}`` or ``{"clear"}``."""
    held = st.session_state.get(key)
    fallback = bool(held and held.get("fallback"))
    if fallback:
        _draw_plain(layout, height)
    sheet = loading.sprites(run)
    ready = sheet.done() and sheet.exception() is None and sheet.result().image
    atlas = {"url": _publish(sheet.result().image, key), "across": sheet.result().across} if ready else None
    slots = sheet.result().slot if ready else None

    def picked() -> None:
        event = st.session_state[key].get("pick")
        if event and on_pick:
            on_pick(event)

    _component(
        key=key,
        data=pack(layout, atlas=atlas, slots=slots, height=height, interactive=on_pick is not None),
        height=1 if fallback else height,
        default={"fallback": False},
        on_pick_change=picked,
        on_fallback_change=lambda: None,
    )
    if not sheet.done():
        _await_images(sheet)


@st.fragment(run_every=0.5)
def _await_images(sheet: Future[Any]) -> None:
    """Draw again once the images are there: they must not hold up the first paint."""
    if sheet.done():
        st.rerun()


def _draw_plain(layout: Layout, height: int) -> None:
    from app import charts

    rows = charts.stratified(layout.points, np.flatnonzero(layout.visible & np.isfinite(layout.xy[:, 0])))
    st.caption(
        f"This browser offers no WebGL2, so the map shows a sample of {len(rows):,} points, evenly from "
        "every class and subdomain; selecting needs a browser with WebGL2."
    )
    figure = charts.plain_map(
        layout.xy[rows], layout.points.iloc[rows], layout.colouring.numbers[rows], st.context.theme.type
    )
    st.plotly_chart(figure, height=height, theme=None, alt=layout.alt)


def _publish(image: bytes, name: str) -> str:
    """Address at which the browser finds an image, fetched when it is first wanted."""
    from streamlit.runtime import exists, get_instance

    return (
        get_instance().media_file_mgr.add(image, "image/webp", coordinates=f"gelda-{name}")
        if exists()
        else ""
    )


def inside(polygon: Sequence[Sequence[float]], xy: np.ndarray) -> np.ndarray:
    """Rows of ``xy`` ``[N, 2]`` inside a polygon (even-odd rule); NaN is outside."""
    corners = np.asarray(polygon, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        return np.empty(0, dtype=np.int64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero(((xy >= low) & (xy <= high)).all(axis=1))
    odd = np.zeros(len(near), dtype=bool)
    following = np.roll(corners, 1, axis=0)
    for start in range(0, len(near), LASSO_CHUNK):
        x, y = xy[near[start : start + LASSO_CHUNK]].astype(np.float64).T
        part = odd[start : start + LASSO_CHUNK]
        for (xi, yi), (xj, yj) in zip(corners, following, strict=True):
            if yi != yj:
                part ^= ((yi > y) != (yj > y)) & (x < (xj - xi) * (y - yi) / (yj - yi) + xi)
    return near[odd]


def labels_at_modes(xy: np.ndarray, colouring: Colouring, shown: np.ndarray) -> list[dict[str, Any]]:
    """Each named group's name where its points are densest: a scattered group's mean may lie on none of them.

    In the order of `labelled`: where two names would lie over one another, the map keeps the first.
    """
    if colouring.groups is None:
        return []
    found = []
    rows = np.flatnonzero(shown & np.isfinite(xy[:, 0]))
    groups = colouring.groups[rows]
    for number, colour in colouring.labelled:
        own = xy[rows[groups == number]]
        if len(own) == 0:
            continue
        counts, columns, lines = np.histogram2d(own[:, 0], own[:, 1], bins=12)
        smooth = np.pad(counts, 1)
        smooth = sum(smooth[i : i + 12, j : j + 12] for i in range(3) for j in range(3))
        i, j = np.unravel_index(int(smooth.argmax()), smooth.shape)
        near = (
            (own[:, 0] >= columns[max(i - 1, 0)]) & (own[:, 0] <= columns[min(i + 2, 12)])
            & (own[:, 1] >= lines[max(j - 1, 0)]) & (own[:, 1] <= lines[min(j + 2, 12)])
        )  # fmt: skip
        x, y = own[near].mean(axis=0)
        found.append({"text": str(colouring.names[number]), "x": float(x), "y": float(y), "colour": colour})
    return found
