"""Comparisons on ready latents (method §5): who trains, who is tested, and who validates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gelda.errors import UserError, unknown
from gelda.metrics import shot_groups
from gelda.ready import Items
from gelda.seeds import numpy_generator
from gelda.splits import folds, split_groups


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
CUTS = ("class", "cell", "given")


BORDERS = (20, 100)  # few-shot: fewer items than the first; many-shot: more than the second


def long_tail(
    items: Items,
    seed: int,
    *,
    imbalance: float = 100.0,
    cut: str = "class",
    borders: tuple[int, int] = BORDERS,
) -> Episode:
    """The long-tailed cut of method §5, over classes or over (class, subdomain) cells.

    Each seed draws a new order of the units; unit k of U keeps n_k = min(available,
    n_max·imbalance^(−k/(U−1))) training items, n_max the median unit count. `given` draws nothing: data that
    are long-tailed already keep all training items of their own split, the same ones in every seed. tail =
    the ⌈U/3⌉ smallest units where U < 50 or none has fewer than 20 items, else the few-shot group (< 20;
    borders: 20 and 100).
    """
    if cut not in CUTS:
        raise unknown("cut", cut, CUTS)
    if imbalance < 1:
        raise UserError(f"imbalance is {imbalance}; it must be at least 1 (1 = balanced).")
    if cut == "given" and not (items.split == "test").any():
        raise UserError(
            "cut 'given' takes training and test items as the data's own split has them; this bank has no "
            "split: give its items one (train, test), or let GeLDA cut with --cut class."
        )
    train, test = _fixed_split(items, seed)
    if len(train) == 0 or len(test) == 0:
        side = "train on" if len(train) == 0 else "test on"
        raise UserError(f"The bank's split leaves no item to {side}: give it other splits or more groups.")
    subdomains = items.cells[1]
    by_cell = cut == "cell"
    unit = items.label * subdomains + items.subdomain if by_cell else items.label
    units = np.unique(unit[train])
    order = units if cut == "given" else numpy_generator(seed, "order", cut).permutation(units)
    available = np.array([np.sum(unit[train] == u) for u in order])
    most = float(np.median(available))
    kept, sizes = [], []
    for k, u in enumerate(order):
        wanted = max(1, round(most * imbalance ** (-k / max(len(order) - 1, 1))))
        rows = numpy_generator(seed, "cut", cut, int(u)).permutation(train[unit[train] == u])
        kept.append(rows if cut == "given" else rows[:wanted])
        sizes.append(len(kept[-1]))
    rows = np.sort(np.concatenate(kept))
    cells_of = {
        int(u): [divmod(int(u), subdomains)] if by_cell else [(int(u), s) for s in range(subdomains)]
        for u in order
    }
    named = long_tail_groups(np.array(sizes), borders)
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


def by_shots(sizes: NDArray[np.integer], borders: tuple[int, int] = BORDERS) -> bool:
    """Whether training counts [U] make many-, medium- and few-shot groups; thirds by count else."""
    return len(sizes) >= 50 and bool(sizes.min() < borders[0])


def long_tail_groups(sizes: NDArray[np.integer], borders: tuple[int, int] = BORDERS) -> dict[str, list[int]]:
    """Places of the head, medium and tail units for training counts [U] (method §5).

    Thirds by count where U < 50 or no unit has fewer than 20 items, else > 100, 20–100 and < 20.
    """
    by_size = np.argsort(-sizes, kind="stable")
    count = len(sizes)
    if not by_shots(sizes, borders):
        tail, head = by_size[count - -(-count // 3) :], by_size[: count // 3]
    else:
        shots = shot_groups(sizes, many=borders[1], few=borders[0])
        tail, head = np.array(shots["few"]), np.array(shots["many"])
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
    a seed share the choice. Where no source can play it (there is one only), folds inside the sources,
    without a target: the target's own training items are tested in other rotations.
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
        if not found and len(inside):
            alone = replace(episode, kind="longtail", train=inside, target=None, kept=None, unlabelled=NOBODY)
            found = _validation_folds(items, alone, count)
    else:
        found = _validation_folds(items, episode, count)
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
    """(rows not tested, rows tested) of the target, each group tested once; its own split where it has one
    and names no groups (an EmoBox corpus without speakers has folds of its own)."""
    own = np.flatnonzero(items.subdomain == target)
    alone = len(np.unique(items.group[own])) == len(own)
    if not items.grouped or alone and (items.split[own] == "test").any():
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
