"""The diffusion objective and its training loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from gelda.conditions import ConditionEncoder
from gelda.denoiser import Denoiser
from gelda.device import autocast
from gelda.errors import unknown
from gelda.seeds import derive

TIMESTEPS = 1000
PREDICTION_TYPES = ("v_prediction", "epsilon", "sample")


def cosine_alphas_cumprod(timesteps: int = TIMESTEPS, max_beta: float = 0.999) -> torch.Tensor:
    """ᾱ_t [T] of the cosine schedule (arXiv 2102.09672, eq. 17), as diffusers' squaredcos_cap_v2."""

    def bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - bar((i + 1) / timesteps) / bar(i / timesteps), max_beta) for i in range(timesteps)]
    # float32 as diffusers does: the two must agree bit for bit, at ᾱ near 0 too.
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float32), 0)


def target(kind: str, clean: torch.Tensor, noise: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor):
    """What the network predicts [B, D]: v = α·ε − σ·x (arXiv 2202.00512, app. D), ε, or the clean latent."""
    if kind == "v_prediction":
        return alpha * noise - sigma * clean
    if kind == "epsilon":
        return noise
    if kind == "sample":
        return clean
    raise unknown("prediction_type", kind, PREDICTION_TYPES)


def to_clean(kind: str, prediction: torch.Tensor, noisy: torch.Tensor, alpha: float, sigma: float):
    """The clean latent [B, D] that a prediction implies at (α, σ)."""
    if kind == "v_prediction":
        return alpha * noisy - sigma * prediction
    if kind == "epsilon":
        return (noisy - sigma * prediction) / alpha  # ᾱ never reaches zero
    if kind == "sample":
        return prediction
    raise unknown("prediction_type", kind, PREDICTION_TYPES)


@dataclass(frozen=True)
class TrainingData:
    """clean [N, D] standardised latents, their ids [N], and how often each is drawn [N] (∝)."""

    clean: torch.Tensor
    label: torch.Tensor
    subdomain: torch.Tensor
    weight: torch.Tensor


class Model(nn.Module):
    """A denoiser with its condition encoder: what is trained, averaged, saved and sampled."""

    def __init__(self, denoiser: Denoiser, conditions: ConditionEncoder) -> None:
        super().__init__()
        self.denoiser, self.conditions = denoiser, conditions


def train(
    model: Model,
    data: TrainingData,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    ema_decay: float,
    drop: float,
    prediction_type: str,
    weighting: str,
    seed: int,
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[int, torch.Tensor], None] = lambda step, loss: None,
    every: int = 50,
) -> Model:
    """Train in place and return the exponential moving average of the weights (a copy).

    The bank stays on the model's device and indices are drawn inside the step; nothing leaves the
    device but the mean loss, once every `every` steps.
    """
    device = data.clean.device
    rng = torch.Generator(device).manual_seed(derive(seed, "diffusion-train"))
    alphas = cosine_alphas_cumprod().to(device)
    signal, spread = alphas.sqrt(), (1 - alphas).sqrt()
    snr = alphas / (1 - alphas)
    # min-SNR-γ (arXiv 2303.09556, §3.4): min(SNR, 5) on the clean latent, in the units of what is predicted
    units = {"v_prediction": snr + 1, "epsilon": snr, "sample": torch.ones_like(snr)}
    loss_weight = (
        snr.clamp_max(5) / units[prediction_type] if weighting == "min-snr" else torch.ones_like(snr)
    )
    cumulative = data.weight.double().cumsum(0)
    cumulative = (cumulative / cumulative[-1]).float()

    average = copy.deepcopy(model).requires_grad_(False)
    trained: list[torch.Tensor] = [p for p in model.parameters() if p.requires_grad]
    followers: list[torch.Tensor] = [
        a for a, p in zip(average.parameters(), model.parameters(), strict=True) if p.requires_grad
    ]
    optimizer = torch.optim.AdamW(
        trained, lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.99), fused=device.type != "mps"
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _warm_cosine(s, steps))
    total = torch.zeros((), device=device)
    model.train()
    for step in range(1, steps + 1):
        uniform = torch.rand(batch_size, generator=rng, device=device)
        rows = torch.searchsorted(cumulative, uniform).clamp_max(len(cumulative) - 1)
        clean = data.clean[rows]
        timestep = torch.randint(TIMESTEPS, (batch_size,), generator=rng, device=device)
        noise = torch.randn(clean.shape, generator=rng, device=device)
        alpha, sigma = signal[timestep, None], spread[timestep, None]
        keep = torch.rand(2, batch_size, generator=rng, device=device) >= drop
        with autocast(device, dtype):
            condition = model.conditions(data.label[rows], data.subdomain[rows], keep[0], keep[1])
            prediction = model.denoiser(alpha * clean + sigma * noise, timestep, condition)
        wanted = target(prediction_type, clean, noise, alpha, sigma)
        errors = F.mse_loss(prediction.float(), wanted, reduction="none").mean(1)
        loss = (errors * loss_weight[timestep]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        # A short run must not average in its random start: the decay grows with the steps done.
        torch._foreach_lerp_(followers, trained, 1 - min(ema_decay, step / (step + 9)))
        total += loss.detach()
        if step % every == 0 or step == steps:
            on_step(step, total / (every if step % every == 0 else step % every))
            total = torch.zeros((), device=device)
    return average.eval()


def _warm_cosine(step: int, steps: int) -> float:
    warm = max(1, min(100, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
