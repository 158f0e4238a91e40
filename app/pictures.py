"""Small pictures of a run's real items: one sheet of many, made in the background and brought to its maps."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import components, items, loading, map_data

# pictures in one sheet, by what they are decoded from: some 10 s in the background at most
MOST = {"image": 4_096, "audio": 600}
SEEN = 10  # rows of a table that are in view before a person scrolls

_component = components.declare(
    "pictures", "pictures", "map/pictures.css", "map/points.js", "map/pictures.js"
)


@dataclass(frozen=True)
class Sheet:
    """One picture of many real items: `slot` ``[N]`` is each row's place in it, -1 where there is none.

    packed: both, as the browser reads them; empty where there is no picture.
    """

    image: bytes
    slot: np.ndarray
    across: int
    packed: bytes = b""


def sheet(run: Path) -> Future[Sheet]:
    """The run's sheet of pictures, built once in the background: the map must not wait for it."""
    return _sheet(run, loading.points_stamp(run))


@st.cache_resource(max_entries=4, show_spinner=False)
def _sheet(run: Path, stamp: int) -> Future[Sheet]:
    table, about = loading.points(run), loading.meta(run)
    if items.kind(about) not in MOST:  # nothing to decode
        none: Future[Sheet] = Future()
        none.set_result(Sheet(b"", np.full(len(table), -1, np.int32), 1))
        return none
    return _workers().submit(_build, table, loading.neighbours(run)[0], about)


@st.fragment
def bring(run: Path, name: str, key: str) -> None:
    """Bring the pictures to the maps that call the run `name`; nothing is seen of it.

    A fragment, for which the browser asks until they are there (assets/map/pictures.js): drawn again for
    them, the whole page would close an open list and stop a clip that plays.
    """
    made = sheet(run)
    if made.done() and (made.exception() is not None or not made.result().packed):
        return
    address = components.publish(made.result().packed, key) if made.done() else ""
    message = components.numbered(key, {"run": name, "address": address})
    _component(key=key, data=message, on_look_change=lambda: None)


def thumbnails(run: Path, rows: np.ndarray) -> list[str | None]:
    """Pictures of real rows as data URLs, cut from the run's sheet; None where it has none.

    While the sheet is being made, those of the first rows alone: a page is not drawn again for the others.
    """
    made = sheet(run)
    if not made.done():
        uris = loading.points(run)["uri"].iloc[rows[:SEEN]]
        found, places = items.sheet(loading.meta(run), list(uris))
        urls = dict(zip(places.tolist(), map(items.data_url, found), strict=True))
        return [urls.get(place) for place in range(len(rows))]
    if made.exception() is not None or not made.result().image:
        return [None] * len(rows)
    cut = _cutter(run, loading.points_stamp(run), made.result())
    return [cut(int(slot)) if slot >= 0 else None for slot in made.result().slot[rows]]


@st.cache_resource(max_entries=4, show_spinner=False)
def _cutter(run: Path, stamp: int, _sheet: Sheet) -> Callable[[int], str]:
    from PIL import Image

    whole = Image.open(io.BytesIO(_sheet.image)).convert("RGB")
    side = whole.width // _sheet.across

    @lru_cache(maxsize=4_096)
    def cut(slot: int) -> str:
        x, y = slot % _sheet.across * side, slot // _sheet.across * side
        return items.data_url(np.asarray(whole.crop((x, y, x + side, y + side))))

    return cut


@st.cache_resource(show_spinner=False)
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")


def _build(table: pd.DataFrame, near: np.ndarray, about: dict[str, Any]) -> Sheet:
    from PIL import Image

    rows = _pictured(table, near, MOST[items.kind(about)])
    images, places = items.sheet(about, list(table["uri"].iloc[rows]))
    slot = np.full(len(table), -1, dtype=np.int32)
    slot[rows[places]] = np.arange(len(places))
    if not len(images):
        return Sheet(b"", slot, 1)
    height, width, depth = images.shape[1:]
    across = int(np.ceil(np.sqrt(len(images))))
    down = -(-len(images) // across)
    grid = np.zeros((down * across, height, width, depth), dtype=np.uint8)
    grid[: len(images)] = images
    grid = grid.reshape(down, across, height, width, depth).swapaxes(1, 2)
    picture = Image.fromarray(np.ascontiguousarray(grid.reshape(down * height, across * width, depth)))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=70, method=2)  # measured: 0.5 MB for 3 158 images, a third of a PNG
    image = buffer.getvalue()
    return Sheet(image, slot, across, map_data.pictures(image, slot, across))


def _pictured(table: pd.DataFrame, near: np.ndarray, most: int) -> np.ndarray:
    """Rows that get a picture on the map: first those that stand in for synthetic latents, then the rest."""
    real = (table["origin"] == "real").to_numpy()
    stand_ins = np.unique(near[~real, : map_data.STAND_INS])
    rest = np.setdiff1d(np.flatnonzero(real), stand_ins)
    spread = np.random.default_rng(0).permutation(rest)
    return np.concatenate([stand_ins[stand_ins >= 0], spread])[:most]
