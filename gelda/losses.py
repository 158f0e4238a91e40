"""LOSSES: classification losses of heads. Adding one = one function and one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from gelda.errors import unknown

# (logits [..., C], label [...], counts [..., C], tau) -> loss per item [...]
LossFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


@dataclass(frozen=True)
class LossSpec:
    """per_item(logits, label, counts, tau): `counts` are the (effective) training counts per class."""

    title: str
    note: str
    per_item: LossFunction


def cross_entropy(
    logits: torch.Tensor, label: torch.Tensor, counts: torch.Tensor, tau: float
) -> torch.Tensor:
    """−log softmax(logits)[label]."""
    return _negative_log(F.log_softmax(logits, -1), label)


def logit_adjustment(
    logits: torch.Tensor, label: torch.Tensor, counts: torch.Tensor, tau: float
) -> torch.Tensor:
    """Cross-entropy on logits + τ·log π, π the class frequencies (arXiv 2007.07314, eq. 10).

    With synthetic latents π must come from the mixed effective counts, or the tail is corrected twice.
    """
    prior = (counts / counts.sum(-1, keepdim=True)).clamp_min(1e-8).log()
    return _negative_log(F.log_softmax(logits + tau * prior, -1), label)


LOSSES: dict[str, LossSpec] = {
    "ce": LossSpec("Cross-entropy", "Every item counts the same.", cross_entropy),
    "logit-adjustment": LossSpec(
        "Logit adjustment", "Adds τ·log(class frequency) to the logits in training.", logit_adjustment
    ),
}


def get(name: str) -> LossSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name]


def _negative_log(log_probability: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    return -log_probability.gather(-1, label[..., None])[..., 0]
