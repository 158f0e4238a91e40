"""AUGMENTERS: every arm of a comparison. Adding one = one class and one entry here.

The table holds words and loaders only: pages and reports read it without importing torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from gelda.errors import unknown


@dataclass(frozen=True)
class AugmenterSpec:
    """An arm: build(...) makes its augmenter; words for people; whether a generator is trained for it."""

    build: Callable[..., Any]
    title: str
    note: str
    generative: bool = False


def _from(module: str, name: str) -> Callable[..., Any]:
    """The class `name` of `gelda.augmenters.<module>`, imported when it is first built."""

    def build(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module(f"gelda.augmenters.{module}"), name)(*arguments, **options)

    return build


AUGMENTERS: dict[str, AugmenterSpec] = {
    "ce": AugmenterSpec(_from("baselines", "CrossEntropy"), "Cross-entropy", "Real latents, no correction."),
    "logit-adjustment": AugmenterSpec(
        _from("baselines", "LogitAdjustment"),
        "Logit adjustment",
        "Real latents; the loss makes up for class size.",
    ),
    "oversampling": AugmenterSpec(
        _from("baselines", "Oversampling"), "Oversampling", "Scarce classes are seen more often."
    ),
    "smote": AugmenterSpec(
        _from("baselines", "Smote"), "SMOTE", "Points between neighbours of a scarce class."
    ),
    "residual-transfer": AugmenterSpec(
        _from("baselines", "ResidualTransfer"),
        "Residual transfer",
        "Another class's real variation around the scarce class's mean.",
    ),
    "gelda-paper": AugmenterSpec(
        _from("diffusion", "Gelda"),
        "GeLDA, the paper's form",
        "Conditional diffusion, guided, full weight.",
        generative=True,
    ),
    "gelda": AugmenterSpec(
        _from("diffusion", "Gelda"), "GeLDA", "Conditional diffusion, unguided, low weight.", generative=True
    ),
}


def get(name: str) -> AugmenterSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in AUGMENTERS:
        raise unknown("method", name, AUGMENTERS)
    return AUGMENTERS[name]
