"""Intervals over few seeds: a t-interval on per-seed figures with the items' variance added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Interval:
    """Mean and 95 % interval; `low` and `high` are NaN where fewer than two seeds were run."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return bool(self.low > 0 or self.high < 0)

    def as_json(self) -> dict[str, object]:
        return {"mean": self.mean, "ci95": [self.low, self.high]}


def seed_interval(per_seed: ArrayLike, item_variance: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of a mean over seeds.

    per_seed [S]: the figure (or the paired difference) of each seed. item_variance [S]: the variance
    of that figure from the finite test items. Seeds share test items, so the items' part does not
    shrink with the number of seeds: it is added whole, SE² = s²/S + mean(item_variance). Where the
    seeds' own spread already holds items' variance this errs to the wide side.
    """
    from scipy import stats

    values = np.asarray(per_seed, float)
    mean = float(values.mean()) if len(values) else float("nan")
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    error = np.sqrt(values.var(ddof=1) / len(values) + float(np.mean(np.asarray(item_variance, float))))
    half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1) * error)
    return Interval(mean, mean - half, mean + half)


def grouped_mean_variance(
    scores: ArrayLike, strata: NDArray[np.integer], groups: NDArray[np.integer]
) -> tuple[float, float]:
    """Mean over strata of the strata's mean score, and its variance over groups of items.

    scores [N] per item (hits, or paired differences of hits), strata [N] (class: each weighs the
    same, as in UAR), groups [N]: items of one group (one handwritten original under several
    conditions, one speaker) move together, so the variance is taken over group sums.
    """
    scores = np.asarray(scores, float)
    values, place = np.unique(strata, return_inverse=True)
    sizes = np.bincount(place)
    means = np.bincount(place, scores) / sizes
    influence = (scores - means[place]) / sizes[place] / len(values)
    _, group = np.unique(groups, return_inverse=True)
    sums = np.bincount(group, influence)
    count = len(sums)
    variance = float(np.square(sums).sum() * count / max(count - 1, 1))
    return float(means.mean()), variance
