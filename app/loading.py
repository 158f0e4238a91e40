"""Cached reads of what the engine wrote, by path and change time: shared, read-only, never hashed."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import colouring, items
from app.facets import Facet
from app.facets import of as facets_of
from app.map_data import STAND_INS
from gelda import jobs, layer_maps, projection, report, runs, studies, study_result
from gelda.artifacts import read_json
from gelda.neighbours import load_neighbours
from gelda.settings import ProjectionConfig

# pictures in one sheet, by what they are decoded from: some 10 s in the background at most
MOST_SPRITES = {"image": 4_096, "audio": 600}
LATER = 4.0  # seconds that a first page takes in the browser


def stamp(path: Path) -> int:
    """Changes when a file is written again; 0 where it is missing, and the read then says so."""
    return path.stat().st_mtime_ns if path.exists() else 0


def meta(run: Path) -> dict[str, Any]:
    """Names, counts, groups and layers of a run."""
    return _meta(run, stamp(run / "meta.json"))


@st.cache_resource(max_entries=16, show_spinner=False)
def _meta(run: Path, stamp: int) -> dict[str, Any]:
    return runs.read_meta(run)


def spec(run: Path) -> dict[str, Any]:
    """The settings of a run; callers must not write to them."""
    return _spec(run, stamp(run / "spec.json"))


@st.cache_resource(max_entries=256, show_spinner=False)
def _spec(run: Path, stamp: int) -> dict[str, Any]:
    return runs.read_spec(run)


def study(folder: Path) -> dict[str, Any]:
    """What a study found so far; callers must not write to it."""
    return _study(folder, stamp(folder / studies.RESULT))


@st.cache_resource(max_entries=16, show_spinner=False)
def _study(folder: Path, stamp: int) -> dict[str, Any]:
    return study_result.read_result(folder)


def report_of(run: Path) -> dict[str, Any]:
    """The run's report; callers must not write to it."""
    return _report(run, stamp(run / "report.json"))


@st.cache_resource(max_entries=16, show_spinner=False)
def _report(run: Path, stamp: int) -> dict[str, Any]:
    return report.load_report(run)


def points(run: Path) -> pd.DataFrame:
    """One row a point, real and synthetic; callers must not write to it."""
    return _points(run, stamp(run / "points.parquet"))


@st.cache_resource(max_entries=8, show_spinner=False)
def _points(run: Path, stamp: int) -> pd.DataFrame:
    return projection.load_points(run)


def points_stamp(run: Path) -> int:
    """Changes when the points of a run are written again: for what is made of them and kept."""
    return stamp(run / "points.parquet")


def colourings(run: Path, axis: str) -> dict[str, str]:
    """What a run's points can be coloured by, with titles; callers must not write to it."""
    return _colourings(run, axis, points_stamp(run))


@st.cache_resource(max_entries=16, show_spinner=False)
def _colourings(run: Path, axis: str, stamp: int) -> dict[str, str]:
    return colouring.offered(_points(run, stamp), axis)


def column_groups(run: Path, name: str) -> list[str]:
    """Names of the groups of a column of texts, the largest first; callers must not write to it."""
    return _column_groups(run, name, points_stamp(run))


@st.cache_resource(max_entries=64, show_spinner=False)
def _column_groups(run: Path, name: str, stamp: int) -> list[str]:
    return colouring.groups_of(_points(run, stamp)[name])


def facets(run: Path, axis: str) -> list[Facet]:
    """All that a run's points can be coloured by, as bars; callers must not write to it."""
    return _facets(run, axis, points_stamp(run))


@st.cache_resource(max_entries=4, show_spinner=False)
def _facets(run: Path, axis: str, stamp: int) -> list[Facet]:
    return facets_of(_points(run, stamp), meta(run), _colourings(run, axis, stamp))


def scored_by(run: Path) -> str:
    """The method whose head the scores of a run's points come from; "" where they have none."""
    return _scored_by(run, stamp(run / "points.json"))


@st.cache_resource(max_entries=16, show_spinner=False)
def _scored_by(run: Path, stamp: int) -> str:
    return read_json(run / "points.json").get("scored_by", "")


def neighbours(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows and latent-space distances of each point's nearest real training points, ``[N, 8]`` each."""
    return _neighbours(run, stamp(run / "neighbours.safetensors"))


@st.cache_resource(max_entries=8, show_spinner=False)
def _neighbours(run: Path, stamp: int) -> tuple[np.ndarray, np.ndarray]:
    return load_neighbours(run)


def latents(run: Path, layer: str) -> np.ndarray:
    """Standardised latents of a layer on disk, fp16 ``[N, D]``, NaN where it has none: ask for few rows."""
    return _latents(run, layer, stamp(run / "points" / f"{layer}.safetensors"))


@st.cache_resource(max_entries=16, show_spinner=False)
def _latents(run: Path, layer: str, stamp: int) -> np.ndarray:
    return projection.map_latents(run, layer)


def guidance(run: Path) -> tuple[float, float]:
    """The (w_γ, w_κ) that a run's generator was drawn with."""
    about = read_json(run / "generator.json")
    own, sampling = about["setting"].get("guidance"), about["sampling"]
    return (own, own) if own else (sampling["guidance_class"], sampling["guidance_subdomain"])


def maps(run: Path) -> list[projection.MapInfo]:
    """Maps of a run, finished or being made; those of a shipped run lie in the workspace."""
    return projection.list_maps(run, jobs.map_workspace(run))


def projection_config(run: Path) -> ProjectionConfig:
    """The settings that a run's own maps are made with."""
    return _projection_config(run, stamp(run / "spec.json"))


@st.cache_resource(max_entries=32, show_spinner=False)
def _projection_config(run: Path, stamp: int) -> ProjectionConfig:
    return jobs.projection_config(run)


def neighbour_change(run: Path) -> dict[str, Any]:
    """How many neighbours change from layer to layer; {} where it has not been measured."""
    return layer_maps.load_change(run, jobs.map_workspace(run)) or {}


def coordinates(run: Path, info: projection.MapInfo) -> np.ndarray:
    """Positions ``[N, 2]`` of one map, turned to lie as the run's own one does; a row of NaN is not on it."""
    to = layer_maps.anchor(run, maps(run), projection_config(run))
    if to is None or to.key == info.key or (info.aligned and to.aligned and info.settings == to.settings):
        return _coordinates(run, info.key, stamp(info.path), "", 0)
    return _coordinates(run, info.key, stamp(info.path), to.key, stamp(to.path))


@st.cache_resource(max_entries=64, show_spinner=False)
def _coordinates(run: Path, key: str, stamp: int, to: str, to_stamp: int) -> np.ndarray:
    found = np.array(projection.load_map(run, key, jobs.map_workspace(run)), dtype=np.float32)
    if to:
        real = (points(run)["origin"] == "real").to_numpy()
        found = layer_maps.turned(found, projection.load_map(run, to, jobs.map_workspace(run)), real)
    found.setflags(write=False)
    return found


@dataclass(frozen=True)
class Sprites:
    """One picture of many real images: `slot` ``[N]`` is each row's place in it, -1 where there is none."""

    image: bytes
    slot: np.ndarray
    across: int


def sprites(run: Path) -> Future[Sprites]:
    """The run's sheet of images, built once in the background: the map must not wait for it."""
    return _sprites(run, stamp(run / "points.parquet"))


@st.cache_resource(max_entries=4, show_spinner=False)
def _sprites(run: Path, stamp: int) -> Future[Sprites]:
    if items.kind(meta(run)) not in MOST_SPRITES:  # nothing to decode: the page is not drawn again for it
        none: Future[Sprites] = Future()
        none.set_result(Sprites(b"", np.full(len(_points(run, stamp)), -1, np.int32), 1))
        return none
    return _workers().submit(_build_sprites, _points(run, stamp), neighbours(run)[0], meta(run))


def thumbnails(run: Path, rows: np.ndarray) -> list[str | None]:
    """Pictures of real rows as data URLs, cut from the run's sheet; None where it has none, or not yet."""
    sheet = sprites(run)
    if not sheet.done() or sheet.exception() is not None or not sheet.result().image:
        return [None] * len(rows)
    found = _thumbnails(run, stamp(run / "points.parquet"), sheet.result())
    return [found(int(slot)) if slot >= 0 else None for slot in sheet.result().slot[rows]]


@st.cache_resource(max_entries=4, show_spinner=False)
def _thumbnails(run: Path, stamp: int, _sheet: Sprites) -> Callable[[int], str]:
    from PIL import Image

    whole = Image.open(io.BytesIO(_sheet.image)).convert("RGB")
    side = whole.width // _sheet.across

    @lru_cache(maxsize=4_096)
    def cut(slot: int) -> str:
        x, y = slot % _sheet.across * side, slot // _sheet.across * side
        return items.data_url(np.asarray(whole.crop((x, y, x + side, y + side))))

    return cut


@st.cache_resource(show_spinner=False)
def prepare() -> None:
    """Import in the background what the first selection needs: a second that nobody then waits for.

    Not at once: the first page is still being sent, and an import keeps all other threads waiting.
    """
    Timer(LATER, import_module, ("sklearn.neighbors",)).start()


@st.cache_resource(show_spinner=False)
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="sprites")


def _build_sprites(table: pd.DataFrame, near: np.ndarray, about: dict[str, Any]) -> Sprites:
    from PIL import Image

    rows = _pictured(table, near, MOST_SPRITES[items.kind(about)])
    images, places = items.sheet(about, list(table["uri"].iloc[rows]))
    slot = np.full(len(table), -1, dtype=np.int32)
    slot[rows[places]] = np.arange(len(places))
    if not len(images):
        return Sprites(b"", slot, 1)
    height, width, depth = images.shape[1:]
    across = int(np.ceil(np.sqrt(len(images))))
    down = -(-len(images) // across)
    sheet = np.zeros((down * across, height, width, depth), dtype=np.uint8)
    sheet[: len(images)] = images
    sheet = sheet.reshape(down, across, height, width, depth).swapaxes(1, 2)
    picture = Image.fromarray(np.ascontiguousarray(sheet.reshape(down * height, across * width, depth)))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=70, method=2)  # measured: 0.5 MB for 3 158 images, a third of a PNG
    return Sprites(buffer.getvalue(), slot, across)


def _pictured(table: pd.DataFrame, near: np.ndarray, most: int) -> np.ndarray:
    """Rows that get a picture on the map: first those that stand in for synthetic latents, then the rest."""
    real = (table["origin"] == "real").to_numpy()
    stand_ins = np.unique(near[~real, :STAND_INS])
    rest = np.setdiff1d(np.flatnonzero(real), stand_ins)
    spread = np.random.default_rng(0).permutation(rest)
    return np.concatenate([stand_ins[stand_ins >= 0], spread])[:most]


def first_run(asked: str | None) -> runs.RunState | None:
    """The finished run a visitor sees first: the one asked for, else the newest with a map that can carry a
    claim (five seeds), else a shipped one, else any."""
    known = [*runs.list_runs(), *runs.shipped_runs()]
    done = [state for state in known if state.status == "done" and state.reported]
    asked_for = (state for state in done if state.id == asked)
    mapped = [state for state in done if not state.comparison]
    telling = (state for state in mapped if state.shipped or len(report_of(state.path)["seeds"]) >= 5)
    return next(asked_for, None) or next(telling, next(iter(mapped or done), None))
