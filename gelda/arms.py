"""Arms of a comparison: which there are for a bank, the settings that validation tries, and building one."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gelda import augmenters
from gelda.augmenters.base import Augmenter, Task
from gelda.config import CompareConfig
from gelda.ready import ReadyBank

CONTROLS = ("gelda-uncond", "gelda-shuffled")  # they take the form that validation chose for gelda
# whose defaults choose the layers, whatever arms are compared: one arm of each family
VOTERS = ("logit-adjustment", "smote", "mixup", "residual-transfer", "mean-shift", "gelda")
CHEAP = VOTERS[1:-1]  # those that train no generator choose the encoder layer, beside logit adjustment
Setting = dict[str, Any]
_ZERO = torch.zeros(1, dtype=torch.int64)
NO_TASK = Task(torch.zeros(1, 1), _ZERO, _ZERO, 1, 1, np.zeros((1, 1), np.int64), 0)  # to ask for a plan


def arms(config: CompareConfig, bank: ReadyBank) -> list[str]:
    """The methods of a comparison: those named, else every one that the bank gives something to do."""
    for method in config.methods:
        augmenters.get(method)
    if config.methods:
        return list(config.methods)
    single = len(bank.items.subdomain_names) < 2
    return [m for m in augmenters.AUGMENTERS if not (single and class_of(m).needs_subdomains)]


def class_of(method: str) -> type[Augmenter]:
    """The class behind a method's name."""
    spec = augmenters.get(method)
    return type(spec.build(None) if spec.generative else spec.build())


def grid_of(method: str) -> tuple[Setting, ...]:
    """The settings that validation tries for a method."""
    return class_of(method).grid


def build(method: str, setting: Setting, config: CompareConfig) -> Augmenter:
    """An arm under a setting."""
    spec = augmenters.get(method)
    if spec.generative:
        return spec.build(config.generator, None, config.sampling, **setting)
    return spec.build(**setting)


def describe(setting: Setting) -> str:
    """ "form plain, weight 0.3"."""
    return ", ".join(f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in setting.items())
