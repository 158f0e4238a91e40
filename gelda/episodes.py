"""An episode: one training set and what it is tested on; and the split that a bank brings along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gelda.ready import Items
from gelda.splits import split_groups


@dataclass(frozen=True)
class Episode:
    """One training set and what it is tested on; row numbers into a bank.

    classes: the class ids in play. unlabelled: target rows whose latents, never labels, may be read
    (transductive setting only). wanted bool [C, S]: cells that an augmenter may fill. groups: which
    cells make a measure, {"tail": ((c, s), …)}. by_cell: the strata of a mean are cells, not classes.
    """

    kind: str
    seed: int
    fold: int
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    classes: tuple[int, ...]
    unlabelled: NDArray[np.int64]
    wanted: NDArray[np.bool_]
    groups: dict[str, tuple[tuple[int, int], ...]]
    kept: int | None = None
    target: int | None = None
    shots: int = 0
    by_cell: bool = False


NOBODY = np.zeros(0, np.int64)


def fixed_split(items: Items, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The bank's own train and test rows; a bank without a split is split by groups, anew in each seed.

    Training rows of a tested group leave.
    """
    split = items.split
    if not (split == "test").any():
        split = split_groups(items.label, items.group, seed, (0.5, 0.25, 0.25))
    train, test = np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
    return train[~np.isin(items.group[train], items.group[test])], test


def shared_between_splits(items: Items) -> int:
    """Training items of the bank's own split whose group (speaker) it tests too: they are left out."""
    train, test = items.split == "train", items.split == "test"
    return int(np.isin(items.group[train], items.group[test]).sum())
