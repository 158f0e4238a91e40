"""Training steps and latents a second beside a plain loop, at the same Fréchet distance.

    OMP_NUM_THREADS=1 python benchmarks/throughput.py          # the demo's size, about 5 minutes
    OMP_NUM_THREADS=1 python benchmarks/throughput.py --size base --dim 512 --batch 256 --steps 1500
    python benchmarks/throughput.py --device cuda --size reference --dim 512 --batch 1024

The plain loop has the same architecture, data, steps and batch size, and does what a first version does: a
DataLoader over a TensorDataset, fp32, AdamW as it comes, an average of the weights tensor by tensor, a
network with a modulation of its own in every block for every row (as DiT's code has it), and 100 ancestral
steps (DDPM, arXiv 2006.11239). Both are timed in turn in one process, the order alternating; figures are
medians over the repeats, ratios are taken within a repeat. The Fréchet distance (within cells, against fresh
draws of the planted distribution; lower is better) says whether the quality is the same: the fewest of 10,
15 and 20 steps count whose mean distance is at most that of the plain samples (+ 2 %). It needs a training
long enough to converge: before, ancestral noise hides errors of the network that deterministic steps keep.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from gelda import device as devices
from gelda import metrics
from gelda.conditions import ConditionEncoder, ConditionSpace
from gelda.denoiser import Denoiser, time_features
from gelda.diffusion import Model, TrainingData, cosine_alphas_cumprod, train
from gelda.sampler import sample
from gelda.seeds import generator
from gelda.settings import SIZES

CLASSES, SUBDOMAINS = 10, 4
TARGETS = {"train": 2.0, "sample": 12.0}
TOLERANCE = 1.02


class Planted:
    """One Gaussian a cell with a full covariance of falling spectrum; standardised overall."""

    def __init__(self, dim: int) -> None:
        rng = generator(0, "planted")
        self.centres = torch.randn(CLASSES, dim, generator=rng) + torch.randn(
            SUBDOMAINS, 1, dim, generator=rng
        )
        turn, _ = torch.linalg.qr(torch.randn(dim, dim, generator=rng))
        self.root = turn * (0.3 + 1.5 * torch.arange(1, dim + 1).float() ** -0.5)
        self.scale = 1.0
        latents, _, _ = self.draw(20_000, "scale")
        self.scale = float(latents.std())

    def draw(self, count: int, name: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """latents [count, D], label [count], subdomain [count]; cells take turns."""
        label, subdomain = torch.arange(count) % CLASSES, torch.arange(count) // CLASSES % SUBDOMAINS
        noise = torch.randn(count, self.root.shape[0], generator=generator(1, name))
        return (self.centres[subdomain, label] + noise @ self.root.T) / self.scale, label, subdomain


def build(options: argparse.Namespace, seed: int, plain: bool = False) -> Model:
    torch.manual_seed(seed)
    size = SIZES[options.size]
    space = ConditionSpace.build(torch.eye(CLASSES), torch.eye(SUBDOMAINS))
    kind = PlainDenoiser if plain else Denoiser
    denoiser = kind(options.dim, size["condition_dim"], width=size["width"], depth=size["depth"])
    return Model(denoiser, ConditionEncoder(space, size["condition_dim"])).to(options.device)


# -- the plain loop -----------------------------------------------------------------------------------


class PlainBlock(nn.Module):
    def __init__(self, width: int, condition_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.modulation = nn.Sequential(nn.SiLU(), zero_linear(condition_dim, 3 * width))

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        shift, scale, gate = self.modulation(embedding).chunk(3, dim=1)
        return x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)


class PlainDenoiser(nn.Module):
    """gelda.denoiser.Denoiser as it is usually written."""

    def __init__(self, dim: int, condition_dim: int, width: int, depth: int) -> None:
        super().__init__()
        self.time = nn.Sequential(
            nn.Linear(64, condition_dim), nn.SiLU(), nn.Linear(condition_dim, condition_dim)
        )
        self.input = nn.Linear(dim, width)
        self.blocks = nn.ModuleList(PlainBlock(width, condition_dim) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Sequential(nn.SiLU(), zero_linear(condition_dim, 2 * width))
        self.output = zero_linear(width, dim)

    def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        embedding = condition + self.time(time_features(timestep))
        x = self.input(noisy)
        for block in self.blocks:
            x = block(x, embedding)
        shift, scale = self.modulation(embedding).chunk(2, dim=1)
        return self.output(self.norm(x) * (1 + scale) + shift)


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def plain_train(model: Model, data: TensorDataset, options: argparse.Namespace) -> Model:
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.01, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    loader = DataLoader(data, batch_size=options.batch, shuffle=True, drop_last=True)
    alphas = cosine_alphas_cumprod().to(options.device)
    step = 0
    while step < options.steps:
        for clean, label, subdomain in loader:
            clean, label, subdomain = (x.to(options.device) for x in (clean, label, subdomain))
            noise = torch.randn_like(clean)
            timestep = torch.randint(1000, (len(clean),), device=clean.device)
            alpha, sigma = alphas[timestep].sqrt()[:, None], (1 - alphas[timestep]).sqrt()[:, None]
            keep = torch.rand(2, len(clean), device=clean.device) >= 0.1
            condition = model.conditions(label, subdomain, keep[0], keep[1])
            prediction = model.denoiser(alpha * clean + sigma * noise, timestep, condition)
            loss = F.mse_loss(prediction, alpha * noise - sigma * clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            decay = min(0.995, step / (step + 9))
            with torch.no_grad():
                for a, p in zip(average.parameters(), model.parameters(), strict=True):
                    a.mul_(decay).add_(p, alpha=1 - decay)
            if step == options.steps:
                break
    return average.eval()


@torch.no_grad()
def plain_sample(
    model: Model, label: torch.Tensor, subdomain: torch.Tensor, noise: torch.Tensor, steps: int = 100
) -> torch.Tensor:
    alphas = cosine_alphas_cumprod().to(noise.device)
    times = torch.arange(999, -1, -1000 // steps, device=noise.device)
    done = []
    for start in range(0, len(noise), 1024):
        part = slice(start, start + 1024)
        latent = noise[part]
        for i, t in enumerate(times):
            timestep = t.repeat(len(latent))
            prediction = model.denoiser(latent, timestep, model.conditions(label[part], subdomain[part]))
            bar = alphas[t]
            before = alphas[times[i + 1]] if i + 1 < len(times) else torch.ones_like(bar)
            clean = bar.sqrt() * latent - (1 - bar).sqrt() * prediction
            alpha = bar / before
            mean = (
                before.sqrt() * (1 - alpha) * clean + alpha.sqrt() * (1 - before) * latent
            ) / (1 - bar)  # fmt: skip
            spread = ((1 - before) / (1 - bar) * (1 - alpha)).sqrt()
            latent = mean + spread * torch.randn_like(latent)
        done.append(latent)
    return torch.cat(done)


# -- the comparison -----------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict:
    planted, dtype = Planted(options.dim), devices.resolve_precision(options.precision, options.device)
    clean, label, subdomain = planted.draw(options.items, "train")
    wanted = planted.draw(options.latents, "wanted")[1:]
    reference = planted.draw(20_000, "reference")
    on = options.device
    data = TrainingData(clean.to(on), label.to(on), subdomain.to(on), torch.ones(options.items, device=on))
    noise = torch.randn(options.latents, options.dim, generator=generator(2, "noise")).to(on)
    ask = (*(x.to(on) for x in wanted), noise)

    def ours_train(seed: int) -> Model:
        return train(
            build(options, seed), data, steps=options.steps, batch_size=options.batch, learning_rate=1.5e-3,
            weight_decay=0.01, ema_decay=0.995, drop=0.1, prediction_type="v_prediction", weighting="uniform",
            seed=seed, dtype=dtype,
        )  # fmt: skip

    def theirs_train(seed: int) -> Model:
        return plain_train(build(options, seed, plain=True), TensorDataset(clean, label, subdomain), options)

    def ours_sample(model: Model, steps: int) -> torch.Tensor:
        return sample(model, *ask, num_inference_steps=steps, dtype=dtype)

    def distance(made: torch.Tensor) -> float:
        return within_cells(made.cpu(), wanted, reference)

    times: dict[str, list[float]] = {}
    fresh = planted.draw(options.latents, "other")[0]
    quality: dict[str, list[float]] = {"real to real": [within_cells(fresh, wanted, reference)]}
    warm = build(options, 0)  # what a first call builds and reads is not counted
    for steps in (10, 15, 20):
        ours_sample(warm, steps)
    plain_sample(build(options, 0, plain=True), *ask, steps=2)
    for repeat in range(options.repeats):
        models: dict[str, Model] = {}
        arms: list[tuple[str, Callable[[int], Model]]] = [("plain", theirs_train), ("gelda", ours_train)]
        for name, run in arms if repeat % 2 == 0 else arms[::-1]:
            models[name], seconds = timed(on, run, repeat)
            times.setdefault(f"train {name}", []).append(seconds)
        draws: list[tuple] = [("plain", plain_sample, models["plain"], *ask)]
        draws += [(f"{steps} steps", ours_sample, models["gelda"], steps) for steps in (10, 15, 20)]
        for name, *draw in draws if repeat % 2 == 0 else draws[::-1]:
            made, seconds = timed(on, *draw)
            times.setdefault(f"sample {name}", []).append(seconds)
            quality.setdefault(name, []).append(distance(made))
    found = summary(options, times, quality, str(dtype).removeprefix("torch."))
    if not found["met"]["train"] and options.device.type == "cpu":
        options.steps = min(options.steps, 100)
        found["in_the_way"] = {
            "plain, ms of a step": step_parts(lambda: theirs_train(0), options.steps),
            "gelda, ms of a step": step_parts(lambda: ours_train(0), options.steps),
        }
    return found


def within_cells(
    made: torch.Tensor,
    wanted: tuple[torch.Tensor, ...],
    reference: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> float:
    """Fréchet distance of latents less the true mean of their cell: right cells and right spread."""
    real, label, subdomain = reference
    cell = label * SUBDOMAINS + subdomain
    means = torch.stack([real[cell == c].mean(0) for c in range(CLASSES * SUBDOMAINS)])
    return metrics.frechet(
        (made - means[wanted[0] * SUBDOMAINS + wanted[1]]).double().numpy(),
        (real - means[cell]).double().numpy(),
    )


def step_parts(run: Callable, steps: int) -> dict[str, float]:
    """Milliseconds of a training step on the CPU by what they go to, under torch's profiler."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run()
    found = {"matrix products": 0.0, "optimiser": 0.0, "everything else": 0.0}
    for event in profile.key_averages():
        part = "everything else"
        if event.key in ("aten::mm", "aten::addmm", "aten::bmm"):
            part = "matrix products"
        elif "adam" in event.key.lower():
            part = "optimiser"
        found[part] += event.self_cpu_time_total / 1000 / steps
    return found


def timed(on: torch.device, run: Callable, *arguments: object) -> tuple:
    """(result, seconds) of a call."""
    start = time.perf_counter()
    result = run(*arguments)
    if on.type == "cuda":
        torch.cuda.synchronize(on)
    return result, time.perf_counter() - start


def summary(options: argparse.Namespace, times: dict, quality: dict, dtype: str) -> dict:
    mean = {name: float(np.mean(values)) for name, values in quality.items()}

    def ratio(a: str, b: str) -> float:
        return statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))

    fewest = next((n for n in (10, 15, 20) if mean[f"{n} steps"] <= TOLERANCE * mean["plain"]), None)
    found = {
        "size": options.size, "dim": options.dim, "batch": options.batch, "precision": dtype,
        "threads": torch.get_num_threads(), "device": str(options.device), "repeats": options.repeats,
        "train_steps_per_second": {
            name: options.steps / statistics.median(times[f"train {name}"]) for name in ("plain", "gelda")
        },
        "latents_per_second": {
            name.removeprefix("sample "): options.latents / statistics.median(values)
            for name, values in times.items() if name.startswith("sample")
        },
        "frechet": mean,
        "ratio": {
            "train": ratio("train plain", "train gelda"),
            **{f"sample, {n} steps": ratio("sample plain", f"sample {n} steps") for n in (10, 15, 20)},
        },
        "steps_at_equal_frechet": fewest,
    }  # fmt: skip
    met = {
        "train": found["ratio"]["train"] >= TARGETS["train"],
        "sample": fewest is not None and found["ratio"][f"sample, {fewest} steps"] >= TARGETS["sample"],
    }
    return {**found, "targets": TARGETS, "met": met}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=list(SIZES), default="demo")
    parser.add_argument("--dim", type=int, default=160)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--items", type=int, default=8000)
    parser.add_argument("--latents", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", help="also write the figures there")
    options = parser.parse_args()
    devices.set_threads()
    options.device = devices.resolve(options.device)
    found = measure(options)
    text = json.dumps(found, indent=1)
    print(text)
    if options.json:
        with open(options.json, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
