"""AUGMENTERS: every arm of a comparison. Adding one = one class and one entry here."""

from __future__ import annotations

from dataclasses import dataclass

from gelda.augmenters.base import Augmenter, Synthetic, Task
from gelda.augmenters.baselines import CrossEntropy, LogitAdjustment, Oversampling, ResidualTransfer, Smote
from gelda.augmenters.diffusion import Gelda
from gelda.errors import unknown

__all__ = ["AUGMENTERS", "Augmenter", "AugmenterSpec", "Synthetic", "Task", "get"]


@dataclass(frozen=True)
class AugmenterSpec:
    """An arm: the class, words for people, and whether a generator is trained for it."""

    build: type[Augmenter]
    title: str
    note: str
    generative: bool = False


AUGMENTERS: dict[str, AugmenterSpec] = {
    "ce": AugmenterSpec(CrossEntropy, "Cross-entropy", "Real latents, no correction."),
    "logit-adjustment": AugmenterSpec(
        LogitAdjustment, "Logit adjustment", "Real latents; the loss makes up for class size."
    ),
    "oversampling": AugmenterSpec(Oversampling, "Oversampling", "Scarce classes are seen more often."),
    "smote": AugmenterSpec(Smote, "SMOTE", "Points between neighbours of a scarce class."),
    "residual-transfer": AugmenterSpec(
        ResidualTransfer,
        "Residual transfer",
        "Another class's real variation around the scarce class's mean.",
    ),
    "gelda-paper": AugmenterSpec(
        Gelda, "GeLDA, the paper's form", "Conditional diffusion, guided, full weight.", generative=True
    ),
    "gelda": AugmenterSpec(Gelda, "GeLDA", "Conditional diffusion, unguided, low weight.", generative=True),
}


def get(name: str) -> AugmenterSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in AUGMENTERS:
        raise unknown("method", name, AUGMENTERS)
    return AUGMENTERS[name]
