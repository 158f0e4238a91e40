"""FILTERS: which synthetic latents the head learns from; forms list them, so torch waits for its use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gelda.errors import unknown

if TYPE_CHECKING:
    import torch

    from gelda.augmenters.base import Synthetic, Task


@dataclass(frozen=True)
class FilterSpec:
    """score(synthetic, task, balanced head) -> [M], higher is kept first."""

    title: str
    note: str
    score: Callable[[Synthetic, Task, Callable[[torch.Tensor], torch.Tensor]], torch.Tensor] | None


def _confidence(made: Synthetic, task: Task, head: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    return head(made.latents).softmax(-1).gather(-1, made.label[:, None])[:, 0]


def _neighbour(made: Synthetic, task: Task, head: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    import torch

    score = torch.zeros(len(made))
    for c in made.label.unique():
        mine, real = made.label == c, task.latents[task.label == c]
        if len(real):
            score[mine] = -torch.cdist(made.latents[mine], real).amin(1)
    return score


FILTERS: dict[str, FilterSpec] = {
    "none": FilterSpec("Keep all", "Every synthetic latent is used.", None),
    "confidence": FilterSpec(
        "Classifier confidence", "Keeps what the balanced real-only head takes for its class.", _confidence
    ),
    "neighbour": FilterSpec(
        "Distance to real neighbours", "Keeps what lies near a real latent of its class.", _neighbour
    ),
}


def keep(
    name: str,
    made: Synthetic,
    task: Task,
    head: Callable[[torch.Tensor], torch.Tensor],
    kept_share: float,
) -> torch.Tensor:
    """Which synthetic latents to keep, bool [M]: the best `kept_share` of each cell (at least one)."""
    import torch

    if name not in FILTERS:
        raise unknown("filter", name, FILTERS)
    score_of = FILTERS[name].score
    kept = torch.ones(len(made), dtype=torch.bool)
    if score_of is None or len(made) == 0:
        return kept
    score = score_of(made, task, head)
    level = torch.ones_like(made.label) if made.level is None else made.level
    cells = torch.stack([made.label, made.subdomain, level], 1)
    for cell in cells.unique(dim=0):
        rows = (cells == cell).all(1).nonzero()[:, 0]
        number = max(1, round(kept_share * len(rows)))
        kept[rows[score[rows].argsort(descending=True, stable=True)[number:]]] = False
    return kept
