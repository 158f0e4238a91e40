"""What every augmenter is given and what it may change: a base class of no-op hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gelda.errors import UserError


@dataclass(frozen=True)
class Task:
    """Training rows of one seed at the generation layer, and nothing else.

    latents fp32 [N, D]: standardised z^(l); label, subdomain int64 [N]; allocation int [C, S]:
    synthetic latents wanted per cell; attributes: the data set's γ and κ tables or None.
    """

    latents: torch.Tensor
    label: torch.Tensor
    subdomain: torch.Tensor
    classes: int
    subdomains: int
    allocation: NDArray[np.int64]
    seed: int
    class_attributes: torch.Tensor | None = None
    subdomain_attributes: torch.Tensor | None = None
    # names, and the γ and κ vectors that came with ready latents: semantic sources read them
    class_names: tuple[str, ...] | None = None
    subdomain_names: tuple[str, ...] | None = None
    class_given: torch.Tensor | None = None
    subdomain_given: torch.Tensor | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    on_step: Callable[[int, int, float], None] = lambda step, total, loss: None

    def __post_init__(self) -> None:
        if self.latents.ndim != 2 or len(self.latents) == 0:
            raise UserError(
                f"Training latents must be a non-empty [N, D] table, not {tuple(self.latents.shape)}."
            )
        if not torch.isfinite(self.latents).all():
            row = int((~torch.isfinite(self.latents).all(1)).nonzero()[0])
            raise UserError(
                f"Training latent in row {row} holds NaN or infinity: remove it or extract again."
            )
        if len(self.label) != len(self.latents) or len(self.subdomain) != len(self.latents):
            raise UserError("Latents, labels and subdomains must have the same number of rows.")

    def class_counts(self) -> NDArray[np.int64]:
        return np.bincount(self.label.numpy(), minlength=self.classes)


@dataclass(frozen=True)
class Synthetic:
    """Latents made for a task: fp32 [M, D] in the task's (standardised) space, and their cells.

    subdomain is −1 where the method does not know of subdomains.
    """

    latents: torch.Tensor
    label: torch.Tensor
    subdomain: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)

    @classmethod
    def none(cls, dim: int) -> Synthetic:
        empty = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(0, dim), empty, empty)

    def select(self, rows: torch.Tensor) -> Synthetic:
        return Synthetic(self.latents[rows], self.label[rows], self.subdomain[rows])


class Augmenter:
    """Override what you need. `options` are the augmenter's own settings from the run's config.

    synthesise(task) makes latents; real_weight(task) weighs the real rows; `loss` names another loss
    for the head. `weight` is what one synthetic latent counts beside a real one.
    """

    weight: float = 1.0
    loss: str | None = None  # None = the run's loss

    def __init__(self, options: Any = None) -> None:
        self.options = options

    def synthesise(self, task: Task) -> Synthetic:
        return Synthetic.none(task.latents.shape[1])

    def real_weight(self, task: Task) -> torch.Tensor:
        return torch.ones(len(task.latents))

    def class_targets(self, task: Task) -> NDArray[np.int64]:
        """Synthetic latents per class [C]: the allocation's, summed over subdomains."""
        return task.allocation.sum(1)
