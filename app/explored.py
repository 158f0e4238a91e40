"""What Explore's panels are given: one run, its points, the layer and map in view, and the selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app import joined, words
from app.editing import MadePoints
from app.facets import Facet
from gelda import runs
from gelda.projection import LayerInfo, MapInfo


@dataclass(frozen=True)
class Explored:
    """One drawing of the page; nothing here may be written to.

    Rows are rows of the run's points table, and beyond it of the latents that edits made: N is all of them.
    """

    run: runs.RunState
    meta: dict[str, Any]
    points: pd.DataFrame  # [N] rows, real first
    layers: Sequence[LayerInfo]
    maps: Sequence[MapInfo]
    info: MapInfo | None  # the map in view, None where it has not been made
    visible: np.ndarray  # [N] bool: what the filters let through
    rows: np.ndarray  # the selection, as row numbers, those in view only
    selected: np.ndarray  # all of the selection: rows that a filter hides stay selected
    made: MadePoints | None = None  # what edits made: the last of the points

    @property
    def classes(self) -> Sequence[str]:
        return self.meta["class_names"]

    @property
    def subdomains(self) -> Sequence[str]:
        return self.meta["subdomain_names"]

    @property
    def kind(self) -> str:
        """What a class is called in this run: class, emotion …"""
        return words.kind(self.meta)

    @property
    def axis(self) -> str:
        """What a subdomain is called in this run: condition, language …"""
        return words.axis(self.run, self.meta)

    @property
    def synthetic(self) -> np.ndarray:
        """Which points are synthetic, ``[N]``."""
        return (self.points["origin"] == "synthetic").to_numpy()

    @property
    def dropped(self) -> np.ndarray:
        """Which points are out by an edit, ``[N]``."""
        if "dropped" not in self.points:
            return np.zeros(len(self.points), bool)
        return self.points["dropped"].to_numpy(bool)

    @property
    def key(self) -> str:
        """Names what edits made, for what is found in all points and kept; "" where they made nothing."""
        return self.made.key if self.made else ""

    @property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and distances of each point's nearest training points, ``[N, 8]`` each."""
        return joined.neighbours(self.run.path, self.made)

    @property
    def facets(self) -> Sequence[Facet]:
        """Every column of the points as bars."""
        return joined.facets_of(self.run.path, self.axis, self.points, self.made)

    def latents(self, layer: str) -> Any:
        """Standardised latents of a layer by row, NaN where it has none: ask for few rows."""
        return joined.latents(self.run.path, layer, self.made)

    def coordinates(self, info: MapInfo) -> np.ndarray:
        """Positions ``[N, 2]`` on one map; a row of NaN is not on it."""
        return joined.coordinates(self.run.path, info, self.made)
