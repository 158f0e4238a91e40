"""POSTS: what is done to the last layer after training (decoupled heads, arXiv 1910.09217)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gelda.errors import unknown, usable


@dataclass(frozen=True)
class LastLayer:
    """One copy's trained last layer and what it was trained on.

    weight [D, C], bias [1, C]; features [N, D]: its inputs; label [N]; item [N]: the items' weights.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    features: torch.Tensor
    label: torch.Tensor
    item: torch.Tensor


@dataclass(frozen=True)
class PostSpec:
    """rewrite(layer, strength) -> (weight, bias); None where the last layer is trained anew (`fit` does it).

    `default` is its own number, `positive` whether 0 is refused.
    """

    title: str
    note: str
    default: float
    rewrite: Callable[[LastLayer, float], tuple[torch.Tensor, torch.Tensor]] | None
    positive: bool = False


def tau_norm(layer: LastLayer, tau: float) -> tuple[torch.Tensor, torch.Tensor]:
    """w_c / ‖w_c‖^τ without a bias (arXiv 1910.09217, eq. 5, which leaves the bias out as well)."""
    length = layer.weight.norm(dim=0, keepdim=True).clamp_min(1e-12)
    return layer.weight / length**tau, torch.zeros_like(layer.bias)


def nearest_class_mean(layer: LastLayer, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    """−‖h − μ_c‖² of the features h, less the ‖h‖² that all classes share: a linear layer.

    It is divided by 2σ²/strength, σ² the variance of a feature within its class, so that the softmax is the
    posterior of equal, round Gaussians; strength never changes which class is nearest. A class without
    items is never predicted.
    """
    classes, label, item = layer.weight.shape[1], layer.label, layer.item.to(layer.features)
    amount = torch.zeros(classes, device=item.device).index_add_(0, label, item)
    sums = torch.zeros(classes, layer.features.shape[1], device=item.device)
    mean = sums.index_add_(0, label, item[:, None] * layer.features) / amount.clamp_min(1e-12)[:, None]
    variance = (item[:, None] * (layer.features - mean[label]).square()).sum() / item.sum()
    variance = (variance / layer.features.shape[1]).clamp_min(1e-6)
    bias = torch.where(amount > 0, -mean.square().sum(1) / 2, -1e9)
    return mean.T * (strength / variance), (bias * (strength / variance))[None]


POSTS: dict[str, PostSpec] = {
    "tau-norm": PostSpec("τ-norm", "Evens out the lengths of the classes' weights (τ).", 1.0, tau_norm),
    "ncm": PostSpec(
        "Nearest class mean", "Takes the class whose mean is nearest.", 1.0, nearest_class_mean, True
    ),
    "crt": PostSpec(
        "cRT", "Trains the last layer again with balanced classes (share of balance).", 1.0, None
    ),
}


def get(name: str) -> PostSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in POSTS:
        raise unknown("decoupled head", name, POSTS)
    return POSTS[name]


def strength(name: str, value: float | None) -> float:
    """The post step's own number: `value`, or its default; a number it cannot use is refused."""
    spec = get(name)
    return usable(f"'{name}'", spec.default if value is None else value, spec.positive)
