"""Guided sampling from a table of solver coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from gelda import schedulers
from gelda.device import autocast
from gelda.diffusion import Model, embed, to_clean
from gelda.errors import UserError
from gelda.schedulers import SolverTable, solver_table

# What a denoiser's activations of one batch take must stay in a core's cache; a GPU wants more at once.
BATCH = {"cpu": 1024, "cuda": 16_384}


@torch.no_grad()
def run_solver(
    table: SolverTable,
    noise: torch.Tensor,
    denoise: Callable[[torch.Tensor, int], torch.Tensor],
    on_step: Callable[[int, torch.Tensor], None] = lambda step, latent: None,
    fresh: Callable[[int], torch.Tensor] | None = None,
    first: int = 0,
) -> torch.Tensor:
    """Take pure noise [B, D] to latents [B, D]; `denoise(noisy, i)` gives the clean estimate of step i.

    `fresh(i)` gives the new noise [B, D] of step i of a stochastic solver; by default RowNoise. With
    `first` > 0 the latents given are already at the level of that step, and the steps before are left out.
    """
    if fresh is None and any(table.fresh):
        fresh = RowNoise(noise)
    latents, estimates = [noise] * (first + 1), [noise] * first
    for i in range(first, len(table.timesteps)):
        estimates.append(denoise(latents[-1], i))
        moved = torch.zeros_like(noise)
        for j, weight in table.state[i].items():
            moved.add_(latents[j], alpha=weight)
        for j, weight in table.denoised[i].items():
            moved.add_(estimates[j], alpha=weight)
        if fresh is not None and table.fresh[i]:
            moved.add_(fresh(i), alpha=table.fresh[i])
        latents.append(moved)
        on_step(i, moved)
        for kept, rows in ((latents, table.state), (estimates, table.denoised)):
            for j in range(first, i + 1):
                if not any(j in row for row in rows[i + 1 :]):
                    kept[j] = noise.new_empty(0)  # no later step reads it: give the memory back
    return latents[-1]


class RowNoise:
    """Standard normal noise [B, D] of a step, from a stream of its own for every row.

    A row's stream is keyed by its initial noise. So a latent depends on (model, condition, initial
    noise) and neither on the batch it is in nor on how many are drawn, on any device. Numbers are
    SplitMix64's (Steele, Lea and Flood, OOPSLA 2014), addressed by index, through Box and Muller.
    """

    def __init__(self, noise: torch.Tensor) -> None:
        self.like = noise
        bits = noise.float().contiguous().view(torch.int32).long()
        place = _wrap(0x9E3779B97F4A7C15) * torch.arange(1, noise.shape[1] + 1, device=noise.device)
        self.key = _mix(_mix(bits + place).sum(1, keepdim=True))

    def __call__(self, step: int) -> torch.Tensor:
        half = -(-self.like.shape[1] // 2)
        index = torch.arange(1 + step * half, 1 + (step + 1) * half, device=self.like.device)
        drawn = _mix(self.key + _wrap(0x9E3779B97F4A7C15) * index)
        # The upper half of 64 bits gives a uniform number in (0, 1], the lower an angle.
        radius = (((drawn >> 32) & 0xFFFFFFFF) + 1).to(torch.float32).mul_(2.0**-32).log_().mul_(-2).sqrt_()
        angle = (drawn & 0xFFFFFFFF).to(torch.float32).mul_(2 * math.pi * 2.0**-32)
        both = torch.cat([radius * angle.cos(), radius * angle.sin()], 1)
        return both[:, : self.like.shape[1]].to(self.like.dtype)


def _mix(x: torch.Tensor) -> torch.Tensor:
    """SplitMix64's output function on int64 tensors, which wrap around like its unsigned ones."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * _wrap(factor)
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def _wrap(value: int) -> int:
    """The signed 64-bit number of the same bits."""
    return value - (1 << 64) if value >> 63 else value


@torch.no_grad()
def sample(
    model: Model,
    label: torch.Tensor,
    subdomain: torch.Tensor,
    noise: torch.Tensor,
    *,
    extra: torch.Tensor | None = None,
    start: torch.Tensor | None = None,
    start_noise: float = 0.5,
    scheduler: str = "dpm-solver++",
    num_inference_steps: int = 20,
    guidance_class: float = 1.0,
    guidance_subdomain: float = 1.0,
    prediction_type: str = "v_prediction",
    batch_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[int, torch.Tensor], None] = lambda step, latent: None,
    on_denoised: Callable[[int, torch.Tensor, torch.Tensor], None] = lambda step, noisy, denoised: None,
) -> torch.Tensor:
    """Latents [N, D] for label [N], subdomain [N] and extra condition features [N, E] from noise [N, D].

    Two-axis classifier-free guidance (arXiv 2211.09800, eq. 3): m = m(∅,∅) + w_κ·(m(∅,κ) − m(∅,∅))
    + w_γ·(m(γ,κ) − m(∅,κ)). Branches whose weight is zero are not evaluated, so scales of 1 cost
    one network pass, and equal scales two. Modulations are computed once per distinct row of
    (label, subdomain, extra) in a batch. dtype is that of the matrix products: in fp32 results do not
    depend on the batch size (to 1e-5), in bf16 to about 1e-2 only. With `start` [N, D] the way begins at
    those latents, noised so far that the share `start_noise` of the steps is left (SDEdit, arXiv
    2108.01073). on_denoised is told, batch by batch, what each step was given and the guided clean estimate
    made of it, [B, D] each. Raises UserError for a scheduler that does not fit the prediction_type, or that
    looks back further than one step where there is a start.
    """
    schedulers.check(scheduler, prediction_type)
    table = solver_table(scheduler, num_inference_steps)
    begin = 0
    if start is not None:
        if start.shape != noise.shape:
            raise UserError(f"start must be {list(noise.shape)}, as the noise is, not {list(start.shape)}.")
        if not 0 <= start_noise <= 1:
            raise UserError(f"start_noise is {start_noise:g}; it is a share of the steps, between 0 and 1.")
        begin = min(num_inference_steps - 1, round((1 - start_noise) * num_inference_steps))
        if any(
            min(row, default=i) < i for rows in (table.state, table.denoised) for i, row in enumerate(rows)
        ):
            raise UserError(f"A sampling that starts from latents needs 'ddim' or 'ddpm', not '{scheduler}'.")
    branches = guidance_branches(guidance_class, guidance_subdomain)
    weights = [weight for weight, _, _ in branches]
    batch_size = batch_size or BATCH.get(noise.device.type, 4096)
    first, cell_of_row = _distinct(label, subdomain, extra)
    done = []
    for offset in range(0, len(noise), batch_size):
        part = slice(offset, offset + batch_size)
        cells, local = torch.unique(cell_of_row[part], return_inverse=True)
        some = first[cells]
        with autocast(noise.device, dtype):
            condition = torch.cat([_condition(model, label, subdomain, extra, some, b[1:]) for b in branches])
        rows = torch.cat([local + k * len(cells) for k in range(len(branches))])

        def denoise(
            noisy: torch.Tensor, i: int, rows: torch.Tensor = rows, condition: torch.Tensor = condition
        ) -> torch.Tensor:
            times = torch.full((len(condition),), table.timesteps[i], device=noisy.device)
            stacked = noisy.repeat(len(weights), 1) if len(weights) > 1 else noisy
            with autocast(noisy.device, dtype):
                modulation = model.denoiser.modulation(times, condition)
                predictions = model.denoiser.denoise(stacked, modulation, rows).to(noisy.dtype)
            clean = to_clean(prediction_type, predictions, stacked, table.signal[i], table.spread[i])
            if len(weights) > 1:
                parts = clean.chunk(len(weights))
                guided = zip(weights[1:], parts[1:], strict=True)
                clean = sum((w * c for w, c in guided), weights[0] * parts[0])
            on_denoised(i, noisy, clean)
            return clean

        level = noise[part]
        if start is not None:
            level = table.signal[begin] * start[part] + table.spread[begin] * level
        done.append(run_solver(table, level, denoise, on_step, first=begin))
    return torch.cat(done) if done else noise.clone()


def guidance_branches(guidance_class: float, guidance_subdomain: float) -> list[tuple[float, bool, bool]]:
    """(weight, keep class, keep subdomain) of every network pass that guidance needs; weights sum to 1."""
    branches = [
        (guidance_class, True, True),
        (guidance_subdomain - guidance_class, False, True),
        (1 - guidance_subdomain, False, False),
    ]
    return [branch for branch in branches if branch[0] != 0]


def _distinct(
    label: torch.Tensor, subdomain: torch.Tensor, extra: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """A row number [K] of every distinct condition, and the condition [N] of every row."""
    cells = torch.stack([label, subdomain], 1)
    _, inverse = torch.unique(cells, dim=0, return_inverse=True)
    if extra is not None:
        _, features = torch.unique(extra, dim=0, return_inverse=True)
        _, inverse = torch.unique(torch.stack([inverse, features], 1), dim=0, return_inverse=True)
    count = int(inverse.max()) + 1 if len(inverse) else 0
    first = torch.zeros(count, dtype=torch.int64, device=label.device)
    return first.scatter_(0, inverse, torch.arange(len(label), device=label.device)), inverse


def _condition(
    model: Model,
    label: torch.Tensor,
    subdomain: torch.Tensor,
    extra: torch.Tensor | None,
    rows: torch.Tensor,
    kept: tuple[bool, bool],
) -> torch.Tensor:
    """The conditions [K, Dc] of some rows [K] in a branch that keeps or hides the class and the subdomain."""
    keep_class, keep_subdomain = (torch.full((len(rows),), k, device=rows.device) for k in kept)
    features = None if extra is None else extra[rows]
    return embed(model, label[rows], subdomain[rows], keep_class, keep_subdomain, features)
