"""Synthetic latents worth a look, by their nearest real training latents: no dev label is read."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def foreign(points: pd.DataFrame, near: NDArray[np.integer]) -> Rows:
    """Rows of synthetic latents in use whose nearest training latents are mostly of other classes.

    near [N, K]: rows of the nearest training points. A class of n training items is asked for among its
    latents' min(n, K) nearest alone: a scarce one cannot fill more.
    """
    label, rows = points["label"].to_numpy(), _used(points)
    train = (points["split"] == "train").to_numpy()
    counts = np.bincount(label[train], minlength=int(label.max()) + 1)
    asked = np.minimum(counts[label[rows]], near.shape[1])
    own = (label[near[rows]] == label[rows][:, None]) & (near[rows] >= 0)
    among = np.arange(near.shape[1])[None] < asked[:, None]
    return rows[(asked > 0) & ((own & among).sum(1) < asked / 2)]


def copies(points: pd.DataFrame, near: NDArray[np.integer], distance: NDArray[np.floating]) -> Rows:
    """Rows of synthetic latents in use that lie at a training latent, as good as copied.

    That is, at less than half the distance of that training latent to the next one, or at the very place of
    one that is there twice.
    """
    rows = _used(points)
    first = near[rows, 0]
    at, usual = distance[rows, 0], distance[first, 0]
    return rows[(first >= 0) & ((at < 0.5 * usual) | ((at == 0) & (usual == 0)))]


def _used(points: pd.DataFrame) -> Rows:
    used = (points["origin"] == "synthetic").to_numpy() & points["kept"].to_numpy(bool)
    return np.flatnonzero(used)
