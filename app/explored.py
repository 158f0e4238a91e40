"""What Explore's panels are given: one run, its points, the layer and map in view, and the selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app import words
from app.editing import MadePoints
from gelda import runs
from gelda.projection import LayerInfo, MapInfo


@dataclass(frozen=True)
class Explored:
    """One drawing of the page. Rows are rows of the run's points table; nothing here may be written to."""

    run: runs.RunState
    meta: dict[str, Any]
    points: pd.DataFrame  # [N] rows, real first
    layers: Sequence[LayerInfo]
    maps: Sequence[MapInfo]
    info: MapInfo | None  # the map in view, None where it has not been made
    visible: np.ndarray  # [N] bool: what the filters let through
    rows: np.ndarray  # the selection, as row numbers, those in view only
    selected: np.ndarray  # all of the selection: rows that a filter hides stay selected
    made: MadePoints | None = None  # what edits made: on the map beside the points, with no row among them

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
