"""Guided sampling from a coefficient table that diffusers' schedulers build."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from gelda.diffusion import TIMESTEPS, Model, cosine_alphas_cumprod, to_clean
from gelda.encoders import assets
from gelda.errors import UserError, unknown

# What each name builds in diffusers. Never clip_sample (latents are not pixels) and never `leading`
# spacing (it stops short of pure noise); the sampler hands over denoised latents: prediction "sample".
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dpm-solver++": (
        "DPMSolverMultistepScheduler",
        {"timestep_spacing": "linspace", "solver_order": 2, "final_sigmas_type": "zero"},
    ),
    "ddim": ("DDIMScheduler", {"timestep_spacing": "trailing", "clip_sample": False}),
    "unipc": (
        "UniPCMultistepScheduler",
        {"timestep_spacing": "linspace", "solver_order": 2, "final_sigmas_type": "zero"},
    ),
}


@dataclass(frozen=True)
class SolverTable:
    """A deterministic multistep solver as numbers.

    After step i the latent is Σ_j state[i][j]·x_j + Σ_j denoised[i][j]·m_j, where x_j is the latent
    before step j and m_j the denoised latent that the network gave at it.
    """

    scheduler: str
    timesteps: tuple[int, ...]
    state: tuple[dict[int, float], ...]
    denoised: tuple[dict[int, float], ...]


@functools.lru_cache(maxsize=64)
def solver_table(scheduler: str = "dpm-solver++", num_inference_steps: int = 20) -> SolverTable:
    """The table for a scheduler; read from the shipped tables where diffusers is not installed."""
    if scheduler not in SCHEDULERS:
        raise unknown("scheduler", scheduler, SCHEDULERS)
    if not 1 <= num_inference_steps <= TIMESTEPS:
        raise UserError(
            f"num_inference_steps is {num_inference_steps}; it must lie between 1 and {TIMESTEPS}."
        )
    try:
        import diffusers  # noqa: F401
    except ImportError:
        return _shipped_table(scheduler, num_inference_steps)
    return build_table(scheduler, num_inference_steps)


def build_table(scheduler: str, steps: int) -> SolverTable:
    """Probe a diffusers scheduler with unit vectors: its step is linear in latents and predictions."""
    import diffusers

    name, options = SCHEDULERS[scheduler]
    solver = getattr(diffusers, name)(
        num_train_timesteps=TIMESTEPS, beta_schedule="squaredcos_cap_v2", prediction_type="sample", **options
    )
    solver.set_timesteps(steps)
    basis = torch.eye(2 * steps, dtype=torch.float64)
    state, denoised = [], []
    for i, timestep in enumerate(solver.timesteps):
        stepped = solver.step(basis[None, steps + i], timestep, basis[None, i]).prev_sample
        row = [float(v) for v in stepped[0]]
        state.append({j: row[j] for j in range(steps) if abs(row[j]) > 1e-12})
        denoised.append({j: row[steps + j] for j in range(steps) if abs(row[steps + j]) > 1e-12})
    return SolverTable(scheduler, tuple(int(t) for t in solver.timesteps), tuple(state), tuple(denoised))


@torch.no_grad()
def run_solver(
    table: SolverTable,
    noise: torch.Tensor,
    denoise: Callable[[torch.Tensor, int], torch.Tensor],
    on_step: Callable[[int, torch.Tensor], None] = lambda step, latent: None,
) -> torch.Tensor:
    """Take pure noise [B, D] to latents [B, D]; `denoise(noisy, timestep)` gives the clean estimate."""
    latents, estimates = [noise], []
    for i, timestep in enumerate(table.timesteps):
        estimates.append(denoise(latents[-1], timestep))
        moved = torch.zeros_like(noise)
        for j, weight in table.state[i].items():
            moved.add_(latents[j], alpha=weight)
        for j, weight in table.denoised[i].items():
            moved.add_(estimates[j], alpha=weight)
        latents.append(moved)
        on_step(i, moved)
        for kept, rows in ((latents, table.state), (estimates, table.denoised)):
            for j in range(i + 1):
                if not any(j in row for row in rows[i + 1 :]):
                    kept[j] = noise.new_empty(0)  # no later step reads it: give the memory back
    return latents[-1]


@torch.no_grad()
def sample(
    model: Model,
    label: torch.Tensor,
    subdomain: torch.Tensor,
    noise: torch.Tensor,
    *,
    scheduler: str = "dpm-solver++",
    num_inference_steps: int = 20,
    guidance_class: float = 1.0,
    guidance_subdomain: float = 1.0,
    prediction_type: str = "v_prediction",
    batch_size: int = 4096,
    on_step: Callable[[int, torch.Tensor], None] = lambda step, latent: None,
) -> torch.Tensor:
    """Latents [N, D] for label [N] and subdomain [N] from noise [N, D].

    Two-axis classifier-free guidance (arXiv 2211.09800, eq. 3): m = m(∅,∅) + w_κ·(m(∅,κ) − m(∅,∅))
    + w_γ·(m(γ,κ) − m(∅,κ)). Branches whose weight is zero are not evaluated, so scales of 1 cost
    one network pass, and equal scales two.
    """
    table = solver_table(scheduler, num_inference_steps)
    branches = guidance_branches(guidance_class, guidance_subdomain)
    cells, cell_of_row = torch.unique(torch.stack([label, subdomain], 1), dim=0, return_inverse=True)
    conditions = [
        model.conditions(
            cells[:, 0],
            cells[:, 1],
            torch.full((len(cells),), keep_class, device=cells.device),
            torch.full((len(cells),), keep_subdomain, device=cells.device),
        )
        for _, keep_class, keep_subdomain in branches
    ]
    condition = torch.cat(conditions)
    weights = [weight for weight, _, _ in branches]
    alphas = cosine_alphas_cumprod()
    done = []
    for start in range(0, len(noise), batch_size):
        cell = cell_of_row[start : start + batch_size]
        rows = torch.cat([cell + k * len(cells) for k in range(len(branches))])

        def denoise(noisy: torch.Tensor, timestep: int, rows: torch.Tensor = rows) -> torch.Tensor:
            times = torch.full((len(condition),), timestep, device=noisy.device)
            modulation = model.denoiser.modulation(times, condition)
            alpha, sigma = float(alphas[timestep].sqrt()), float((1 - alphas[timestep]).sqrt())
            stacked = noisy.repeat(len(weights), 1)
            predictions = model.denoiser.denoise(stacked, modulation[rows])
            clean = to_clean(prediction_type, predictions, stacked, alpha, sigma).chunk(len(weights))
            return sum((w * c for w, c in zip(weights[1:], clean[1:], strict=True)), weights[0] * clean[0])

        done.append(run_solver(table, noise[start : start + batch_size], denoise, on_step))
    return torch.cat(done) if done else noise.clone()


def guidance_branches(guidance_class: float, guidance_subdomain: float) -> list[tuple[float, bool, bool]]:
    """(weight, keep class, keep subdomain) of every network pass that guidance needs; weights sum to 1."""
    branches = [
        (guidance_class, True, True),
        (guidance_subdomain - guidance_class, False, True),
        (1 - guidance_subdomain, False, False),
    ]
    return [branch for branch in branches if branch[0] != 0]


def _shipped_table(scheduler: str, steps: int) -> SolverTable:
    path = assets() / "schedulers.json"
    entry = json.loads(path.read_text()).get(f"{scheduler}/{steps}") if path.is_file() else None
    if entry is None:
        raise UserError(
            f"The table of '{scheduler}' with {steps} steps is not among the shipped ones: "
            "install diffusers, or use 10, 15, 20, 25 or 50 steps."
        )
    state, denoised = (
        [{int(k): v for k, v in row.items()} for row in entry[part]] for part in ("state", "denoised")
    )
    return SolverTable(scheduler, tuple(entry["timesteps"]), tuple(state), tuple(denoised))


def write_shipped_tables() -> None:
    """Rebuild `assets/schedulers.json` (run `python -m gelda.sampler` after adding a scheduler)."""
    from gelda.artifacts import write_json

    tables = {
        f"{name}/{steps}": {"timesteps": t.timesteps, "state": t.state, "denoised": t.denoised}
        for name in SCHEDULERS
        for steps in (10, 15, 20, 25, 50)
        for t in [build_table(name, steps)]
    }
    write_json(assets() / "schedulers.json", tables)


if __name__ == "__main__":
    write_shipped_tables()
