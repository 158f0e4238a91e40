"""What a run keeps of its points, each followed by that of the latents which edits made, row for row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import facets, loading
from app.editing import MadePoints
from app.facets import Facet
from gelda import projection, samples
from gelda.projection import MapInfo
from gelda.report import method_title


class Stacked:
    """Latents on disk with those behind them, read by row numbers as an array is: `z[rows]`, `z[rows, 0]`."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self.first, self.second = first, second

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, *rest = key if isinstance(key, tuple) else (key,)
        rows = np.asarray(rows, np.int64)
        own = rows < len(self.first)
        near, far = self.first[(rows[own], *rest)], self.second[(rows[~own] - len(self.first), *rest)]
        found = np.empty((len(rows), *near.shape[1:]), np.float32)
        found[own], found[~own] = near, far
        return found


def neighbours(run: Path, made: MadePoints | None) -> tuple[np.ndarray, np.ndarray]:
    """As `loading.neighbours`, ``[N + M, 8]`` each."""
    if made is None:
        return loading.neighbours(run)
    return _neighbours(run, loading.points_stamp(run), made.key, made)


@st.cache_resource(max_entries=4, show_spinner=False)
def _neighbours(run: Path, stamp: int, key: str, _made: MadePoints) -> tuple[np.ndarray, np.ndarray]:
    near, distance = loading.neighbours(run)
    return np.concatenate([near, _made.near]), np.concatenate([distance, _made.distance])


def coordinates(run: Path, info: MapInfo, made: MadePoints | None) -> np.ndarray:
    """Positions ``[N + M, 2]``: latents that edits made lie among the real points they are nearest to."""
    xy = loading.coordinates(run, info)
    if made is None:
        return xy
    if not info.has_synthetic:
        return np.concatenate([xy, np.full((len(made.points), 2), np.nan, np.float32)])
    return np.concatenate([xy, samples.place(made.around, xy)])


def latents(run: Path, layer: str, made: MadePoints | None) -> np.ndarray | Stacked:
    """Latents of a layer; those that edits made are known where latents are generated, and NaN elsewhere."""
    own = loading.latents(run, layer)
    if made is None:
        return own
    if layer == projection.generation_layer(run):
        return Stacked(own, made.latents)
    return Stacked(own, np.full((len(made.points), own.shape[1]), np.nan, np.float32))


def facets_of(run: Path, axis: str, points: pd.DataFrame, made: MadePoints | None) -> Sequence[Facet]:
    """As `loading.facets`, of all points."""
    if made is None:
        return loading.facets(run, axis)
    return _facets(run, axis, loading.points_stamp(run), made.key, points)


@st.cache_resource(max_entries=4, show_spinner=False)
def _facets(run: Path, axis: str, stamp: int, key: str, _points: pd.DataFrame) -> Sequence[Facet]:
    return facets.of(_points, loading.meta(run), loading.colourings(run, axis))


def standing(points: pd.DataFrame) -> np.ndarray:
    """Whether a head learns from a synthetic latent, or why not."""
    standing = np.where(points["kept"], "kept", "set aside")
    return np.where(points["dropped"], "dropped by edits", standing) if "dropped" in points else standing


def makers(points: pd.DataFrame) -> list[str]:
    """What made each point, in words: the method, and the step of the edits that asked for it."""
    steps = points["step"] if "step" in points else [0] * len(points)
    named = zip(points["method"], steps, strict=True)
    return [
        (method_title(m) + (f", step {step} of the edits" if step else "")) if m else "" for m, step in named
    ]
