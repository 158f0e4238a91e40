"""Are the selected synthetic latents healthy? `health`'s main figures for any selection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda import metrics
from gelda.seeds import numpy_generator

Array = NDArray[np.floating]
Rows = NDArray[np.int64]

MOST = 500  # latents of a kind that enter: the Fréchet distance of more would take seconds
FEWEST = 10  # below, a two-sample figure says nothing
SMALLEST = 6  # latents of a kind in a cell, or a class, whose neighbourhoods are looked at: five and oneself


@dataclass(frozen=True)
class SelectionHealth:
    """Figures by name, None where there are too few latents; `why` then says so.

    variance_ratio, nearest_ratio: 1 is right. frechet, precision, coverage: with `_real`, what real latents
    reach against real ones at the same numbers. held: whether real means held-out (dev), else training.
    same_cells: whether the real latents are of the selection's own cells, else of its classes.
    within: what precision and coverage were computed within, "cell" or "class"; "" where they were not.
    """

    real: int
    synthetic: int
    used: int  # synthetic latents that entered
    held: bool
    same_cells: bool
    within: str = ""
    figures: dict[str, float | None] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)


def selection_health(
    latents: Array, distance: Array, points: pd.DataFrame, rows: Rows, seed: int = 0
) -> SelectionHealth:
    """Figures of the synthetic latents among `rows`, in standardised z^(l) [N, D]; test items never enter.

    distance [N]: from each point to its nearest training latent (`neighbours.load_neighbours`).
    The real ones are the dev half's where the run has one, else training samples, of the same cells; where
    those are under FEWEST, of the same classes, and then only figures of shape are given.
    """
    synthetic = (points["origin"] == "synthetic").to_numpy()
    split, label = points["split"].to_numpy(), points["label"].to_numpy()
    cell = label.astype(np.int64) * (int(points["subdomain"].max()) + 1) + points["subdomain"].to_numpy()
    rng = numpy_generator(seed, "selection-health")
    made = rows[synthetic[rows] & np.isfinite(latents[rows, 0])]
    held = bool((split == "dev").any())
    other = np.flatnonzero(~synthetic & (split == ("dev" if held else "train")))
    real = other[np.isin(cell[other], cell[made])]
    same = len(real) >= FEWEST
    if not same:
        real = other[np.isin(label[other], label[made])]
    counts = len(rows) - int(synthetic[rows].sum()), int(synthetic[rows].sum())
    found = SelectionHealth(*counts, min(MOST, len(made)), held, same)
    if not len(made):
        return found
    _memorisation(found, distance, made, real)
    made, real = rng.permutation(made), rng.permutation(real)
    kind = "held-out real" if held else "real training"
    _shape(found, latents, cell, label, made[:MOST], real[:MOST], kind)
    if not same:
        reason = f"There are no {FEWEST} {kind} latents of these cells to compare places with."
        _missing(found, reason, "precision", "coverage")
        return found
    for within, group in (("cell", cell), ("class", label)):
        if _support(found, latents, cell, group, made, real):
            return replace(found, within=within)
    reason = f"It needs {FEWEST} synthetic latents and twice as many {kind} ones of their cells."
    _missing(found, reason, "precision", "coverage")
    return found


def _missing(found: SelectionHealth, reason: str, *names: str) -> None:
    for name in names:
        found.figures[name], found.why[name] = None, reason


def _shape(
    found: SelectionHealth, z: Array, cell: Rows, label: Rows, made: Rows, real: Rows, kind: str
) -> None:
    """Spread within cells, and the Fréchet distance of the latents with their cells' means taken off."""
    classes = dict(zip(cell.tolist(), label.tolist(), strict=True))
    ours, own = metrics.residuals(z[made].astype(np.float32), cell[made])
    theirs, their = metrics.residuals(z[real].astype(np.float32), cell[real])
    by_class = [np.array([classes[int(c)] for c in cells], np.int64) for cells in (own, their)]
    ratio = metrics.variance_ratio(metrics.variance_ratios(ours, by_class[0], theirs, by_class[1]))
    if np.isfinite(ratio) and len(ours) >= FEWEST:
        found.figures["variance_ratio"] = ratio
    else:
        reason = f"It needs {FEWEST} synthetic latents and as many {kind} ones of a class."
        _missing(found, reason, "variance_ratio")
    rng = numpy_generator(0, "selection-frechet")
    order = rng.permutation(len(theirs))
    ours = ours[rng.permutation(len(ours))]  # residuals come cell after cell
    first, second = theirs[order[::2]], theirs[order[1::2]]
    count = min(len(ours), len(first))
    if count < FEWEST:
        reason = f"It needs {FEWEST} synthetic and {2 * FEWEST} {kind} latents: "
        reason += f"{len(ours)} and {len(theirs)} are here."
        _missing(found, reason, "frechet")
        return
    found.figures["frechet"] = metrics.frechet(ours[:count], second)
    found.figures["frechet_real"] = metrics.frechet(first[:count], second)


def _support(found: SelectionHealth, z: Array, cell: Rows, group: Rows, made: Rows, real: Rows) -> bool:
    """Precision and coverage within each group (its cells, or its classes), so that what else is selected
    changes nothing, and their mean over latents; beside them those of the other real half, at the same
    numbers in every cell. False where no group has enough."""
    sums: dict[str, float] = {}
    total = 0
    mine, real_too = np.bincount(group[made]), np.bincount(group[real], minlength=int(group[made].max()) + 1)
    enough = np.minimum(mine, real_too[: len(mine)] // 2) >= SMALLEST
    for one in dict.fromkeys(group[made[enough[group[made]]]].tolist()):  # in the order of shuffled rows
        parts = _balanced(cell, made[group[made] == one], real[group[real] == one])
        if len(parts[0]) < SMALLEST:
            continue
        fixed, other, ours = (z[rows].astype(np.float32) for rows in parts)
        for suffix, some in (("", ours), ("_real", other)):
            support = metrics.support(fixed, some)
            for name, value in (("precision", support.precision), ("coverage", support.coverage)):
                sums[name + suffix] = sums.get(name + suffix, 0.0) + value * len(fixed)
        total += len(fixed)
        if total >= MOST:
            break
    if total < FEWEST:
        return False
    found.figures.update({name: value / total for name, value in sums.items()})
    return True


def _balanced(cell: Rows, made: Rows, real: Rows) -> tuple[Rows, Rows, Rows]:
    """Two halves of the real rows and the synthetic ones, as many of each in every cell; MOST at most."""
    halves: tuple[list[Rows], ...] = ([], [], [])
    for one in np.unique(cell[made]):
        there, here = real[cell[real] == one], made[cell[made] == one]
        count = min(len(there) // 2, len(here), MOST)
        for half, rows in zip(halves, (there[:count], there[count : 2 * count], here[:count]), strict=True):
            half.append(rows)
    fixed, other, ours = (np.concatenate(half)[:MOST] for half in halves)
    return fixed, other, ours


def _memorisation(found: SelectionHealth, distance: Array, made: Rows, real: Rows) -> None:
    """Median distance to the nearest training latent, over that of real latents which are not it."""
    ours, theirs = (some[np.isfinite(some)] for some in (distance[made], distance[real]))
    if not len(ours) or not len(theirs):
        _missing(found, "There are no real latents to compare with.", "nearest_ratio")
    else:
        found.figures["nearest_ratio"] = float(np.median(ours) / max(float(np.median(theirs)), 1e-12))
