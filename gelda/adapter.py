"""The adapter with its classifier: z^(0) … z^(L), logits; several are trained side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from gelda import losses
from gelda.errors import UserError
from gelda.seeds import derive, generator


class Adapter(nn.Module):
    """K adapters of one shape: z^(i) = W_i·GELU(LN(z^(i−1))) (i = 1: W_1·z^(0)), logits likewise.

    Latents are pre-activations, so that a generator meets roughly Gaussian vectors. All K copies run
    in one batched matrix product; K is the arms or folds trained together.
    """

    def __init__(self, widths: Sequence[int], classes: int, copies: int = 1, seed: int = 0) -> None:
        super().__init__()
        self.widths, self.classes, self.copies = tuple(widths), classes, copies
        sizes = [*widths, classes]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            rng = generator(seed, "adapter", i)
            one = torch.randn(fan_in, fan_out, generator=rng) / fan_in**0.5
            self.weights.append(nn.Parameter(one.repeat(copies, 1, 1)))  # same start in every arm
            self.biases.append(nn.Parameter(torch.zeros(copies, 1, fan_out)))

    @property
    def layers(self) -> int:
        """L, the number of hidden layers."""
        return len(self.widths) - 1

    def forward(
        self,
        z: torch.Tensor,
        start: int = 0,
        stop: int | None = None,
        dropout: float = 0.0,
        rng: torch.Generator | None = None,
    ) -> torch.Tensor:
        """From z^(start) [K, B, D] to z^(stop), or to the logits [K, B, C] where stop is None."""
        for i in range(start, len(self.weights) if stop is None else stop):
            if i > 0:
                z = F.gelu(F.layer_norm(z, z.shape[-1:]))
                if dropout:
                    # one mask for all copies: an arm's result must not depend on its neighbours
                    kept = torch.rand(z.shape[1:], generator=rng, device=z.device) >= dropout
                    z = z * (kept / (1 - dropout))
            z = torch.baddbmm(self.biases[i], z, self.weights[i])
        return z

    def run(self, z: torch.Tensor, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """The same for one set of latents [N, D] shared by all copies: [K, N, D], no gradient."""
        with torch.no_grad():
            return self(z.expand(self.copies, -1, -1), start, stop)

    def gather(self, index: Sequence[int]) -> Adapter:
        """A new adapter whose k-th copy starts from copy `index[k]` of this one."""
        new = Adapter(self.widths, self.classes, len(index)).to(self.weights[0].device)
        with torch.no_grad():
            for mine, theirs in zip(new.parameters(), self.parameters(), strict=True):
                mine.copy_(theirs[list(index)])
        return new


@dataclass(frozen=True)
class HeadData:
    """What one head learns from: latents [N, D], labels [N], and each item's weight [N].

    counts [C] are the effective counts for logit adjustment: the sum of weights per class.
    """

    latents: torch.Tensor
    label: torch.Tensor
    weight: torch.Tensor

    def counts(self, classes: int) -> torch.Tensor:
        return torch.zeros(classes, dtype=torch.float64).index_add_(
            0, self.label.cpu(), self.weight.double().cpu()
        )


def fit(
    adapter: Adapter,
    data: Sequence[HeadData],
    *,
    loss: Sequence[str] | str,
    start: int = 0,
    tau: float = 1.0,
    steps: int = 300,
    batch_size: int = 256,
    learning_rate: float = 2e-3,
    weight_decay: float = 1e-2,
    dropout: float = 0.1,
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda step, total: None,
) -> Adapter:
    """Train the layers after `start` of every copy on its own data; the layers before stay frozen.

    data: one HeadData a copy, of z^(start). Items are drawn with probability ∝ weight, which in
    expectation weights the loss. Every copy gets the same number of steps: the same budget.
    """
    if len(data) != adapter.copies:
        raise UserError(f"{adapter.copies} heads need as many data sets, not {len(data)}.")
    device = adapter.weights[0].device
    names = [loss] * adapter.copies if isinstance(loss, str) else list(loss)
    pool = torch.cat([d.latents for d in data]).to(device)
    label = torch.cat([d.label for d in data]).to(device)
    counts = torch.stack([d.counts(adapter.classes) for d in data]).float().to(device)[:, None]
    draws = _draws(data, steps, batch_size, seed).to(device)
    trained = [p for i in range(start, len(adapter.weights)) for p in (adapter.weights[i], adapter.biases[i])]
    optimizer = torch.optim.AdamW(
        trained, lr=learning_rate, weight_decay=weight_decay, fused=device.type != "mps"
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    groups = {name: [k for k, n in enumerate(names) if n == name] for name in dict.fromkeys(names)}
    rng = torch.Generator(device).manual_seed(derive(seed, "head-dropout"))
    for step in range(steps):
        rows = draws[step]
        logits = adapter(pool[rows], start, dropout=dropout, rng=rng)
        # copies are independent: the sum of their mean losses gives each its own gradient
        total = torch.zeros((), device=device)
        for name, members in groups.items():
            per_item = losses.get(name).per_item(logits[members], label[rows[members]], counts[members], tau)
            total = total + per_item.mean(1).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps)
    return adapter.eval()


def _draws(data: Sequence[HeadData], steps: int, batch_size: int, seed: int) -> torch.Tensor:
    """Row numbers into the concatenated pool [steps, K, B]; a copy's draws depend on its data alone."""
    offset, parts = 0, []
    for d in data:
        cumulative = d.weight.double().cpu().cumsum(0)
        uniform = torch.rand(steps, batch_size, generator=generator(seed, "head-draws"), dtype=torch.float64)
        rows = torch.searchsorted(cumulative, uniform * cumulative[-1]).clamp_max(len(cumulative) - 1)
        parts.append(rows + offset)
        offset += len(cumulative)
    return torch.stack(parts, 1)
