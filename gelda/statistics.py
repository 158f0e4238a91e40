"""Intervals over few seeds and few test groups, and tests over rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MIN_GROUPS = 8  # a row with fewer test groups is shown, never counted as a win (coverage: benchmarks/LOG.md)

INTERVAL_SEEDS = 3  # with fewer an interval is not shown: of two, t is 12.7 and ends leave what can be


@dataclass(frozen=True)
class Interval:
    """Mean and 95 % interval; `low` and `high` are NaN where fewer than INTERVAL_SEEDS were run.

    p: two-sided, that the mean is zero, by the t-test that the interval inverts; NaN where it was not asked.
    """

    mean: float
    low: float
    high: float
    p: float = float("nan")

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
    values = np.asarray(per_seed, float)
    mean = float(values.mean()) if len(values) else float("nan")
    if len(values) < INTERVAL_SEEDS:
        return Interval(mean, float("nan"), float("nan"))
    error = np.sqrt(
        values.var(ddof=1) / len(values) + overlap * float(np.mean(np.asarray(item_variance, float)))
    )
    half = float(_two_sided(level, len(values) - 1) * error)
    return Interval(mean, mean - half, mean + half)


def _two_sided(level: float, freedom: float) -> float:
    """Half-width in standard errors of an interval by Student's t: `scipy.stats.t.ppf`, without the second
    that a page would wait for the import of scipy.stats."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))


def _p(mean: float, error: float, freedom: float) -> float:
    """Two-sided p of a mean against zero by Student's t."""
    from scipy.special import stdtr

    if not error:
        return 0.0 if mean else 1.0
    return 2 * float(stdtr(freedom, -abs(mean) / error))


def told_apart(differences: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> list[int]:
    """Which of several differences, all looked at, lie beyond chance: 1 above zero, -1 below, 0 neither.

    Each has ``mean``, ``ci95`` and ``p``; Holm's step-down keeps the chance of even one false claim below
    5 %. Without ``p`` it is that of an interval with seeds - 1 degrees of freedom: too large where it has
    more (studies of 0.6 and before). Without an interval, or on too few test groups, nothing is claimed,
    though it was looked at.
    """
    p = [_p_of(d, own) for d, own in zip(differences, seeds, strict=True)]
    sure = holm(p) < 0.05
    return [int(np.sign(d["mean"])) if one else 0 for d, one in zip(differences, sure, strict=True)]


def _p_of(difference: Mapping[str, Any], seeds: int) -> float:
    low, high = difference["ci95"]
    if low is None or not np.isfinite(low) or not countable(difference):
        return 1.0
    if difference.get("p") is not None:
        return float(difference["p"])
    freedom = max(1, seeds - 1)
    return _p(difference["mean"], (high - low) / 2 / _two_sided(0.95, freedom), freedom)


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


def cluster_interval(
    scores_by_seed: Sequence[ArrayLike],
    strata_by_seed: Sequence[NDArray],
    groups_by_seed: Sequence[NDArray],
    overlap: float | None = None,
    level: float = 0.95,
) -> Interval:
    """Interval of a stratified mean over seeds whose test items come in few groups (speakers).

    For each seed scores [N] per item (hits or paired differences), strata [N] (classes: they weigh alike)
    and groups [N], by names that are the same in every seed. Two-way clustering (Cameron, Gelbach and Miller
    2011, doi:10.1198/jbes.2010.07136): SE² = s²/S over seeds + the variance over groups of what each adds to
    the mean of all seeds. The intersection that their formula takes off stays in for the share `overlap` of
    groups that two seeds have in common (measured where None): without it five seeds cover 90.1 % in the
    worst of the cases of benchmarks/intervals.py (8 to 24 groups), with it 93.8 %. What a group adds is
    leverage-corrected, 1/√(1−h) with h its share of a stratum (CR2, Bell and McCaffrey 2002: no bias for
    unequal groups of independent items); the quantile is t with Satterthwaite's degrees of freedom from
    S − 1 and G − 1, G = 1/Σ share² the effective number of groups. low and high are NaN below
    INTERVAL_SEEDS or two groups. A stratum that lies in one group alone adds no variance, for it shows none.
    """
    parts = [_Seed.of(*arrays) for arrays in zip(scores_by_seed, strata_by_seed, groups_by_seed, strict=True)]
    means = np.array([p.mean for p in parts])
    mean = float(means.mean()) if len(means) else float("nan")
    names = np.unique(np.concatenate([p.names for p in parts])) if parts else np.zeros(0)
    if len(parts) < INTERVAL_SEEDS or len(names) < 2 or not np.isfinite(mean):
        return Interval(mean, float("nan"), float("nan"))
    seeds = len(parts)
    added, share = np.zeros((seeds, len(names))), np.zeros(len(names))
    for row, part in zip(added, parts, strict=True):
        place = np.searchsorted(names, part.names)
        row[place] = part.influence / seeds
        share[place] += part.share / seeds
    common = shared_share(groups_by_seed) if overlap is None else overlap
    over_seeds = float(means.var(ddof=1)) / seeds
    over_groups = float(np.square(added.sum(0)).sum() - (1 - common) * np.square(added).sum())
    over_groups = max(0.0, over_groups)
    total = over_seeds + over_groups
    effective = max(1.0, 1 / float(np.square(share).sum()) - 1)
    freedom = total**2 / max(over_seeds**2 / (seeds - 1) + over_groups**2 / effective, 1e-300)
    error = float(np.sqrt(total))
    half = _two_sided(level, max(freedom, 1.0)) * error
    return Interval(mean, mean - half, mean + half, _p(mean, error, max(freedom, 1.0)))


@dataclass(frozen=True)
class _Seed:
    """One seed's stratified mean, and for each of its groups [G] its influence on it and its share of it."""

    mean: float
    names: NDArray
    influence: NDArray[np.floating]
    share: NDArray[np.floating]

    @classmethod
    def of(cls, scores: ArrayLike, strata: NDArray, groups: NDArray) -> _Seed:
        scores = np.asarray(scores, float)
        names, group = np.unique(groups, return_inverse=True)
        values, place = np.unique(strata, return_inverse=True)
        if not len(scores):
            return cls(float("nan"), names, np.zeros(0), np.zeros(0))
        sizes = np.bincount(place)
        means = np.bincount(place, scores) / sizes
        cells, cell = np.unique(group * len(values) + place, return_inverse=True)
        owner, stratum = np.divmod(cells, len(values))
        leverage = np.bincount(cell) / sizes[stratum]
        pull = np.bincount(cell, scores - means[place]) / sizes[stratum] / len(values)
        # a stratum in one group: pull is 0 and stays so
        pull = np.where(leverage < 1, pull / np.sqrt(np.maximum(1 - leverage, 1e-12)), 0.0)
        return cls(
            float(means.mean()),
            names,
            np.bincount(owner, pull, len(names)).astype(float),
            np.bincount(owner, leverage / len(values), len(names)).astype(float),
        )


def countable(figure: Mapping[str, Any]) -> bool:
    """Whether a report's figure rests on enough test `groups` to count as a win or a loss (8, method's rule);
    reports of 0.6 and before say of the whole row alone."""
    groups = figure.get("groups")
    return groups is None or groups >= MIN_GROUPS


def ahead_of_every(intervals: Iterable[Interval]) -> bool:
    """Whether there are intervals (ours − theirs) and every one lies above zero; NaN bounds do not."""
    lows = [interval.low for interval in intervals]
    return bool(lows) and all(low > 0 for low in lows)


def wilcoxon(differences: ArrayLike) -> float:
    """One-sided p of Wilcoxon's signed-rank test that differences [rows] lie above zero.

    Exact for few rows without ties (scipy's choice); zeros leave, NaN rows too; 1 where nothing is left.
    """
    from scipy import stats

    values = np.asarray(differences, float)
    values = values[np.isfinite(values) & (values != 0)]
    return float(stats.wilcoxon(values, alternative="greater").pvalue) if len(values) else 1.0


def sign_test(differences: ArrayLike) -> float:
    """One-sided p of the sign test that differences [rows] lie above zero; zeros and NaN leave."""
    from scipy import stats

    values = np.asarray(differences, float)
    values = values[np.isfinite(values) & (values != 0)]
    return (
        float(stats.binomtest(int((values > 0).sum()), len(values), alternative="greater").pvalue)
        if len(values)
        else 1.0
    )


def holm(p_values: ArrayLike) -> NDArray[np.floating]:
    """p-values [K] adjusted for K comparisons at once (Holm 1979, Scand. J. Statist. 6, 65-70)."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def family(differences: Mapping[str, ArrayLike]) -> dict[str, dict[str, float]]:
    """For each comparison (name: differences [rows]) its wilcoxon and sign p, Holm-adjusted over names."""
    names = list(differences)
    ranked = holm([wilcoxon(differences[n]) for n in names])
    signed = holm([sign_test(differences[n]) for n in names])
    return {
        n: {"wilcoxon": float(w), "sign": float(s)} for n, w, s in zip(names, ranked, signed, strict=True)
    }
