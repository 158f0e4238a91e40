"""Where points of one source lie densest: a smoothed histogram, and how many lie denser still."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.palette import ACCENT, INK

SOURCES = {"real": INK, "synthetic": ACCENT}  # and the palette entry that a density has
HELD = (50, 80, 95)  # percent of the points within each line; map.js draws them
CELLS = 200  # along the longer side
MARGIN = 10  # cells around the points, for lines to close in


@dataclass(frozen=True)
class Density:
    """grid [H, W] float16 in [0, 1], rows from the bottom: the share of points that lie where it is denser.

    box: left, bottom, right, top in map coordinates.
    """

    grid: np.ndarray
    box: tuple[float, float, float, float]
    colour: int


def of(xy: np.ndarray, shown: np.ndarray, source: str) -> Density | None:
    """The density of the rows `shown` [N] of `xy` [N, 2]; None where there are too few to speak of one."""
    from scipy.ndimage import gaussian_filter

    finite = np.isfinite(xy[:, 0])
    rows = np.flatnonzero(shown & finite)
    if len(rows) < 3:
        return None
    everything = xy[finite]  # the same frame whatever is filtered
    low, high = everything.min(axis=0).astype(float), everything.max(axis=0).astype(float)
    cell = max(float((high - low).max()), 1e-9) / CELLS
    low = low - MARGIN * cell
    width, height = (int(n) for n in np.ceil((high - low) / cell) + MARGIN)
    column, row = ((xy[rows] - low) / cell).astype(np.int64).T
    counts = np.bincount(row * width + column, minlength=width * height).reshape(height, width).astype(float)
    # a kernel that narrows with the number of points, as Scott's rule does in two dimensions
    smooth = gaussian_filter(counts, float(np.clip(8 * len(rows) ** (-1 / 6), 1.5, 5)), mode="constant")
    order = np.argsort(-smooth, axis=None, kind="stable")
    denser = np.empty(smooth.size)
    denser[order] = np.cumsum(smooth.ravel()[order]) / smooth.sum()
    box = (low[0], low[1], low[0] + width * cell, low[1] + height * cell)
    return Density(denser.reshape(smooth.shape).astype(np.float16), box, SOURCES[source])
