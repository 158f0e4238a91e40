"""What lies nearest in latent space: to one point, and to the centre of a cell's synthetic latents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

POOLS = ("train", "real", "synthetic")  # training samples; these and held-out real items; synthetic latents
Array = NDArray[np.floating]
Rows = NDArray[np.int64]
AT_ONCE = 4_096  # latents that are compared at a time: on disk they are fp16, and few of many are ever held
SPARE = 8  # candidates beyond those asked for, as fp32 may misplace the last ones by an ulp


@dataclass(frozen=True)
class Near:
    """rows of the points table, from near to far, and their Euclidean distances in standardised latents."""

    rows: Rows
    distance: Array


def pool(points: pd.DataFrame, name: str) -> Rows:
    """Rows of one of POOLS; raises KeyError for another name."""
    synthetic = (points["origin"] == "synthetic").to_numpy()
    train = (points["split"] == "train").to_numpy()
    return np.flatnonzero({"train": train & ~synthetic, "real": ~synthetic, "synthetic": synthetic}[name])


def to_point(latents: Array, row: int, among: Rows, k: int) -> Near:
    """The k rows of `among` nearest to the latent of `row` [N, D]; never the row itself."""
    near = _nearest(latents, latents[[row]], among[among != row], k)
    return Near(near.rows[0], near.distance[0])


def to_centre(latents: Array, cell: Rows, among: Rows, k: int) -> Near:
    """The k rows of `among` nearest to the mean latent of the rows `cell`."""
    near = _nearest(latents, _centre(latents, cell)[None], among, k)
    return Near(near.rows[0], near.distance[0])


def to_centres(latents: Array, cells: Sequence[Rows], among: Rows) -> Near:
    """The row of `among` nearest to the mean latent of each of some cells, read once for all of them."""
    near = _nearest(latents, np.stack([_centre(latents, cell) for cell in cells]), among, 1)
    return Near(near.rows.ravel(), near.distance.ravel())


def _centre(latents: Array, cell: Rows) -> Array:
    return latents[cell].astype(np.float32).mean(0)


def _nearest(latents: Array, queries: Array, among: Rows, k: int) -> Near:
    """Exact, [Q, k]: |x|² − 2 x·q tells the candidates of a part, the difference itself their distances."""
    queries = queries.astype(np.float32)
    best = np.empty((len(queries), 0), np.int64)
    far = np.empty((len(queries), 0))
    for start in range(0, len(among), AT_ONCE):
        part = among[start : start + AT_ONCE]
        z = latents[part].astype(np.float32)
        there = np.isfinite(z[:, 0])
        part, z = part[there], z[there]
        if not len(part):
            continue
        some = min(k + SPARE, len(part))
        score = np.einsum("nd,nd->n", z, z) - 2 * queries @ z.T
        found = np.argpartition(score, some - 1, axis=1)[:, :some]
        exact = np.linalg.norm(z[found] - queries[:, None], axis=-1)
        best, far = np.hstack([best, part[found]]), np.hstack([far, exact])
        first = np.argsort(far, axis=1, kind="stable")[:, :k]
        best, far = np.take_along_axis(best, first, 1), np.take_along_axis(far, first, 1)
    return Near(best, far)


def made_for(points: pd.DataFrame, label: int, subdomain: int, method: str) -> Rows:
    """Synthetic latents that a method kept for a cell."""
    own = (points["origin"] == "synthetic") & (points["method"] == method) & points["kept"]
    return np.flatnonzero(own & (points["label"] == label) & (points["subdomain"] == subdomain))


def cells_made(points: pd.DataFrame, method: str) -> list[tuple[int, int]]:
    """Cells with latents of a method: those without a training sample first, then by their number."""
    made = points[(points["origin"] == "synthetic") & (points["method"] == method) & points["kept"]]
    real = points[(points["origin"] == "real") & (points["split"] == "train")]
    seen = set(zip(real["label"], real["subdomain"], strict=True))
    number = Counter(zip(made["label"], made["subdomain"], strict=True))
    ordered = sorted(number, key=lambda cell: (cell in seen, -number[cell], cell))
    return [(int(label), int(subdomain)) for label, subdomain in ordered]


def sources(points: pd.DataFrame, rows: Sequence[int] | Rows) -> list[tuple[int, int, int]]:
    """Which cells rows come from: (class, subdomain, how many), the most first."""
    part = points.iloc[rows]
    found = Counter(zip(part["label"].astype(int), part["subdomain"].astype(int), strict=True))
    return [(*cell, number) for cell, number in found.most_common()]


def also_near(xy: Array, row: int, near: Near, among: Rows) -> int | None:
    """How many neighbours of `row` are among as many nearest on a map [N, 2]; None off the map."""
    if not len(near.rows) or not np.isfinite(xy[row, 0]):
        return None
    return len(set(near.rows) & set(to_point(xy, row, among, len(near.rows)).rows))
