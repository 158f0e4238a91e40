"""Who is trained on what: seeded splits, long-tailed cuts, empty cells, and validation folds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gelda.errors import UserError, unknown
from gelda.manifest import Manifest
from gelda.ready import Items
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


# -- comparisons on ready latents (method §5): who trains, who is tested, who validates -------------------


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


def long_tail(items: Items, seed: int, *, imbalance: float = 100.0, cut: str = "class") -> Episode:
    """The long-tailed cut of method §5, over classes or over (class, subdomain) cells.

    Each seed draws a new order of the units; unit k of U keeps n_k = min(available,
    n_max·imbalance^(−k/(U−1))) training items, n_max the median unit count. tail = the ⌈U/3⌉ smallest
    units where U < 50 or none has fewer than 20 items, else the few-shot group (< 20).
    """
    if cut not in ("class", "cell"):
        raise unknown("cut", cut, ("class", "cell"))
    if imbalance < 1:
        raise UserError(f"imbalance is {imbalance}; it must be at least 1 (1 = balanced).")
    train, test = _fixed_split(items, seed)
    if len(train) == 0 or len(test) == 0:
        side = "train on" if len(train) == 0 else "test on"
        raise UserError(f"The bank's split leaves no item to {side}: give it other splits or more groups.")
    subdomains = items.cells[1]
    by_cell = cut == "cell"
    unit = items.label * subdomains + items.subdomain if by_cell else items.label
    units = np.unique(unit[train])
    order = numpy_generator(seed, "order", cut).permutation(units)
    available = np.array([np.sum(unit[train] == u) for u in order])
    most = float(np.median(available))
    kept, sizes = [], []
    for k, u in enumerate(order):
        wanted = max(1, round(most * imbalance ** (-k / max(len(order) - 1, 1))))
        rows = numpy_generator(seed, "cut", cut, int(u)).permutation(train[unit[train] == u])
        kept.append(rows[:wanted])
        sizes.append(len(kept[-1]))
    rows = np.sort(np.concatenate(kept))
    cells_of = {
        int(u): [divmod(int(u), subdomains)] if by_cell else [(int(u), s) for s in range(subdomains)]
        for u in order
    }
    named = long_tail_groups(np.array(sizes))
    groups = {
        name: tuple(cell for place in places for cell in cells_of[int(order[place])])
        for name, places in named.items()
    }
    counts, exists = items.counts(rows), items.counts(np.r_[train, test]) > 0
    groups["unseen"] = tuple((int(c), int(s)) for c, s in np.argwhere((counts == 0) & exists))
    open_cells = items.counts(train) > 0  # before the cut; which cells are tested must not matter
    present = tuple(int(c) for c in np.unique(items.label[rows]))
    return Episode(
        "longtail",
        seed,
        0,
        rows,
        test[np.isin(items.label[test], present)],
        present,
        NOBODY,
        open_cells,
        groups,
        by_cell=by_cell,
    )


def long_tail_groups(sizes: NDArray[np.integer]) -> dict[str, list[int]]:
    """Places of the head, medium and tail units for training counts [U] (method §5).

    Thirds by count where U < 50 or no unit has fewer than 20 items, else > 100, 20–100 and < 20.
    """
    by_size = np.argsort(-sizes, kind="stable")
    count = len(sizes)
    if count < 50 or sizes.min() >= 20:
        tail, head = by_size[count - -(-count // 3) :], by_size[: count // 3]
    else:
        tail, head = np.flatnonzero(sizes < 20), np.flatnonzero(sizes > 100)
    medium = [p for p in range(count) if p not in set(head) | set(tail)]
    return {"head": sorted(map(int, head)), "medium": medium, "tail": sorted(map(int, tail))}


def zero_shot(
    items: Items,
    seed: int,
    *,
    target: int,
    kept: int,
    classes: tuple[int, ...] = (),
    unlabelled: bool = False,
    rotations: int = 4,
) -> list[Episode]:
    """The target subdomain has training items of the kept class only; all others come from the sources.

    Test folds rotate over the target's groups, the kept class coming from the other groups, so that
    each is tested once; a bank without groups is tested on its own test split. Neutral-only unless
    `unlabelled`: then the latents of the target's training groups may be read without labels.
    """
    return [
        _transfer(items, seed, number, target, kept, 0, classes, rest, test, unlabelled)
        for number, (rest, test) in enumerate(_rotations(items, seed, target, rotations))
    ]


def few_shot(
    items: Items,
    seed: int,
    *,
    target: int,
    shots: int,
    classes: tuple[int, ...] = (),
    unlabelled: bool = False,
    rotations: int = 4,
) -> list[Episode]:
    """The target subdomain has `shots` training items of every class, drawn from groups not tested."""
    if shots < 1:
        raise UserError(f"shots is {shots}; a few-shot comparison needs at least one item a class.")
    return [
        _transfer(items, seed, number, target, None, shots, classes, rest, test, unlabelled)
        for number, (rest, test) in enumerate(_rotations(items, seed, target, rotations))
    ]


def shared_classes(items: Items, named: tuple[str, ...] = ()) -> tuple[int, ...]:
    """Class ids present in every subdomain, or those named."""
    for name in named:
        if name not in items.class_names:
            raise unknown("class", name, items.class_names)
    everywhere: NDArray[np.bool_] = np.all(items.counts(np.arange(len(items.label))) > 0, axis=1)
    if named:
        chosen = tuple(sorted(items.class_names.index(name) for name in named))
        missing = [items.class_names[c] for c in chosen if not everywhere[c]]
        if missing:
            raise UserError(f"The class '{missing[0]}' is not in every subdomain: leave it out of --classes.")
        return chosen
    return tuple(int(c) for c in np.flatnonzero(everywhere))


def validation(items: Items, episode: Episode, count: int = 3) -> list[Episode]:
    """The episodes on which every choice for `episode` is made; none reads a test label.

    Long tail: group-wise stratified folds inside the cut; classes (or cells) of one group are
    trained on and never scored. Transfer: each source subdomain in turn plays the target, on half of
    its groups, with as many of the shots as it has; nothing of the real target is read, so all rotations of
    a seed share the choice. Where no source can play it (there is one only), folds inside the training set.
    Raises UserError where nothing can be held out.
    """
    found = []
    if episode.kind != "longtail":
        inside = episode.train[items.subdomain[episode.train] != episode.target]
        sources = [int(s) for s in np.unique(items.subdomain[inside])]
        for place, s in enumerate(sources if len(sources) > 1 else []):
            own = inside[items.subdomain[inside] == s]
            rng = numpy_generator(episode.seed, "pseudo-target", s)
            members = rng.permutation(np.unique(items.group[own]))
            half = np.isin(items.group[own], members[: -(-len(members) // 2)])
            others = inside[items.subdomain[inside] != s]
            unlabelled = len(episode.unlabelled) > 0
            try:
                found.append(
                    _transfer(
                        items,
                        episode.seed,
                        place,
                        s,
                        episode.kept,
                        episode.shots,
                        episode.classes,
                        own[half],
                        own[~half],
                        unlabelled,
                        others,
                    )
                )
            except UserError:  # too few groups of its own, or none of the kept class: the others play it
                continue
    found = found or _validation_folds(items, episode, count)
    if not found:
        raise UserError(
            "Nothing can be held out for validation: no class has training items of two groups or more."
        )
    return found


def _validation_folds(items: Items, episode: Episode, count: int) -> list[Episode]:
    rows, group = episode.train, items.group[episode.train]
    unit = items.label[rows]
    if episode.by_cell:
        unit = unit * items.cells[1] + items.subdomain[rows]
    fold: NDArray[np.int64] = folds(unit, group, count, episode.seed)
    found = []
    for k in range(count):
        # a tested group's items of classes that are never scored leave too
        mine: NDArray[np.bool_] = fold == k
        inside = ~np.isin(group, group[mine])
        scored = mine & np.isin(unit, unit[inside])
        if scored.any():
            found.append(replace(episode, fold=k, train=rows[inside], test=rows[scored]))
    return found


def _transfer(
    items: Items,
    seed: int,
    fold: int,
    target: int,
    kept: int | None,
    shots: int,
    classes: tuple[int, ...],
    rest: NDArray[np.int64],
    test: NDArray[np.int64],
    unlabelled: bool,
    sources: NDArray[np.int64] | None = None,
) -> Episode:
    """An episode whose target has only what it may have; `rest` are the target's rows not tested."""
    classes = classes or shared_classes(items)
    if kept is not None and kept not in classes:
        raise UserError(f"The kept class '{items.class_names[kept]}' is not among the compared classes.")
    real = sources is None
    if sources is None:
        sources = np.flatnonzero((items.subdomain != target) & (items.split != "test"))
        if items.grouped:  # other subdomains' groups are never tested here: all of their items may be used
            sources = np.flatnonzero(items.subdomain != target)
    # a group that the target shares with a source (one speaker of two languages) is tested in some rotation
    sources = sources[~np.isin(items.group[sources], items.group[np.r_[rest, test]])]
    sources = sources[np.isin(items.label[sources], classes)]
    rest, test = rest[np.isin(items.label[rest], classes)], test[np.isin(items.label[test], classes)]
    name = items.subdomain_names[target]
    if len(sources) == 0:
        raise UserError(f"Every other subdomain's groups are in '{name}' too: nothing is left to train on.")
    if shots:
        drawn = [
            numpy_generator(seed, "shots", target, fold, c).permutation(rest[items.label[rest] == c])[:shots]
            for c in classes
        ]
        given = np.concatenate(drawn)
        short = min(range(len(classes)), key=lambda k: len(drawn[k]))
        if len(drawn[short]) < (shots if real else 1):
            raise UserError(
                f"'{name}' has {len(drawn[short])} items of '{items.class_names[classes[short]]}' in groups "
                f"that are not tested, and {shots} shots were asked for: give fewer shots."
            )
    else:
        given = rest[items.label[rest] == kept]
    if len(given) == 0 or len(test) == 0:
        raise UserError(f"The subdomain '{name}' has too few groups to train and to test on.")
    wanted = np.zeros(items.cells, bool)
    wanted[list(classes)] = True
    unseen = tuple((c, target) for c in classes if c != kept) if not shots else ()
    scarce = tuple((c, target) for c in classes if c != kept)
    return Episode(
        "few-shot" if shots else "zero-shot",
        seed,
        fold,
        np.sort(np.concatenate([sources, given])),
        np.sort(test),
        tuple(classes),
        np.setdiff1d(rest, given) if unlabelled else NOBODY,
        wanted,
        {"tail": scarce, "unseen": unseen},
        kept=kept,
        target=target,
        shots=shots,
    )


def _rotations(items: Items, seed: int, target: int, count: int) -> list[tuple[NDArray, NDArray]]:
    """(rows not tested, rows tested) of the target, each group tested once."""
    own = np.flatnonzero(items.subdomain == target)
    if not items.grouped:
        train, test = _fixed_split(items, seed)
        return [(train[items.subdomain[train] == target], test[items.subdomain[test] == target])]
    members = numpy_generator(seed, "rotation", target).permutation(np.unique(items.group[own]))
    if len(members) < 2:
        raise UserError(
            f"The subdomain '{items.subdomain_names[target]}' has one group only: none is left to test on."
        )
    parts = np.array_split(members, min(count, len(members)))
    tested = [np.isin(items.group[own], part) for part in parts]
    return [(own[~t], own[t]) for t in tested]


def _fixed_split(items: Items, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
