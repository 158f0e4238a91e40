"""The paired bootstrap over seeds, groups and items, beside `statistics.cluster_interval`; never counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gelda.statistics import Interval, cluster_interval


def bootstrap_means(
    scores_by_seed: Sequence[ArrayLike],
    strata_by_seed: Sequence[NDArray],
    groups_by_seed: Sequence[NDArray],
    *,
    draws: int = 2000,
    seed: int = 0,
    resample_seeds: bool = True,
) -> NDArray[np.floating]:
    """[draws] stratified means over seeds, groups resampled, then the items inside each group's stratum.

    Arguments as in `cluster_interval`; paired when the scores are differences. One draw takes the same
    groups in every seed (so what seeds share stays shared), every copy of a group its own items, and with
    `resample_seeds` also seeds with replacement. A stratum that a draw loses leaves that draw's mean.
    """
    rng = np.random.default_rng(seed)
    seeds = len(scores_by_seed)
    names = np.unique(np.concatenate([np.asarray(g) for g in groups_by_seed]))
    copies = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    weight = (
        rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
        if resample_seeds
        else np.ones((draws, seeds), int)
    )
    total, counted = np.zeros(draws), np.zeros(draws)
    for s, (scores, strata, groups) in enumerate(
        zip(scores_by_seed, strata_by_seed, groups_by_seed, strict=True)
    ):
        mine = copies[:, np.searchsorted(names, np.unique(groups))]
        mean = _resampled(np.asarray(scores, float), np.asarray(strata), np.asarray(groups), mine, rng)
        there = np.isfinite(mean)
        total[there] += (weight[:, s] * mean)[there]
        counted[there] += weight[there, s]
    with np.errstate(invalid="ignore"):
        return total / counted


def bootstrap_interval(
    scores_by_seed: Sequence[ArrayLike],
    strata_by_seed: Sequence[NDArray],
    groups_by_seed: Sequence[NDArray],
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of `bootstrap_means`, around the mean that was found.

    With few groups it is too narrow (benchmarks/intervals.py), so nothing is counted by it: it is shown
    beside `cluster_interval`, which is. NaN bounds below two seeds or two groups.
    """
    mean = cluster_interval(scores_by_seed, strata_by_seed, groups_by_seed).mean
    if (
        len(scores_by_seed) < 2
        or len(np.unique(np.concatenate(list(groups_by_seed)))) < 2
        or not np.isfinite(mean)
    ):
        return Interval(mean, float("nan"), float("nan"))
    found = bootstrap_means(scores_by_seed, strata_by_seed, groups_by_seed, draws=draws, seed=seed)
    low, high = np.nanquantile(found, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(mean, float(low), float(high))


def _resampled(
    scores: NDArray[np.floating],
    strata: NDArray,
    groups: NDArray,
    copies: NDArray[np.integer],
    rng: np.random.Generator,
) -> NDArray[np.floating]:
    """Stratified mean [draws] of groups taken copies [draws, G] times, their items redrawn."""
    _, group = np.unique(groups, return_inverse=True)
    values, place = np.unique(strata, return_inverse=True)
    kinds = len(values)
    order = np.argsort(group * kinds + place, kind="stable")
    cells, start, size = np.unique((group * kinds + place)[order], return_index=True, return_counts=True)
    scores, stratum, copies = scores[order], cells % kinds, copies[:, cells // kinds]
    result = np.empty(len(copies))
    step = max(1, 2_000_000 // max(1, len(scores)))  # draws at a time: memory stays at some tens of MB
    for begin in range(0, len(copies), step):
        number = copies[begin : begin + step] * size  # items to draw [draws, cells]
        flat = number.ravel()
        cell = np.repeat(np.tile(np.arange(len(cells)), len(number)), flat)
        draw = np.repeat(np.repeat(np.arange(len(number)), len(cells)), flat)
        item = start[cell] + (rng.random(len(cell)) * size[cell]).astype(np.int64)
        key = draw * kinds + stratum[cell]
        count = np.bincount(key, minlength=len(number) * kinds).reshape(-1, kinds)
        sums = np.bincount(key, scores[item], minlength=len(number) * kinds).reshape(-1, kinds)
        with np.errstate(invalid="ignore", divide="ignore"):
            there = count > 0
            means = np.where(there, sums / np.maximum(count, 1), 0).sum(1) / there.sum(1)
        result[begin : begin + step] = means
    return result
