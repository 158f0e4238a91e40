"""How often 95 % intervals hold the truth: five seeds, 8 to 24 test groups, simulated.

    python benchmarks/intervals.py          # 1000 experiments a row: about 8 minutes on 1 core
    python benchmarks/intervals.py 200      # fewer experiments a row

Items are paired differences of hits (−1, 0, 1) around +5 points, four classes that weigh alike, about six
items of each class in a group. Every experiment draws new group sizes and effects. Prints coverage and mean
half-width (points) of `seed_interval` on `grouped_mean_variance`, `cluster_interval`, and (every fourth
experiment) the percentile bootstrap over seeds, groups and items.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from gelda.bootstrap import bootstrap_interval
from gelda.statistics import (
    Interval,
    cluster_interval,
    grouped_mean_variance,
    seed_interval,
    shared_share,
)

TRUTH = 0.05


@dataclass(frozen=True)
class Case:
    """Standard deviations of the effects on an item's expected difference; share: groups tested a seed."""

    name: str
    seed: float = 0.0
    group: float = 0.0
    both: float = 0.0
    cell: float = 0.0
    unequal: bool = False
    share: float = 1.0


CASES = (
    Case("nothing but items"),
    Case("groups", group=0.15),
    Case("seeds and groups", seed=0.05, group=0.1, both=0.05, cell=0.1),
    Case("seeds with groups", both=0.1),
    Case("mostly seeds", seed=0.12, group=0.03),
    Case("groups, unequal", group=0.15, cell=0.1, unequal=True),
    Case("seeds and groups, unequal", seed=0.05, group=0.1, both=0.05, cell=0.1, unequal=True),
    Case("half of the groups a seed", seed=0.05, group=0.15, cell=0.1, share=0.5),
)

Arrays = tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]


def experiment(
    rng: np.random.Generator, case: Case, groups: int, seeds: int = 5, classes: int = 4, items: float = 6.0
) -> Arrays:
    """scores, strata and groups of each seed."""
    size = np.exp(rng.normal(0, 0.7, size=(groups, 1))) if case.unequal else np.ones((groups, 1))
    # no class and no group is empty: an interval cannot speak of what was never tested
    count = np.maximum(rng.poisson(items * size * np.ones((1, classes))), 1).ravel()
    group = np.repeat(np.repeat(np.arange(groups), classes), count)
    stratum = np.repeat(np.tile(np.arange(classes), groups), count)
    of_group = case.group * rng.normal(size=groups)
    of_cell = case.cell * rng.normal(size=(groups, classes))
    shared = rng.random(len(group))
    scores, strata, names = [], [], []
    for _ in range(seeds):
        tested = np.sort(rng.choice(groups, max(2, round(case.share * groups)), replace=False))
        rows = np.isin(group, tested)
        effect = case.seed * rng.normal() + of_group + case.both * rng.normal(size=groups)
        expected = TRUTH + np.clip(effect[group] + of_cell[group, stratum], -0.3, 0.3)
        # half of an item's luck is the item's own, half the seed's
        luck = np.where(rng.random(len(group)) < 0.5, shared, rng.random(len(group)))
        won, lost = luck < 0.2 + expected / 2, luck > 1 - (0.2 - expected / 2)
        scores.append((won.astype(float) - lost)[rows])
        strata.append(stratum[rows])
        names.append(group[rows])
    return scores, strata, names


def plain(scores: list[np.ndarray], strata: list[np.ndarray], names: list[np.ndarray]) -> Interval:
    """The interval over seeds with the whole items' variance, t with S − 1 degrees of freedom."""
    pairs = [grouped_mean_variance(*arrays) for arrays in zip(scores, strata, names, strict=True)]
    return seed_interval([m for m, _ in pairs], [v for _, v in pairs], shared_share(names))


def bootstrap(scores: list[np.ndarray], strata: list[np.ndarray], names: list[np.ndarray]) -> Interval:
    return bootstrap_interval(scores, strata, names, draws=500)


def main(experiments: int) -> None:
    kinds = {"seed_interval": plain, "cluster_interval": cluster_interval, "bootstrap": bootstrap}
    print("| case | groups | " + " | ".join(f"{k}: coverage, half-width" for k in kinds) + " |")
    print("|---|---|" + "---|" * len(kinds))
    lowest = dict.fromkeys(kinds, 1.0)
    for case in CASES:
        for groups in (8, 12, 24):
            rng = np.random.default_rng(groups)
            inside: dict[str, list[bool]] = {kind: [] for kind in kinds}
            half: dict[str, list[float]] = {kind: [] for kind in kinds}
            for number in range(experiments):
                arrays = experiment(rng, case, groups)
                for kind, interval in kinds.items():
                    if kind == "bootstrap" and number % 4:
                        continue
                    got = interval(*arrays)
                    inside[kind].append(got.low <= TRUTH <= got.high)
                    half[kind].append(50 * (got.high - got.low))
            for kind in kinds:
                lowest[kind] = min(lowest[kind], float(np.mean(inside[kind])))
            figures = " | ".join(f"{100 * np.mean(inside[k]):.1f} %, {np.mean(half[k]):.1f}" for k in kinds)
            print(f"| {case.name} | {groups} | {figures} |", flush=True)
    print("lowest: " + ", ".join(f"{k} {100 * v:.1f} %" for k, v in lowest.items()))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
