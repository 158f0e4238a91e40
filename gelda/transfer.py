"""Transfer to a subdomain of which little is labelled (method §5): zero-shot and few-shot episodes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gelda.episodes import NOBODY, Episode, fixed_split
from gelda.errors import UserError, unknown
from gelda.ready import Items
from gelda.seeds import numpy_generator


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
        transfer(items, seed, number, target, kept, 0, classes, rest, test, unlabelled)
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
        transfer(items, seed, number, target, None, shots, classes, rest, test, unlabelled)
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


def transfer(
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
        train, test = fixed_split(items, seed)
        return [(train[items.subdomain[train] == target], test[items.subdomain[test] == target])]
    members = numpy_generator(seed, "rotation", target).permutation(np.unique(items.group[own]))
    if len(members) < 2:
        raise UserError(
            f"The subdomain '{items.subdomain_names[target]}' has one group only: none is left to test on."
        )
    parts = np.array_split(members, min(count, len(members)))
    tested = [np.isin(items.group[own], part) for part in parts]
    return [(own[~t], own[t]) for t in tested]
