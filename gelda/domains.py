"""Domain-adversarial training: features that do not tell the subdomain (arXiv 1505.07818)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from gelda.seeds import generator

HIDDEN = 64


class _Reverse(torch.autograd.Function):
    """The identity forward; backward the gradient times −strength [K, 1, 1]."""

    @staticmethod
    def forward(context, features, strength):  # noqa: ANN001
        context.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(context, gradient):  # noqa: ANN001
        return -context.strength * gradient, None


class DomainHeads(nn.Module):
    """One small network a copy that guesses the subdomain from the last hidden features, K' of them.

    Its gradient reaches the features reversed, times strength·(2/(1 + e^(−10p)) − 1) at progress p (the
    paper's schedule). Only subdomains that the copy's own rows hold are guessed between, so that a copy does
    not depend on its neighbours; rows of subdomain −1 are left out.

    Planted subdomains of one dimension were told less by a fresh linear probe with it (0.94 → 0.83, balanced
    accuracy), those of several, or under long training, sometimes *better*: the features move past a rival
    that is a step behind. A faster rival did not mend that, nor one to be confused in place of misled
    (arXiv 1510.02192). So a strength is tried, never assumed to work.
    """

    def __init__(
        self, strength: Sequence[float], subdomain: Sequence[torch.Tensor], dim: int, seed: int
    ) -> None:
        super().__init__()
        copies, number = len(strength), max(int(s.max()) + 1 for s in subdomain)
        first = torch.randn(dim, HIDDEN, generator=generator(seed, "domain-heads")) / dim**0.5
        self.first = nn.Parameter(first.repeat(copies, 1, 1))
        self.bias = nn.Parameter(torch.zeros(copies, 1, HIDDEN))
        self.second = nn.Parameter(torch.zeros(copies, HIDDEN, number))
        self.strength: torch.Tensor
        self.absent: torch.Tensor
        self.register_buffer("strength", torch.tensor(strength, dtype=torch.float32)[:, None, None])
        held = torch.stack([torch.bincount(s[s >= 0], minlength=number) > 0 for s in subdomain])
        self.register_buffer("absent", ~held[:, None])

    def forward(self, features: torch.Tensor, subdomain: torch.Tensor, progress: float) -> torch.Tensor:
        """Sum over copies of the mean loss; features [K', B, D], subdomain [K', B]."""
        ramp = 2 / (1 + math.exp(-10 * progress)) - 1
        hidden = F.gelu(torch.baddbmm(self.bias, _Reverse.apply(features, ramp * self.strength), self.first))
        logits = (hidden @ self.second).masked_fill(self.absent, -1e9)
        known = subdomain >= 0
        loss = -F.log_softmax(logits, -1).gather(-1, subdomain.clamp_min(0)[..., None])[..., 0]
        return ((loss * known).sum(1) / known.sum(1).clamp_min(1)).sum()
