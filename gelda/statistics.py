"""Intervals over few seeds: a t-interval on per-seed figures with the items' variance added."""

from __future__ import annotations

from collections.abc import Sequence
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


def seed_interval(
    per_seed: ArrayLike, item_variance: ArrayLike, overlap: float = 1.0, level: float = 0.95
) -> Interval:
    """Interval of a mean over seeds: t with SE² = s²/S + overlap · mean(item_variance).

    per_seed [S]: the figure (or the paired difference) of each seed. item_variance [S]: the variance
    of that figure from the finite test items. overlap: the share of test items that two seeds have in
    common (1 where every seed is tested on the same items). Shared items are what averaging over
    seeds cannot remove: two seeds' figures have covariance overlap · item variance, and s² estimates
    the variance without it. Overlapping training sets are not accounted for.
    """
    from scipy import stats

    values = np.asarray(per_seed, float)
    mean = float(values.mean()) if len(values) else float("nan")
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    error = np.sqrt(
        values.var(ddof=1) / len(values) + overlap * float(np.mean(np.asarray(item_variance, float)))
    )
    half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1) * error)
    return Interval(mean, mean - half, mean + half)


def shared_share(groups: Sequence[NDArray]) -> float:
    """Mean share of test groups that two seeds have in common, over all pairs of seeds."""
    sets = [set(np.unique(g).tolist()) for g in groups]
    pairs = [
        len(a & b) / max(1.0, np.sqrt(len(a) * len(b))) for i, a in enumerate(sets) for b in sets[i + 1 :]
    ]
    return float(np.mean(pairs)) if pairs else 1.0


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
