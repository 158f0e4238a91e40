"""The playground: a 2-D mixture of classes and subdomains with known densities, and guidance in it.

`python -m gelda.playground` makes the lesson's files again (a minute on one core).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gelda import diffusion
from gelda.artifacts import FORMAT, write_json, write_tensors
from gelda.conditions import ConditionEncoder, ConditionSpace
from gelda.denoiser import Denoiser
from gelda.diffusion import Model, TrainingData, cosine_alphas_cumprod
from gelda.sampler import sample
from gelda.seeds import generator, row_noise

COMMAND = "python -m gelda.playground"
SCALES = tuple(k / 4 for k in range(25))  # guidance scales 0 … 6
TRAINING = {
    "steps": 5000, "batch_size": 256, "learning_rate": 2e-3, "weight_decay": 0.0, "ema_decay": 0.999,
    "drop": 0.15, "prediction_type": "v_prediction", "weighting": "uniform",
}  # fmt: skip
NETWORK = {"width": 64, "depth": 3}
ITEMS = 4000  # training points
STEPS = 25  # of the sampler
MEASURES = ("recognised", "shift", "variance_ratio")


@dataclass(frozen=True)
class Mixture:
    """One Gaussian a cell: means [C, S, 2], covariances [C, S, 2, 2], weights [C, S] that sum to 1."""

    means: torch.Tensor
    covariances: torch.Tensor
    weights: torch.Tensor
    class_names: tuple[str, ...]
    subdomain_names: tuple[str, ...]

    def draw(self, label: torch.Tensor, subdomain: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Points [N, 2] of the given cells from standard normal noise [N, 2]."""
        factors = torch.linalg.cholesky(self.covariances[label, subdomain])
        return self.means[label, subdomain] + (factors @ noise[..., None])[..., 0]

    def shares(self, label: torch.Tensor, subdomain: torch.Tensor, keep_class: torch.Tensor,
               keep_subdomain: torch.Tensor) -> torch.Tensor:  # fmt: skip
        """Weights [N, C·S] of the mixture that is left when only the kept axes are known."""
        classes, subdomains = self.weights.shape
        rows = torch.arange(classes)[None, :, None] == label[:, None, None]
        columns = torch.arange(subdomains)[None, None] == subdomain[:, None, None]
        inside = (rows | ~keep_class[:, None, None]) & (columns | ~keep_subdomain[:, None, None])
        left = (self.weights * inside).flatten(1)
        return left / left.sum(1, keepdim=True)

    def posterior_mean(
        self, noisy: torch.Tensor, shares: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor
    ) -> torch.Tensor:
        """E[clean | noisy] [N, 2] at noisy = α·clean + σ·noise: what a perfect denoiser answers.

        α, σ [N]. The mean over cells of each Gaussian's own answer, μ + αΣ(α²Σ + σ²I)⁻¹(noisy − αμ).
        """
        axes, away, spread = self._along_axes(noisy, alpha, sigma)
        log = shares.log() + _log_normals(away, spread)
        moved = alpha[:, None, None] * self.axes[0].flatten(0, 1) / spread * away
        answers = self.means.flatten(0, 1) + torch.einsum("kij,nkj->nki", axes, moved)
        return (log.softmax(1)[..., None] * answers).sum(1)

    def log_cells(self, points: torch.Tensor) -> torch.Tensor:
        """log p(point | cell) [N, C·S] of points [N, 2]."""
        one = points.new_ones(len(points))
        return _log_normals(*self._along_axes(points, one, 0 * one)[1:])

    def log_density(self, points: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """log p [N] of points [N, 2] under the cells mixed by shares [N or 1, C·S]."""
        return torch.logsumexp(shares.log() + self.log_cells(points), 1)

    @cached_property
    def axes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Variances [C, S, 2] along each cell's own axes, and those axes as columns [C, S, 2, 2]."""
        return tuple(torch.linalg.eigh(self.covariances))

    def _along_axes(
        self, points: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Every cell's axes, and points − αμ and the variances α²Σ + σ²I along them [N, C·S, 2]."""
        variances, axes = (part.flatten(0, 1) for part in self.axes)
        away = points[:, None] - alpha[:, None, None] * self.means.flatten(0, 1)
        spread = alpha.square()[:, None, None] * variances + sigma.square()[:, None, None]
        return axes, torch.einsum("kij,nki->nkj", axes, away), spread


def _log_normals(away: torch.Tensor, variances: torch.Tensor) -> torch.Tensor:
    """Log densities [N, K] of Gaussians with these deviations and variances [N, K, 2] along their axes."""
    return -0.5 * (away.square() / variances + variances.log()).sum(-1) - math.log(2 * math.pi)


def mixture() -> Mixture:
    """Three classes by two subdomains, standardised: about zero mean and unit variance, classes overlap."""
    centres = torch.tensor([[-1.28, 0.12], [0.0, -0.18], [1.28, 0.12]], dtype=torch.float64)
    offsets = torch.tensor([[-0.12, 0.84], [0.12, -0.84]], dtype=torch.float64)
    angles = torch.tensor([[0.5, -0.35], [-0.3, 0.45], [-0.6, 0.25]], dtype=torch.float64)
    sizes = torch.tensor([[0.52, 0.30], [0.46, 0.34]], dtype=torch.float64)
    turn = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], -1).unflatten(-1, (2, 2))
    covariances = turn @ torch.diag_embed(sizes.square())[None] @ turn.transpose(-1, -2)
    return Mixture(
        centres[:, None] + offsets[None],
        covariances,
        torch.full((3, 2), 1 / 6, dtype=torch.float64),
        ("A", "B", "C"),
        ("by day", "by night"),
    )


class ExactDenoiser:
    """The perfect denoiser of a mixture in a Denoiser's place; it predicts the clean point ("sample")."""

    def __init__(self, mix: Mixture) -> None:
        self.mix, self.bars = mix, cosine_alphas_cumprod().double()

    def modulation(self, timestep: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """[B, C·S + 2]: the condition (a cell mixture's shares) beside α and σ."""
        bars = self.bars[timestep.long()]
        return torch.cat([condition, bars.sqrt()[:, None], (1 - bars).sqrt()[:, None]], 1)

    def denoise(self, noisy: torch.Tensor, modulation: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        own = modulation[rows]
        return self.mix.posterior_mean(noisy, own[:, :-2], own[:, -2], own[:, -1])


class ExactModel:
    """What `sampler.sample` needs of a Model, without a network."""

    def __init__(self, mix: Mixture) -> None:
        self.denoiser, self.conditions = ExactDenoiser(mix), mix.shares


def tilted_moments(mix: Mixture, label: int, subdomain: int, scale: float, edge: float = 5.0,
                   step: float = 0.02) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Mean [2] and covariance [2, 2] of the density ∝ p(x | cell)^w · p(x)^(1−w), by a sum over a grid.

    It has moments for every w ≥ 0: p(x) ≥ weight · p(x | cell), so w > 1 never makes tails heavier.
    """
    side = torch.arange(-edge, edge + step, step, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).flatten(0, 1)
    known, hidden = _cell_shares(mix, label, subdomain, True), _cell_shares(mix, label, subdomain, False)
    log = scale * mix.log_density(points, known) + (1 - scale) * mix.log_density(points, hidden)
    share = log.softmax(0)
    mean = share @ points
    away = points - mean
    return mean, (share[:, None] * away).T @ away


def train_denoiser(mix: Mixture, *, items: int = ITEMS, seed: int = 0, **settings: Any) -> Model:
    """A small denoiser trained on points of every cell, by the same engine as any run's."""
    cells = mix.weights.numel()
    place = torch.arange(items) % cells
    label, subdomain = place // mix.weights.shape[1], place % mix.weights.shape[1]
    clean = mix.draw(label, subdomain, row_noise(seed, ("playground",), items, 2).double()).float()
    classes, subdomains = mix.weights.shape
    space = ConditionSpace.build(torch.eye(classes), torch.eye(subdomains))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, "playground-weights").initial_seed())
        model = Model(Denoiser(2, 48, **NETWORK), ConditionEncoder(space, 48))
    data = TrainingData(clean, label, subdomain, torch.ones(items))
    return diffusion.train(model, data, seed=seed, **{**TRAINING, **settings})


def figures(mix: Mixture, label: int, subdomain: int, points: torch.Tensor) -> dict[str, float]:
    """What guidance did to samples [N, 2] of a cell: `recognised`, `shift`, `variance_ratio`."""
    mean = points.mean(0)
    classes = mix.weights.shape[0]
    log = mix.weights.flatten().log() + mix.log_cells(points)
    best = log.unflatten(1, (classes, -1)).logsumexp(-1).argmax(1)
    covariance = torch.cov(points.T)
    return {"recognised": float((best == label).double().mean()), **_moved(mix, label, subdomain, mean,
                                                                           covariance)}  # fmt: skip


def _moved(
    mix: Mixture, label: int, subdomain: int, mean: torch.Tensor, covariance: torch.Tensor
) -> dict[str, float]:
    """shift: distance of the mean from the true one, in the cell's standard deviations; variance_ratio: of
    the traces."""
    true = mix.covariances[label, subdomain].trace()
    distance = (mean - mix.means[label, subdomain]).norm()
    return {"shift": float(distance / (true / 2).sqrt()), "variance_ratio": float(covariance.trace() / true)}


def _cell_shares(mix: Mixture, label: int, subdomain: int, known: bool) -> torch.Tensor:
    keep = torch.tensor([known])
    return mix.shares(torch.tensor([label]), torch.tensor([subdomain]), keep, keep)


def lesson(
    *,
    samples: int = 1000,
    shown: int = 260,
    scales: tuple[float, ...] = SCALES,
    seed: int = 0,
    **training: Any,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Points and figures of every cell at every scale, from the same noise.

    Arrays: `exact`, `trained` float16 [C·S, scales, shown, 2]. The record: the mixture, and figures
    {exact, trained, tilted: {name: [C·S][scales]}}, taken over `samples` points.
    """
    mix = mixture()
    classes, subdomains = mix.weights.shape
    cells = [(c, s) for c in range(classes) for s in range(subdomains)]
    label = torch.tensor([c for c, _ in cells]).repeat_interleave(samples)
    subdomain = torch.tensor([s for _, s in cells]).repeat_interleave(samples)
    # the same noise in every cell and at every scale: only the condition and the scale move a point
    noise = row_noise(seed, ("lesson",), samples, 2).repeat(len(cells), 1)
    models: dict[str, tuple[Any, str, torch.dtype]] = {
        "exact": (ExactModel(mix), "sample", torch.float64),
        "trained": (train_denoiser(mix, seed=seed, **training), "v_prediction", torch.float32),
    }
    arrays: dict[str, np.ndarray] = {}
    record: dict[str, Any] = {name: _empty(len(cells), MEASURES) for name in models}
    record["tilted"] = _empty(len(cells), MEASURES[1:])
    for name, (model, kind, dtype) in models.items():
        made = []
        for scale in scales:
            points = sample(
                model, label, subdomain, noise.to(dtype), num_inference_steps=STEPS, prediction_type=kind,
                guidance_class=scale, guidance_subdomain=scale,
            ).double().unflatten(0, (len(cells), samples))  # fmt: skip
            made.append(points[:, :shown])
            for k, (c, s) in enumerate(cells):
                _append(record[name], k, figures(mix, c, s, points[k]))
        arrays[name] = torch.stack(made, 1).half().numpy()
    for k, (c, s) in enumerate(cells):
        for scale in scales:
            _append(record["tilted"], k, _moved(mix, c, s, *tilted_moments(mix, c, s, scale)))
    truth = mix.draw(label, subdomain, noise.double()).unflatten(0, (len(cells), samples))
    record["ceiling"] = [figures(mix, c, s, truth[k])["recognised"] for k, (c, s) in enumerate(cells)]
    return arrays, {
        "format": FORMAT, "command": COMMAND, "scales": list(scales), "steps": STEPS, "seed": seed,
        "samples": samples,
        "items": ITEMS,
        "class_names": mix.class_names, "subdomain_names": mix.subdomain_names,
        "means": mix.means.tolist(), "covariances": mix.covariances.tolist(),
        "training": {**TRAINING, **NETWORK, **training}, "figures": record,
    }  # fmt: skip


def _empty(cells: int, names: tuple[str, ...]) -> dict[str, list[list[float]]]:
    return {name: [[] for _ in range(cells)] for name in names}


def _append(table: dict[str, list[list[float]]], cell: int, found: dict[str, float]) -> None:
    for name, value in found.items():
        table[name][cell].append(round(value, 4))


def write_lesson(folder: Path) -> None:
    """`guidance.safetensors` and `guidance.json` of the lesson."""
    arrays, record = lesson()
    write_tensors(folder / "guidance.safetensors", arrays)
    write_json(folder / "guidance.json", record)


if __name__ == "__main__":
    from gelda.encoders import assets

    write_lesson(assets() / "lessons")
