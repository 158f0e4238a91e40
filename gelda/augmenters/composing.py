"""Composed conditions in sampling: cells whose condition is another one's, or a mixture of several."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gelda.augmenters.base import Task
from gelda.compositions import Composition
from gelda.conditions import ConditionEncoder
from gelda.errors import UserError


def composed(
    conditions: ConditionEncoder,
    wanted: Sequence[Composition],
    task: Task,
    label: torch.Tensor,
    subdomain: torch.Tensor,
) -> tuple[ConditionEncoder, torch.Tensor, torch.Tensor]:
    """Condition ids [M], [M] to draw the cells (label, subdomain) under, and an encoder that knows them.

    A line that names a class or subdomain out of play (the real target, in validation) is left out. One id of
    weight 1 is that id itself: such a latent is, bit for bit, what the other cell's condition gives.
    """
    if not wanted:
        return conditions, label, subdomain
    if task.class_names is None or task.subdomain_names is None:
        raise UserError("sampling.conditions names cells, and these latents came without names.")
    known = (task.class_names, task.subdomain_names)
    drawn = (label.clone(), subdomain.clone())
    mixtures: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for one in wanted:
        if not all(named <= set(names) for named, names in zip(one.names(), known, strict=True)):
            continue
        c, s = (names.index(name) for names, name in zip(known, one.cell, strict=True))
        rows = (label == c) & (subdomain == s)
        for ids, names, made, mixture in zip(
            drawn, known, mixtures, (one.classes, one.subdomains), strict=True
        ):
            places = [names.index(name) for name, _ in mixture]
            if len(places) == 1:
                ids[rows] = places[0]
            else:
                ids[rows] = len(names) + len(made)
                made.append(torch.zeros(len(names)).index_add_(
                    0, torch.tensor(places), torch.tensor([weight for _, weight in mixture])
                ))  # fmt: skip
    if any(mixtures):
        tables = (
            torch.stack(made) if made else torch.zeros(0, len(names))
            for made, names in zip(mixtures, known, strict=True)
        )
        conditions = conditions.extended(*tables)
    return conditions, *drawn
