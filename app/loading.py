"""Cached reads of what the engine wrote, by path and change time: shared, read-only, never hashed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import colouring
from app.facets import Facet
from app.facets import of as facets_of
from gelda import layer_maps, map_jobs, projection, report, runs, studies, study_result
from gelda.artifacts import read_json
from gelda.neighbours import load_neighbours
from gelda.settings import ProjectionConfig

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
    return projection.list_maps(run, map_jobs.map_workspace(run))


def projection_config(run: Path) -> ProjectionConfig:
    """The settings that a run's own maps are made with."""
    return _projection_config(run, stamp(run / "spec.json"))


@st.cache_resource(max_entries=32, show_spinner=False)
def _projection_config(run: Path, stamp: int) -> ProjectionConfig:
    return map_jobs.projection_config(run)


def neighbour_change(run: Path) -> dict[str, Any]:
    """How many neighbours change from layer to layer; {} where it has not been measured."""
    return layer_maps.load_change(run, map_jobs.map_workspace(run)) or {}


def coordinates(run: Path, info: projection.MapInfo) -> np.ndarray:
    """Positions ``[N, 2]`` of one map, turned to lie as the run's own one does; a row of NaN is not on it."""
    to = layer_maps.anchor(run, maps(run), projection_config(run))
    if to is None or to.key == info.key or (info.aligned and to.aligned and info.settings == to.settings):
        return _coordinates(run, info.key, stamp(info.path), "", 0)
    return _coordinates(run, info.key, stamp(info.path), to.key, stamp(to.path))


@st.cache_resource(max_entries=64, show_spinner=False)
def _coordinates(run: Path, key: str, stamp: int, to: str, to_stamp: int) -> np.ndarray:
    found = np.array(projection.load_map(run, key, map_jobs.map_workspace(run)), dtype=np.float32)
    if to:
        real = (points(run)["origin"] == "real").to_numpy()
        found = layer_maps.turned(found, projection.load_map(run, to, map_jobs.map_workspace(run)), real)
    found.setflags(write=False)
    return found


@st.cache_resource(show_spinner=False)
def prepare() -> None:
    """Import in the background what the first selection needs: a second that nobody then waits for.

    Not at once: the first page is still being sent, and an import keeps all other threads waiting.
    """
    Timer(LATER, import_module, ("sklearn.neighbors",)).start()


def first_run(asked: str | None) -> runs.RunState | None:
    """The finished run a visitor sees first: the one asked for, else the newest with a map that can carry a
    claim (five seeds), else a shipped one, else any."""
    known = [*runs.list_runs(), *runs.shipped_runs()]
    done = [state for state in known if state.status == "done" and state.reported]
    asked_for = (state for state in done if state.id == asked)
    mapped = [state for state in done if not state.comparison]
    telling = (state for state in mapped if state.shipped or len(report_of(state.path)["seeds"]) >= 5)
    return next(asked_for, None) or next(telling, next(iter(mapped or done), None))
