"""The nearest real training points of every point of a run: found once, kept beside its latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda.artifacts import read_arrays
from gelda.metrics import nearest

NEIGHBOURS = 8


def load_neighbours(run: Path) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Rows [N, 8] of the nearest real training points at the generation layer, and distances."""
    value = read_arrays(Path(run) / "neighbours.safetensors")
    return value["index"], value["distance"]


def find_neighbours(latents: NDArray[np.float32], points: pd.DataFrame) -> dict[str, Any]:
    """The table behind `load_neighbours`: a training point's own row is left out."""
    train = np.flatnonzero((points["split"] == "train").to_numpy())
    index = np.full((len(points), NEIGHBOURS), -1, np.int32)
    distance = np.full((len(points), NEIGHBOURS), np.nan, np.float32)
    others = np.setdiff1d(np.arange(len(points)), train)
    for rows, own in ((train, True), (others, False)):
        if len(rows) and len(train) > own:
            found, far = nearest(latents[rows], latents[train], NEIGHBOURS, skip_self=own)
            index[rows, : found.shape[1]] = train[found]
            distance[rows, : found.shape[1]] = far
    return {"index": index, "distance": distance}
