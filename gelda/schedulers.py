"""SCHEDULERS: which diffusers solver each name means, and its step as a table of numbers.

Adding one = one entry here, then `python -m gelda.schedulers` to rebuild the shipped tables.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gelda.errors import UserError, unknown

TIMESTEPS = 1000
Objective = Literal["diffusion", "flow"]
# What a denoiser may predict, and the noising path that goes with it.
OBJECTIVES: dict[str, Objective] = {
    "v_prediction": "diffusion",
    "epsilon": "diffusion",
    "sample": "diffusion",
    "flow": "flow",
}
PREDICTION_TYPES = tuple(OBJECTIVES)


@dataclass(frozen=True)
class SchedulerSpec:
    """A class of diffusers with its options, and the noising path it solves; steps: the shipped tables."""

    title: str
    note: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    objective: Objective = "diffusion"
    stochastic: bool = False
    steps: tuple[int, ...] = (10, 15, 20, 25, 50)


# Never clip_sample (latents are not pixels) and never `leading` spacing (it stops short of pure noise).
SCHEDULERS: dict[str, SchedulerSpec] = {
    "dpm-solver++": SchedulerSpec(
        title="DPM-Solver++",
        note="Deterministic, second order (arXiv 2211.01095): 15 to 20 steps are enough.",
        kind="DPMSolverMultistepScheduler",
        options={"timestep_spacing": "linspace", "solver_order": 2, "final_sigmas_type": "zero"},
    ),
    "ddim": SchedulerSpec(
        title="DDIM",
        note="Deterministic, first order (arXiv 2010.02502): narrow classes need 50 steps or more.",
        kind="DDIMScheduler",
        options={"timestep_spacing": "trailing", "clip_sample": False},
    ),
    "unipc": SchedulerSpec(
        title="UniPC",
        note="Deterministic predictor and corrector of second order (arXiv 2302.04867).",
        kind="UniPCMultistepScheduler",
        options={"timestep_spacing": "linspace", "solver_order": 2, "final_sigmas_type": "zero"},
    ),
    "ddpm": SchedulerSpec(
        title="DDPM",
        note="Ancestral (arXiv 2006.11239): fresh noise at every step, 100 steps or more.",
        kind="DDPMScheduler",
        options={"timestep_spacing": "trailing", "clip_sample": False, "variance_type": "fixed_small"},
        stochastic=True,
        steps=(10, 15, 20, 25, 50, 100),
    ),
    "flow-euler": SchedulerSpec(
        title="Euler for flows",
        note="Equal Euler steps along the flow (arXiv 2209.03003); the one for prediction_type 'flow'.",
        kind="FlowMatchEulerDiscreteScheduler",
        objective="flow",
    ),
}


@dataclass(frozen=True)
class SolverTable:
    """A multistep solver as numbers.

    After step i the latent is Σ_j state[i][j]·x_j + Σ_j denoised[i][j]·m_j + fresh[i]·n_i, where x_j is
    the latent before step j, m_j the denoised latent that the network gave at it, and n_i new standard
    normal noise. The network sees x_i at timesteps[i], where x = signal[i]·clean + spread[i]·noise.
    """

    scheduler: str
    timesteps: tuple[float, ...]
    signal: tuple[float, ...]
    spread: tuple[float, ...]
    state: tuple[dict[int, float], ...]
    denoised: tuple[dict[int, float], ...]
    fresh: tuple[float, ...]


def get(name: str) -> SchedulerSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in SCHEDULERS:
        raise unknown("scheduler", name, SCHEDULERS)
    return SCHEDULERS[name]


def check(scheduler: str, prediction_type: str, where: str = "scheduler") -> None:
    """Raise a UserError where a scheduler cannot solve the path that a denoiser was trained on."""
    if prediction_type not in OBJECTIVES:
        raise unknown("prediction_type", prediction_type, OBJECTIVES)
    objective = OBJECTIVES[prediction_type]
    if get(scheduler).objective != objective:
        fitting = " or ".join(name for name, spec in SCHEDULERS.items() if spec.objective == objective)
        raise UserError(
            f"The {where} '{scheduler}' does not fit the prediction_type '{prediction_type}': "
            f"use {fitting}, or train with another prediction_type."
        )


@functools.lru_cache(maxsize=64)
def solver_table(scheduler: str = "dpm-solver++", num_inference_steps: int = 20) -> SolverTable:
    """The table for a scheduler: the shipped one, or built by diffusers for other numbers of steps."""
    spec = get(scheduler)
    if not 1 <= num_inference_steps <= TIMESTEPS:
        raise UserError(
            f"num_inference_steps is {num_inference_steps}; it must lie between 1 and {TIMESTEPS}."
        )
    shipped = _shipped().get(f"{scheduler}/{num_inference_steps}")
    if shipped is not None:
        return _from_json(scheduler, shipped)
    try:
        import diffusers  # noqa: F401
    except ImportError as error:
        numbers = ", ".join(map(str, spec.steps[:-1]))
        raise UserError(
            f"The table of '{scheduler}' with {num_inference_steps} steps is not among the shipped ones: "
            f"install diffusers, or use {numbers} or {spec.steps[-1]} steps."
        ) from error
    return build_table(scheduler, num_inference_steps)


def build_table(scheduler: str, steps: int) -> SolverTable:
    """Probe a diffusers scheduler with unit vectors: its step is linear in latents, predictions and noise."""
    import diffusers
    import torch

    spec = get(scheduler)
    kind = getattr(diffusers, spec.kind)
    if spec.objective == "flow":
        solver = kind(num_train_timesteps=TIMESTEPS, **spec.options)
        # Equal steps down to zero: by default the last step would only lead from 0.001 to 0.
        solver.set_timesteps(sigmas=[1 - i / steps for i in range(steps)])
        spread = [float(s) for s in solver.sigmas[:-1]]
        signal = [1 - s for s in spread]
    else:
        solver = kind(
            num_train_timesteps=TIMESTEPS,
            beta_schedule="squaredcos_cap_v2",
            prediction_type="sample",
            **spec.options,
        )
        solver.set_timesteps(steps)
        bars = [float(solver.alphas_cumprod[int(t)]) for t in solver.timesteps]
        signal, spread = [bar**0.5 for bar in bars], [(1 - bar) ** 0.5 for bar in bars]
    basis = torch.eye(2 * steps, dtype=torch.float64)
    nothing = torch.zeros_like(basis[:1])
    state, denoised, fresh = [], [], []
    for i, timestep in enumerate(solver.timesteps):
        noisy, clean = basis[None, i], basis[None, steps + i]
        noise = nothing
        if spec.stochastic:  # the same generator twice: once alone, once added to the rest
            drawn = torch.randn(nothing.shape, generator=_rng(i), dtype=torch.float64)
            noise = solver.step(nothing, timestep, nothing, generator=_rng(i)).prev_sample
            fresh.append(_small_is_zero(float((noise * drawn).sum() / drawn.square().sum())))
            stepped = solver.step(clean, timestep, noisy, generator=_rng(i)).prev_sample
        else:
            fresh.append(0.0)
            output = (noisy - clean) / spread[i] if spec.objective == "flow" else clean
            stepped = solver.step(output, timestep, noisy).prev_sample
        row = [_small_is_zero(float(v)) for v in (stepped - noise)[0]]
        state.append({j: row[j] for j in range(steps) if row[j]})
        denoised.append({j: row[steps + j] for j in range(steps) if row[steps + j]})
    return SolverTable(
        scheduler,
        tuple(float(t) for t in solver.timesteps),
        tuple(signal),
        tuple(spread),
        tuple(state),
        tuple(denoised),
        tuple(fresh),
    )


def write_shipped_tables() -> None:
    """Rebuild `assets/schedulers.json`."""
    from gelda.artifacts import write_json
    from gelda.encoders import assets

    tables = {}
    for name, spec in SCHEDULERS.items():
        for steps in spec.steps:
            table = build_table(name, steps)
            tables[f"{name}/{steps}"] = {part: getattr(table, part) for part in _PARTS}
    write_json(assets() / "schedulers.json", tables)


_PARTS = ("timesteps", "signal", "spread", "state", "denoised", "fresh")


@functools.lru_cache(maxsize=1)
def _shipped() -> dict[str, Any]:
    from gelda.encoders import assets

    path = assets() / "schedulers.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _from_json(scheduler: str, entry: dict[str, Any]) -> SolverTable:
    parts: dict[str, Any] = {part: tuple(entry[part]) for part in _PARTS}
    for part in ("state", "denoised"):
        parts[part] = tuple({int(k): v for k, v in row.items()} for row in entry[part])
    return SolverTable(scheduler, **parts)


def _rng(seed: int) -> Any:
    import torch

    return torch.Generator().manual_seed(seed)


def _small_is_zero(value: float) -> float:
    """DDPM's last variance is clamped to 1e-20, and differences of equal numbers leave a rounding error."""
    return value if abs(value) > 1e-9 else 0.0


if __name__ == "__main__":
    write_shipped_tables()
