"""ALLOCATIONS: how many synthetic latents each (class, subdomain) cell gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gelda.errors import unknown

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class AllocationSpec:
    """counts(real [C, S], factor) -> synthetic [C, S]."""

    title: str
    note: str
    counts: Callable[[Counts, float], Counts]


def _head_cell(real: Counts, factor: float) -> Counts:
    return np.maximum(np.round(factor * real.max()).astype(np.int64) - real, 0)


def _head_class(real: Counts, factor: float) -> Counts:
    missing = np.maximum(np.round(factor * real.sum(1).max()).astype(np.int64) - real.sum(1), 0)
    shares = missing[:, None] / real.shape[1]
    # the remainder goes to the first cells, so that a class's total is exact
    whole = np.floor(shares).astype(np.int64).repeat(real.shape[1], 1)
    return whole + (np.arange(real.shape[1])[None] < (missing - whole.sum(1))[:, None])


def _multiple(real: Counts, factor: float) -> Counts:
    return np.round(real * factor).astype(np.int64)


def _empty(real: Counts, factor: float) -> Counts:
    return np.where(real == 0, np.round(factor * real.max()).astype(np.int64), 0)


ALLOCATIONS: dict[str, AllocationSpec] = {
    "head-cell": AllocationSpec(
        "Fill every cell to the fullest one", "Scarce and empty cells get the most.", _head_cell
    ),
    "head-class": AllocationSpec(
        "Fill every class to the largest one", "Spread evenly over the class's subdomains.", _head_class
    ),
    "multiple": AllocationSpec("A multiple of the real count", "Keeps the imbalance as it is.", _multiple),
    "empty-cells": AllocationSpec("Empty cells only", "Cells with a real item get nothing.", _empty),
}


def allocate(name: str, real: Counts, factor: float = 1.0) -> Counts:
    """Synthetic latents per cell [C, S] under policy `name`."""
    if name not in ALLOCATIONS:
        raise unknown("allocation", name, ALLOCATIONS)
    return ALLOCATIONS[name].counts(real, factor)


def scarce_cells(
    real: Counts, open_cells: NDArray[np.bool_], most: int, *, target: int | None, by_cell: bool
) -> Counts:
    """A comparison's synthetic latents per cell [C, S], of the cells that may be filled (open_cells [C, S]).

    Transfer: the target's cells up to a class's mean total over the sources, the kept cell too, so
    that the target is as large as they are and balanced. Long tail: every class (or cell) up to the
    largest, evenly over its cells. Never more than `most` a cell, nor in total more than there are real
    latents: a weight of 1 then lets synthetic and real ones count alike.
    """
    wanted = np.zeros_like(real)
    if target is not None:
        mean = round(float(np.delete(real, target, 1).sum(1).mean()))
        wanted[:, target] = np.maximum(mean - real[:, target], 0)
    elif by_cell:
        wanted = real.max() - real
    else:
        missing = real.sum(1).max() - real.sum(1)
        wanted = np.where(open_cells, np.ceil(missing / np.maximum(open_cells.sum(1), 1))[:, None], 0)
    wanted = np.minimum(np.where(open_cells, wanted, 0), most)
    share = min(1.0, real.sum() / max(1, wanted.sum()))
    return np.where(wanted > 0, np.maximum(1, np.floor(share * wanted)), 0).astype(np.int64)
