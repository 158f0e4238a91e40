"""What every augmenter is given and what it may change: a base class of no-op hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gelda.adapter import HeadPlan
from gelda.errors import UserError, unknown

# (latents [N, D], subdomain [N]) -> latents [N, D]
Transform = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Task:
    """Training rows of one seed at the generation layer, and nothing else.

    latents fp32 [N, D]: standardised z^(l); label, subdomain int64 [N]; allocation int [C, S]:
    synthetic latents wanted per cell; attributes: the data set's γ and κ tables or None. group int64 [N]:
    originals or speakers. Zero-shot: target is the subdomain to be learned, kept the one class it keeps.
    unlabelled: latents [M, D] and subdomains [M] of rows that are not in `latents`, in the transductive
    setting only; they are in the same standardised space. class_start [C, d]: what the class weights of
    fresh heads start from, or None (gelda.class_start).
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
    group: torch.Tensor | None = None
    kept: int | None = None
    target: int | None = None
    unlabelled: tuple[torch.Tensor, torch.Tensor] | None = None
    class_start: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.latents.ndim != 2 or len(self.latents) == 0:
            raise UserError(
                f"Training latents must be a non-empty [N, D] table, not {tuple(self.latents.shape)}."
            )
        _refuse_not_finite("Training", self.latents)
        if len(self.label) != len(self.latents) or len(self.subdomain) != len(self.latents):
            raise UserError("Latents, labels and subdomains must have the same number of rows.")
        if self.group is not None and len(self.group) != len(self.latents):
            raise UserError("Latents and groups must have the same number of rows.")
        for value, number, words in (
            (self.kept, self.classes, "kept class"),
            (self.target, self.subdomains, "target subdomain"),
        ):
            if value is not None and not 0 <= value < number:
                raise UserError(f"The {words} has number {value}, but there are only {number}, from 0.")
        if self.unlabelled is not None:
            z, subdomain = self.unlabelled
            if z.ndim != 2 or z.shape[1] != self.latents.shape[1] or len(z) != len(subdomain):
                raise UserError(
                    f"Unlabelled latents must be a [M, {self.latents.shape[1]}] table with a subdomain per "
                    f"row, not {tuple(z.shape)} with {len(subdomain)}."
                )
            _refuse_not_finite("Unlabelled", z)

    def class_counts(self) -> NDArray[np.int64]:
        return np.bincount(self.label.numpy(), minlength=self.classes)


@dataclass(frozen=True)
class Synthetic:
    """Latents made for a task: fp32 [M, D] in the task's (standardised) space, and their cells.

    subdomain is −1 where the method does not know of subdomains. level int [M] ≥ 1 where the latents were
    made at several noise levels for a curriculum; together the levels count as one set.
    """

    latents: torch.Tensor
    label: torch.Tensor
    subdomain: torch.Tensor
    level: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.latents)

    @classmethod
    def none(cls, dim: int) -> Synthetic:
        empty = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(0, dim), empty, empty)

    def select(self, rows: torch.Tensor) -> Synthetic:
        level = None if self.level is None else self.level[rows]
        return Synthetic(self.latents[rows], self.label[rows], self.subdomain[rows], level)


class Augmenter:
    """Override what you need. `options` are the run's settings for a generator, where there is one.

    Further keywords are one setting of `grid`: the settings that validation tries, at most six, the first
    of them the default. synthesise(task) makes latents; real_weight(task) weighs the real rows; plan(task)
    says how the head is trained; transform(task) changes training and test rows alike. `weight` is what one
    synthetic latent counts beside a real one; needs_subdomains: it does nothing with a single subdomain.
    """

    weight: float = 1.0
    loss: str | None = None  # None = the run's loss
    needs_subdomains: bool = False
    grid: tuple[dict[str, Any], ...] = ({},)
    model: Any = None  # what was trained for it, where there is such a thing

    def __init__(self, options: Any = None, **setting: Any) -> None:
        keys = self.grid[0]
        for key, value in setting.items():
            if key not in keys:
                if keys:
                    raise unknown(f"setting of {type(self).__name__}", key, keys)
                raise UserError(f"{type(self).__name__} has no settings, so not '{key}' either.")
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise UserError(f"{type(self).__name__}: '{key}' must be a number, not {value!r}.")
        self.options: Any = options
        self.setting: dict[str, Any] = setting
        if "weight" in keys:
            self.weight = self.value("weight")
            if self.weight <= 0:
                raise UserError(f"{type(self).__name__}: the weight must be above 0, not {self.weight:g}.")

    @property
    def shares(self) -> str | None:
        """Arms with the same text here may share one trained `model` on a task; None: nothing to share."""
        return None

    @property
    def same_latents(self) -> str | None:
        """Arms with the same text here make the very same latents of a task; None: nobody else does."""
        return None

    def value(self, key: str) -> float:
        """A setting as given, or its default."""
        return self.setting.get(key, self.grid[0][key])

    def synthesise(self, task: Task) -> Synthetic:
        return Synthetic.none(task.latents.shape[1])

    def real_weight(self, task: Task) -> torch.Tensor:
        return torch.ones(len(task.latents))

    def plan(self, task: Task) -> HeadPlan:
        return HeadPlan(loss=self.loss)

    def transform(self, task: Task) -> Transform | None:
        return None

    def class_targets(self, task: Task) -> NDArray[np.int64]:
        """Synthetic latents per class [C]: the allocation's, summed over subdomains."""
        return task.allocation.sum(1)


def pack(
    parts: Sequence[NDArray[np.floating]],
    labels: Sequence[NDArray[np.integer]],
    task: Task,
    subdomains: Sequence[NDArray[np.integer]] | None = None,
) -> Synthetic:
    """One Synthetic from parts [m, D] with their labels [m], and subdomains [m] where they are known."""
    if not parts:
        return Synthetic.none(task.latents.shape[1])
    label = torch.from_numpy(np.concatenate(labels).astype(np.int64))
    latents = torch.from_numpy(np.concatenate(parts).astype(np.float32))
    if subdomains is None:
        return Synthetic(latents, label, torch.full_like(label, -1))
    return Synthetic(latents, label, torch.from_numpy(np.concatenate(subdomains).astype(np.int64)))


def _refuse_not_finite(kind: str, latents: torch.Tensor) -> None:
    finite = torch.isfinite(latents).all(1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise UserError(f"{kind} latent in row {row} holds NaN or infinity: remove it or extract again.")


_ZERO = torch.zeros(1, dtype=torch.int64)
NO_TASK = Task(torch.zeros(1, 1), _ZERO, _ZERO, 1, 1, np.zeros((1, 1), np.int64), 0)  # to ask for a plan
