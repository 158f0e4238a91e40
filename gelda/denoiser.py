"""The denoiser: an AdaLN residual MLP on vectors."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

TIME_FEATURES = 64


class Denoiser(nn.Module):
    """denoiser(noisy [B, D], timestep [B], condition [B, Dc]) -> prediction [B, D].

    Blocks of LayerNorm → modulate → Linear-SiLU-Linear → gate, after DiT (arXiv 2212.09748, §3.2,
    adaLN-Zero) without attention: gates and output start at zero. Modulations depend on
    (timestep, condition) alone, so a sampler computes them once per distinct cell. `dropout` hides
    hidden units of the blocks in training.
    """

    one: torch.Tensor

    def __init__(
        self, dim: int, condition_dim: int, *, width: int = 256, depth: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.dim, self.condition_dim, self.width, self.depth = dim, condition_dim, width, depth
        self.time = nn.Sequential(nn.Linear(TIME_FEATURES, condition_dim), nn.SiLU())
        self.time_out = nn.Linear(condition_dim, condition_dim)
        self.input = nn.Linear(dim, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.modulate = nn.Linear(condition_dim, (3 * depth + 2) * width)
        self.output = nn.Linear(width, dim)
        for layer in (self.modulate, self.output):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        # Scales are 1 + what the network gives: added to the bias, it costs nothing a row.
        one = torch.zeros(3 * depth + 2, width)
        one[[3 * i + 1 for i in range(depth)] + [-1]] = 1
        self.register_buffer("one", one.flatten(), persistent=False)

    def modulation(self, timestep: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Shifts, scales and gates [B, 3·depth + 2, width] for given times and conditions."""
        embedding = condition + self.time_out(self.time(time_features(timestep)))
        parts = F.linear(F.silu(embedding), self.modulate.weight, self.modulate.bias + self.one)
        return parts.unflatten(1, (3 * self.depth + 2, self.width))

    def denoise(
        self, noisy: torch.Tensor, modulation: torch.Tensor, rows: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The prediction [B, D] from modulations [B, 3·depth + 2, width] already at hand.

        With `rows` [B], modulations are a table [cells, …] of which row i uses entry rows[i].
        """
        hidden = self.input(noisy)
        parts = list(modulation.unbind(1))
        if rows is not None and len(modulation) > 1:
            parts = [part.index_select(0, rows) for part in parts]
        for i, module in enumerate(self.blocks):
            block = cast(nn.Sequential, module)
            shift, scale, gate = parts[3 * i : 3 * i + 3]
            inner = torch.addcmul(shift, F.layer_norm(hidden, (self.width,)), scale)
            inner = F.dropout(block[1](block[0](inner)), self.dropout, self.training)
            hidden = torch.addcmul(hidden, gate, block[2](inner))
        return self.output(torch.addcmul(parts[-2], F.layer_norm(hidden, (self.width,)), parts[-1]))

    def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.denoise(noisy, self.modulation(timestep, condition))


def time_features(timestep: torch.Tensor) -> torch.Tensor:
    """Sinusoidal features [B, 64] of a timestep in [0, 1000)."""
    half = TIME_FEATURES // 2
    frequency = torch.exp(-math.log(10_000) * torch.arange(half, device=timestep.device) / half)
    angle = timestep.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], 1)
