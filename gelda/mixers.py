"""MIXERS: changes of a training batch inside the step. Adding one = one function and one entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gelda.errors import unknown, usable
from gelda.seeds import derive, numpy_generator


class Streams:
    """Random numbers of one mixer: `shared` by its copies, and `own` ones where their strength shapes them.

    Both start from the seed and the mixer's name, so that a copy's numbers do not depend on its neighbours.
    """

    def __init__(self, seed: int, mixer: str, copies: int) -> None:
        self.shared = numpy_generator(seed, "mix", mixer)
        self.own = [np.random.default_rng(derive(seed, "mix-own", mixer)) for _ in range(copies)]


@dataclass(frozen=True)
class MixBatch:
    """latents [K, B, D] of z^(start) and label [K, B]; strength: the copies' own number; sd [K, 1, D]: of
    each copy's training latents; loss_of(latents) -> [K, B]: the copies' losses now, without dropout."""

    latents: torch.Tensor
    label: torch.Tensor
    strength: Sequence[float]
    sd: torch.Tensor
    streams: Streams
    loss_of: Callable[[torch.Tensor], torch.Tensor]

    def column(self) -> torch.Tensor:
        """strength as [K, 1, 1]."""
        return torch.tensor(self.strength, dtype=torch.float32, device=self.latents.device)[:, None, None]


@dataclass(frozen=True)
class Mixed:
    """New latents [K, B, D]; for pairs also the partner's label [K, B] and the own label's share [K, B];
    apart [K, 1] > 0 adds the decoupled regulariser."""

    latents: torch.Tensor
    other: torch.Tensor | None = None
    share: torch.Tensor | None = None
    apart: torch.Tensor | None = None


@dataclass(frozen=True)
class MixSpec:
    """mix(batch) -> Mixed; `default` is its own number, `positive` whether 0 is refused."""

    title: str
    note: str
    mix: Callable[[MixBatch], Mixed]
    default: float
    positive: bool = False


def mixup(batch: MixBatch) -> Mixed:
    """λ·z_i + (1−λ)·z_j with labels shared likewise, λ ~ Beta(α, α) per pair (arXiv 1710.09412; on hidden
    features 1806.05236)."""
    return _pairs(batch, batch.strength)


def decoupled_mixup(batch: MixBatch) -> Mixed:
    """Mixup (α = 1) plus η·(−log H_ij − log H_ji), H_ij the softmax probability of the pair's one class when
    the other class is left out (arXiv 2203.10761, eq. 6-7).

    The softmax is that of the copy's own loss: under logit adjustment it knows which of the pair is scarce.
    """
    pairs = _pairs(batch, [1.0] * len(batch.strength))
    return Mixed(pairs.latents, pairs.other, pairs.share, batch.column()[..., 0])


def noise(batch: MixBatch) -> Mixed:
    """z + σ·sd·ε, ε standard normal, in units of every dimension's standard deviation."""
    _, items, dim = batch.latents.shape
    drawn = torch.from_numpy(batch.streams.shared.standard_normal((items, dim), dtype=np.float32))
    return Mixed(batch.latents + batch.column() * batch.sd * drawn.to(batch.latents.device))


def adversarial_style(batch: MixBatch) -> Mixed:
    """Feature statistics moved where the loss grows fastest, after AdvStyle (arXiv 2301.12643).

    Pooled latents have no positions over which to take an item's own statistics, so ours are those of the
    batch: every dimension's mean and sd. One normalised ascent step changes both by `strength` sd (root mean
    square over the dimensions), for every second item: the others stay as they are.
    """
    z = batch.latents
    mean, sd = z.mean(1, keepdim=True), z.std(1, keepdim=True, unbiased=False)
    with torch.enable_grad():
        scale, shift = (torch.zeros_like(mean, requires_grad=True) for _ in range(2))
        loss = batch.loss_of(z + scale * (z - mean) + shift * sd).mean(1).sum()
        slopes = torch.autograd.grad(loss, (scale, shift))
    # a copy without any slope stays where it is
    steps = [g / g.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-20) for g in slopes]
    moved = z + batch.column() * (steps[0] * (z - mean) + steps[1] * sd)
    every_second = (torch.arange(z.shape[1], device=z.device) % 2 == 1)[:, None]
    return Mixed(torch.where(every_second, moved, z))


MIXERS: dict[str, MixSpec] = {
    "mixup": MixSpec("Latent mixup", "Trains on points between two items (α).", mixup, 0.2, positive=True),
    "decoupled-mixup": MixSpec(
        "Decoupled mixup",
        "Mixup that asks for both classes of a pair on their own (η).",
        decoupled_mixup,
        0.1,
    ),
    "noise": MixSpec("Gaussian noise", "Adds noise, in units of each dimension's sd (σ).", noise, 0.3),
    "adv-style": MixSpec(
        "Adversarial style",
        "Moves the batch's mean and sd where the loss grows fastest (step in sd).",
        adversarial_style,
        0.3,
    ),
}


def get(name: str) -> MixSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in MIXERS:
        raise unknown("mixer", name, MIXERS)
    return MIXERS[name]


def strength(name: str, value: float | None) -> float:
    """The mixer's own number: `value`, or its default; a number it cannot use is refused."""
    spec = get(name)
    return usable(f"the mixer '{name}'", spec.default if value is None else value, spec.positive)


def _pairs(batch: MixBatch, alphas: Sequence[float]) -> Mixed:
    """Every item with a random partner of the batch, the same partners in every copy."""
    z, items = batch.latents, batch.latents.shape[1]
    partner = torch.from_numpy(batch.streams.shared.permutation(items)).to(z.device)
    drawn = [rng.beta(alpha, alpha, items) for rng, alpha in zip(batch.streams.own, alphas, strict=True)]
    share = torch.from_numpy(np.stack(drawn).astype(np.float32)).to(z.device)
    mixed = z[:, partner] + share[..., None] * (z - z[:, partner])
    return Mixed(mixed, batch.label[:, partner], share)
