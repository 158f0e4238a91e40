"""Comparisons on ready latents (method §5): who trains, who is tested, and who validates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gelda.episodes import NOBODY, Episode, fixed_split, shared_between_splits
from gelda.errors import UserError, unknown
from gelda.metrics import shot_groups
from gelda.ready import Items
from gelda.seeds import numpy_generator
from gelda.splits import folds
from gelda.transfer import few_shot, shared_classes, transfer, zero_shot

__all__ = [
    "BORDERS",
    "CUTS",
    "Episode",
    "by_shots",
    "few_shot",
    "long_tail",
    "long_tail_groups",
    "shared_between_splits",
    "shared_classes",
    "validation",
    "zero_shot",
]
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
    train, test = fixed_split(items, seed)
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
                    transfer(
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
