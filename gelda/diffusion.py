"""The objectives, diffusion and flow matching, and their training loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from gelda.conditions import ConditionEncoder
from gelda.denoiser import Denoiser
from gelda.device import autocast
from gelda.errors import UserError, unknown
from gelda.optimizer import AdamW
from gelda.schedulers import OBJECTIVES, PREDICTION_TYPES, TIMESTEPS
from gelda.seeds import derive

TIMESTEP_SAMPLINGS = ("uniform", "logit-normal")
LOSS_WEIGHTINGS = ("uniform", "min-snr")

# (rows [B], generator) -> clean [B, D] and extra condition features [B, E] of the drawn rows
Batch = Callable[[torch.Tensor, torch.Generator], tuple[torch.Tensor, torch.Tensor | None]]


def cosine_alphas_cumprod(timesteps: int = TIMESTEPS, max_beta: float = 0.999) -> torch.Tensor:
    """ᾱ_t [T] of the cosine schedule (arXiv 2102.09672, eq. 17), as diffusers' squaredcos_cap_v2."""

    def bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - bar((i + 1) / timesteps) / bar(i / timesteps), max_beta) for i in range(timesteps)]
    # float32 as diffusers does: the two must agree bit for bit, at ᾱ near 0 too.
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float32), 0)


def target(kind: str, clean: torch.Tensor, noise: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor):
    """What the network predicts [B, D] at noisy = α·clean + σ·noise.

    v = α·ε − σ·x (arXiv 2202.00512, app. D), ε, the clean latent, or, where α = 1 − σ, the velocity
    d noisy/dσ = noise − clean of the straight path (arXiv 2209.03003, eq. 1, with time running to the
    noise as in diffusers).
    """
    if kind == "v_prediction":
        return alpha * noise - sigma * clean
    if kind == "epsilon":
        return noise
    if kind == "sample":
        return clean
    if kind == "flow":
        return noise - clean
    raise unknown("prediction_type", kind, PREDICTION_TYPES)


def to_clean(kind: str, prediction: torch.Tensor, noisy: torch.Tensor, alpha: float, sigma: float):
    """The clean latent [B, D] that a prediction implies at (α, σ)."""
    if kind == "v_prediction":
        return alpha * noisy - sigma * prediction
    if kind == "epsilon":
        return (noisy - sigma * prediction) / alpha  # ᾱ never reaches zero
    if kind == "sample":
        return prediction
    if kind == "flow":
        return noisy - sigma * prediction
    raise unknown("prediction_type", kind, PREDICTION_TYPES)


def min_snr(kind: str, alpha: torch.Tensor, sigma: torch.Tensor, cap: float = 5.0) -> torch.Tensor:
    """min(α²/σ², cap) on the error of the clean latent, in the units of what is predicted.

    Min-SNR-γ (arXiv 2303.09556, §3.4); the error of the clean latent is that of the prediction times
    σ (v, flow), σ/α (ε) or 1.
    """
    snr = (alpha / sigma).square()
    units = {"v_prediction": sigma, "epsilon": sigma / alpha, "sample": torch.ones_like(sigma), "flow": sigma}
    return snr.clamp_max(cap) * units[kind].square()


class NoisePath:
    """Timesteps and their (α, σ): 1000 of the cosine schedule, or the straight path t = 1000·σ."""

    def __init__(self, prediction_type: str, device: torch.device, sampling: str = "uniform") -> None:
        if prediction_type not in OBJECTIVES:
            raise unknown("prediction_type", prediction_type, OBJECTIVES)
        if sampling not in TIMESTEP_SAMPLINGS:
            raise unknown("timestep_sampling", sampling, TIMESTEP_SAMPLINGS)
        self.flow = OBJECTIVES[prediction_type] == "flow"
        if sampling == "logit-normal" and not self.flow:
            raise UserError(
                "timestep_sampling 'logit-normal' is for flows: use 'uniform', or prediction_type 'flow'."
            )
        self.sampling = sampling
        bars = cosine_alphas_cumprod().to(device)
        self.signal, self.spread = bars.sqrt(), (1 - bars).sqrt()

    def draw(self, count: int, rng: torch.Generator) -> torch.Tensor:
        """Random timesteps [count], one in each of `count` equal shares (arXiv 2107.00630, app. I.1).

        Logit-normal is σ = sigmoid(N(0, 1)) (arXiv 2403.03206, eq. 19).
        """
        share = stratified(count, rng)
        if self.sampling == "logit-normal":
            return TIMESTEPS * torch.special.ndtri(share.clamp(1e-6, 1 - 1e-6)).sigmoid()
        return self.quantile(share)

    def quantile(self, share: torch.Tensor) -> torch.Tensor:
        """The timesteps [B] below which the given shares [B] of uniform ones lie."""
        return TIMESTEPS * share if self.flow else (TIMESTEPS * share).long().clamp_max(TIMESTEPS - 1)

    def levels(self, timestep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """α and σ [B, 1] at timesteps [B]."""
        if self.flow:
            sigma = timestep[:, None] / TIMESTEPS
            return 1 - sigma, sigma
        return self.signal[timestep, None], self.spread[timestep, None]


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
    timestep_sampling: str = "uniform",
    batch: Batch | None = None,
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[int, torch.Tensor], None] = lambda step, loss: None,
    every: int = 50,
) -> Model:
    """Train in place and return the exponential moving average of the weights (a copy).

    The bank stays on the model's device and indices are drawn inside the step; nothing leaves the
    device but the mean loss, once every `every` steps. `batch` replaces the drawn rows' clean latents
    (a latent less a random prototype, say) and may add condition features; it must not wait for the
    device. Raises UserError for an unknown prediction_type, weighting or timestep_sampling.
    """
    if weighting not in LOSS_WEIGHTINGS:
        raise unknown("loss weighting", weighting, LOSS_WEIGHTINGS)
    device = data.clean.device
    path = NoisePath(prediction_type, device, timestep_sampling)
    rng = torch.Generator(device).manual_seed(derive(seed, "diffusion-train"))
    draws = Draws(data.weight, rng)
    average = copy.deepcopy(model).requires_grad_(False)
    trained: list[torch.Tensor] = [p for p in model.parameters() if p.requires_grad]
    followers: list[torch.Tensor] = [
        a for a, p in zip(average.parameters(), model.parameters(), strict=True) if p.requires_grad
    ]
    optimizer = AdamW(
        decay_groups(trained, weight_decay),
        lr=learning_rate,
        betas=(0.9, 0.99),
        fused=device.type != "mps",
    )
    total = torch.zeros((), device=device)
    model.train()
    # Dropout draws from torch's global state: seeded here, and given back as it was.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive(seed, "diffusion-dropout"))
        for step in range(1, steps + 1):
            rows = draws.next(batch_size)
            clean, extra = (data.clean[rows], None) if batch is None else batch(rows, rng)
            timestep = path.draw(batch_size, rng)
            noise = torch.randn(clean.shape, generator=rng, device=device)
            alpha, sigma = path.levels(timestep)
            keep = torch.rand(2, batch_size, generator=rng, device=device) >= drop
            with autocast(device, dtype):
                condition = embed(model, data.label[rows], data.subdomain[rows], keep[0], keep[1], extra)
                prediction = model.denoiser(alpha * clean + sigma * noise, timestep, condition)
            errors = prediction.float() - target(prediction_type, clean, noise, alpha, sigma)
            squares = errors.square()
            if weighting == "min-snr":
                squares = squares * min_snr(prediction_type, alpha, sigma)
            loss = squares.mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * _warm_cosine(step - 1, steps)
            optimizer.step()
            # A short run must not average in its random start: the decay grows with the steps done.
            torch._foreach_lerp_(followers, trained, 1 - min(ema_decay, step / (step + 9)))
            total += loss.detach()
            if step % every == 0 or step == steps:
                on_step(step, total / (every if step % every == 0 else step % every))
                total = torch.zeros((), device=device)
    return average.eval()


class Draws:
    """Row numbers drawn in proportion to weight [N], in passes of N draws.

    Within a pass, a row comes as often as its weight says, to within one; so training sees each item as
    regularly as a shuffled epoch does, with weights.
    """

    def __init__(self, weight: torch.Tensor, rng: torch.Generator) -> None:
        cumulative = weight.double().cumsum(0)
        self.cumulative, self.rng = cumulative / cumulative[-1], rng
        self.waiting = torch.zeros(0, dtype=torch.int64, device=weight.device)

    def next(self, count: int) -> torch.Tensor:
        """The next rows [count]; nothing waits for the device."""
        while len(self.waiting) < count:
            share = stratified(len(self.cumulative), self.rng).double()
            rows = torch.searchsorted(self.cumulative, share, right=True)
            self.waiting = torch.cat([self.waiting, rows.clamp_max(len(self.cumulative) - 1)])
        rows, self.waiting = self.waiting[:count], self.waiting[count:]
        return rows


def stratified(count: int, rng: torch.Generator) -> torch.Tensor:
    """Numbers [count] in [0, 1), one in each of `count` equal shares, in random order."""
    order = torch.randperm(count, generator=rng, device=rng.device)
    return ((order + torch.rand(count, generator=rng, device=rng.device)) / count).clamp_max(1 - 1e-7)


def decay_groups(parameters: list[torch.Tensor], weight_decay: float) -> list[dict]:
    """AdamW's groups: matrices decay, vectors (biases, null conditions) do not.

    The learned residuals per class and subdomain are matrices and decay on purpose: zero is their
    prior, the semantic vector alone.
    """
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def embed(
    model: Model,
    label: torch.Tensor,
    subdomain: torch.Tensor,
    keep_class: torch.Tensor | None,
    keep_subdomain: torch.Tensor | None,
    extra: torch.Tensor | None,
) -> torch.Tensor:
    """The condition [B, Dc]; an encoder without extra features is never handed any."""
    more = () if extra is None else (extra,)
    return model.conditions(label, subdomain, keep_class, keep_subdomain, *more)


def _warm_cosine(step: int, steps: int) -> float:
    warm = max(1, min(100, steps // 50))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
