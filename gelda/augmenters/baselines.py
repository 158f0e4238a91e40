"""Arms that make no latents: another loss, another last layer, other draws, or changes inside the batch."""

from __future__ import annotations

from typing import ClassVar

import torch

from gelda.adapter import HeadPlan
from gelda.augmenters.base import Augmenter, Task


def grid(key: str, *values: float) -> tuple[dict[str, float], ...]:
    """Settings of one number, the default first."""
    return tuple({key: value} for value in values)


class _Loss(Augmenter):
    """Real latents under a loss of its own; `key` names the loss's number in `grid`."""

    key: ClassVar[str] = ""

    def plan(self, task: Task) -> HeadPlan:
        return HeadPlan(self.loss, self.value(self.key) if self.key else None)


class CrossEntropy(_Loss):
    """Plain cross-entropy."""

    loss = "ce"


class ClassBalanced(_Loss):
    """Cross-entropy weighted by the effective number of items (arXiv 1901.05555)."""

    loss, key = "class-balanced", "beta"
    grid = grid("beta", 0.9999, 0.9, 0.99, 0.999)


class Focal(_Loss):
    """Focal loss (arXiv 1708.02002)."""

    loss, key = "focal", "gamma"
    grid = grid("gamma", 2.0, 0.5, 1.0, 3.0, 5.0)


class Ldam(Augmenter):
    """LDAM with deferred re-weighting (arXiv 1906.07413).

    The paper re-weights in the last fifth of its epochs. Under our cosine schedule that fifth holds 1 % of
    all learning, so half of the steps is the default, and a fifth one of the settings.
    """

    loss = "ldam"
    grid = tuple({"margin": m, "deferred": d} for m in (0.5, 0.25) for d in (0.5, 0.2, 0.0))

    def plan(self, task: Task) -> HeadPlan:
        return HeadPlan("ldam", self.value("margin"), deferred=self.value("deferred"))


class BalancedSoftmax(_Loss):
    """Balanced softmax (arXiv 2007.10740)."""

    loss = "balanced-softmax"


class LogitAdjustment(_Loss):
    """Logit adjustment (arXiv 2007.07314); without a setting it takes the run's τ."""

    loss = "logit-adjustment"
    grid = grid("tau", 1.0, 0.5, 0.75, 1.25, 1.5, 2.0)

    def plan(self, task: Task) -> HeadPlan:
        return HeadPlan(self.loss, self.setting.get("tau"))


class Isda(_Loss):
    """Implicit semantic data augmentation (arXiv 1909.12220)."""

    loss, key = "isda", "lambda0"
    grid = grid("lambda0", 0.5, 0.1, 0.25, 1.0, 2.5, 7.5)


class TauNorm(Augmenter):
    """Cross-entropy, then the classes' weights made of more equal length (arXiv 1910.09217)."""

    loss = "ce"
    grid = grid("tau", 1.0, 0.2, 0.4, 0.6, 0.8, 1.2)

    def plan(self, task: Task) -> HeadPlan:
        return HeadPlan("ce", post="tau-norm", post_strength=self.value("tau"))


class Crt(Augmenter):
    """Cross-entropy, then the last layer anew with classes drawn ∝ n^(1−balance) (arXiv 1910.09217)."""

    loss = "ce"
    grid = grid("balance", 1.0, 0.5, 0.75)

    def plan(self, task: Task) -> HeadPlan:
        return HeadPlan("ce", post="crt", post_strength=self.value("balance"))


class NearestClassMean(Augmenter):
    """Cross-entropy, then the nearest class mean of the last hidden features (arXiv 1910.09217).

    Its one setting changes probabilities, never the answer, so there is nothing to try on validation.
    """

    loss = "ce"

    def plan(self, task: Task) -> HeadPlan:
        return HeadPlan("ce", post="ncm")


class Oversampling(Augmenter):
    """Random oversampling: rows are drawn ∝ n^(−balance); 1 shows every class equally often.

    Its effective counts are then equal, so logit adjustment adds nothing to it.
    """

    grid = grid("balance", 1.0, 0.25, 0.5, 0.75)

    def real_weight(self, task: Task) -> torch.Tensor:
        counts = torch.from_numpy(task.class_counts()).float().clamp_min(1)
        weight = counts[task.label] ** -self.value("balance")
        return weight * len(weight) / weight.sum()


class _Mix(Augmenter):
    """Real latents under the run's loss, changed inside the batch by a mixer."""

    mixer: ClassVar[str]

    def plan(self, task: Task) -> HeadPlan:
        (key,) = self.grid[0]
        return HeadPlan(mix=self.mixer, mix_strength=self.value(key))


class Mixup(_Mix):
    """Latent mixup (arXiv 1710.09412, 1806.05236)."""

    mixer, grid = "mixup", grid("alpha", 0.2, 0.1, 0.4, 1.0, 2.0)


class DecoupledMixup(_Mix):
    """Mixup with the decoupled regulariser (arXiv 2203.10761)."""

    mixer, grid = "decoupled-mixup", grid("eta", 0.1, 0.01, 0.3, 1.0)


class Noise(_Mix):
    """Gaussian noise on latents."""

    mixer, grid = "noise", grid("sigma", 0.3, 0.1, 0.5, 1.0)


class AdversarialStyle(_Mix):
    """Adversarial feature statistics (after arXiv 2301.12643)."""

    mixer, grid = "adv-style", grid("step", 0.3, 0.1, 0.5, 1.0)
