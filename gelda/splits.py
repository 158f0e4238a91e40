"""Seeded splits, long-tailed cuts of a manifest with empty cells, and validation folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gelda.errors import UserError, unknown
from gelda.manifest import Manifest
from gelda.seeds import numpy_generator


@dataclass(frozen=True)
class Cut:
    """One seed's experiment.

    split [N]: "train", "dev", "test" or "" (left out by the cut). order [C]: classes from the most
    to the least frequent. counts int [C, S]: training items per cell. groups: class ids of head,
    medium and tail. empty: cells without a training item although the data set has some.
    """

    split: NDArray[np.str_]
    order: tuple[int, ...]
    counts: NDArray[np.int64]
    groups: dict[str, tuple[int, ...]]
    empty: tuple[tuple[int, int], ...]

    def rows(self, name: str) -> NDArray[np.int64]:
        return np.flatnonzero(self.split == name)


def long_tail_cut(
    manifest: Manifest,
    seed: int,
    *,
    imbalance: float = 20.0,
    empty_subdomains: tuple[str, ...] = (),
    shares: tuple[float, float, float] = (0.5, 0.25, 0.25),
    one_subdomain_a_group: bool = True,
) -> Cut:
    """A long-tailed cut over classes, with cells of the tail classes left empty.

    Groups are split between train, dev and test (`shares`), so no group (one handwritten original)
    is on two sides. Each seed draws its own class order; class k of C keeps
    n_k = min(available, n_max·imbalance^(−k/(C−1))) training items, n_max the median class count.
    The ⌈C/3⌉ smallest classes are the tail and have nothing in `empty_subdomains`. With
    `one_subdomain_a_group` a training group appears in one subdomain only, as an image is taken once.
    """
    if imbalance < 1:
        raise UserError(f"imbalance is {imbalance}; it must be at least 1 (1 = balanced classes).")
    for name in empty_subdomains:
        if name not in manifest.subdomain_names:
            raise unknown("subdomain", name, manifest.subdomain_names)
    classes, subdomains = len(manifest.class_names), len(manifest.subdomain_names)
    if len(set(empty_subdomains)) >= subdomains:
        raise UserError("empty_subdomains names every subdomain: the tail would have no training item.")
    table = manifest.table
    label = table["label"].to_numpy()
    subdomain = table["subdomain"].to_numpy()
    group = table["group"].to_numpy()
    split = split_groups(label, group, seed, shares)

    order = tuple(int(c) for c in numpy_generator(seed, "class-order").permutation(classes))
    tail = set(order[classes - -(-classes // 3) :])
    head = set(order[: classes // 3])
    groups = {
        "head": tuple(sorted(head)),
        "medium": tuple(sorted(set(range(classes)) - head - tail)),
        "tail": tuple(sorted(tail)),
    }
    emptied = {manifest.subdomain_names.index(name) for name in empty_subdomains}

    candidates = {}
    for c in range(classes):
        allowed = [s for s in range(subdomains) if not (c in tail and s in emptied)]
        rows = np.flatnonzero((split == "train") & (label == c) & np.isin(subdomain, allowed))
        candidates[c] = _spread(rows, subdomain, group, allowed, one_subdomain_a_group, seed, c)
    most = float(np.median([len(rows) for rows in candidates.values()]))
    kept = np.zeros(len(table), bool)
    for k, c in enumerate(order):
        wanted = most * imbalance ** (-k / max(classes - 1, 1))
        kept[candidates[c][: max(1, round(wanted))]] = True
    split = np.where((split == "train") & ~kept, "", split)

    counts = np.zeros((classes, subdomains), np.int64)
    np.add.at(counts, (label[kept], subdomain[kept]), 1)
    exists = np.zeros_like(counts)
    np.add.at(exists, (label, subdomain), 1)
    empty = tuple((int(c), int(s)) for c, s in zip(*np.nonzero((counts == 0) & (exists > 0)), strict=True))
    return Cut(split, order, counts, groups, empty)


def split_groups(
    label: NDArray[np.integer], group: NDArray, seed: int, shares: tuple[float, float, float]
) -> NDArray[np.str_]:
    """ "train", "dev" or "test" for each item [N]; whole groups move together, stratified by class."""
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise UserError(f"The split shares {shares} must be positive and add up to 1.")
    split = np.full(len(label), "train", dtype="<U5")
    names, first = np.unique(group, return_index=True)
    for c in np.unique(label[first]):
        members = names[label[first] == c]
        members = numpy_generator(seed, "split", int(c)).permutation(members)
        ends = np.round(np.cumsum(shares) * len(members)).astype(int)
        split[np.isin(group, members[ends[0] : ends[1]])] = "dev"
        split[np.isin(group, members[ends[1] :])] = "test"
    return split


def folds(label: NDArray[np.integer], group: NDArray, count: int, seed: int) -> NDArray[np.int64]:
    """Fold number of each training item [N]: whole groups, stratified by class; −1 is never scored.

    A group is in one fold, also where it holds several classes (a speaker): the scarcest class deals its
    groups out first, the others fill up what then has fewest of theirs. Classes of one group, or with all
    groups in one fold, never enter a validation score: without them nothing of the class is left.
    """
    names, place = np.unique(group, return_inverse=True)
    pairs = np.unique(np.stack([np.asarray(label), place], 1), axis=0)
    classes, first = np.unique(pairs[:, 0], return_index=True)
    members = dict(zip(classes.tolist(), np.split(pairs[:, 1], first[1:]), strict=True))
    fold = np.full(len(names), -1, np.int64)
    for c in sorted(members, key=lambda c: (len(members[c]), c)):
        if len(members[c]) < 2:
            continue
        held = np.bincount(fold[members[c]][fold[members[c]] >= 0], minlength=count)
        for one in numpy_generator(seed, "folds", int(c)).permutation(members[c]):
            if fold[one] < 0:
                fold[one] = np.argmin(held)
                held[fold[one]] += 1
    found = fold[place]
    for c, own in members.items():
        if len(np.unique(fold[own])) < 2:
            found[label == c] = -1
    return found


def _spread(rows, subdomain, group, allowed, once: bool, seed: int, c: int) -> NDArray[np.int64]:
    """Rows of a class in an order whose every prefix is spread evenly over the allowed subdomains."""
    rng = numpy_generator(seed, "cut", c)
    by_subdomain = [list(rng.permutation(rows[subdomain[rows] == s])) for s in rng.permutation(allowed)]
    order, used = [], set()
    while any(by_subdomain):
        for queue in by_subdomain:
            while queue:
                row = queue.pop()
                if not (once and group[row] in used):
                    used.add(group[row])
                    order.append(row)
                    break
    return np.array(order, np.int64)
