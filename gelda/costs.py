"""What a run would take, before it starts: seconds a stage and bytes, scaled from a run that was measured."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gelda import runs
from gelda.augmenters import AUGMENTERS
from gelda.config import RunConfig, resolve_config
from gelda.errors import UserError
from gelda.paths import home
from gelda.runs import STAGES

RECENT = 30  # newest runs that are looked at for one that was measured here
FIXED = 12e6  # bytes of a run whatever its seeds: points, their latents in every layer, the first map
A_SEED = 3e6  # bytes of a seed beside the denoiser: adapter, heads, predictions, synthetic latents


@dataclass(frozen=True)
class Measured:
    """A finished run: its settings, and the seconds of the stages that it computed itself."""

    run: str
    name: str
    shipped: bool
    config: RunConfig
    seconds: Mapping[str, float]


def measured() -> list[Measured]:
    """Runs to estimate by: the last ones finished on this machine, newest first, then the shipped one."""
    here = [s for s in runs.list_runs(limit=RECENT) if s.host == platform.node()]
    found = []
    for state in [*here, *runs.shipped_runs()]:
        if state.status != "done" or not state.reported or state.comparison:
            continue
        try:
            config = resolve_config(runs.read_spec(state.path))
        except UserError:  # its settings are of another version
            continue
        seconds = {s.name: s.seconds for s in state.stages if s.state == "done" and s.name in STAGES}
        found.append(Measured(state.id, state.name, state.shipped, config, seconds))
    return found


def seconds(config: RunConfig, known: list[Measured]) -> dict[str, tuple[float, Measured]]:
    """{stage: (seconds, the run it rests on)}; a stage that no run has measured is left out.

    Stages grow with seeds, steps, methods and the size of what is trained. What does not grow with a setting
    (start-up, compilation) is scaled along, so each stage rests on the run whose work was nearest to its own;
    a run of this machine may be 8 times further away than the shipped one.
    """
    found: dict[str, tuple[float, Measured]] = {}
    for stage in STAGES:
        able = [m for m in known if stage in m.seconds and _work(stage, m.config)]
        if not able:
            continue
        work = _work(stage, config)
        base = min(able, key=lambda m: _far(work, _work(stage, m.config), m.shipped))
        found[stage] = (base.seconds[stage] * work / _work(stage, base.config), base)
    if _encoded(config) and "extract" in found:
        found["extract"] = (0.0, found["extract"][1])
    return found


def disk(config: RunConfig) -> float:
    """Bytes of the run's folder, roughly; the bank of latents is shared and is there after a first run."""
    g = config.generator
    # a residual block has 2 linear layers of width² and an AdaLN of 3 · width · condition
    weights = g.depth * (2 * g.width**2 + 3 * g.width * g.condition_dim) + 3 * g.width * 160
    return FIXED + config.seeds * (A_SEED + 4 * weights * max(1, _generators(config)))


def _work(stage: str, c: RunConfig) -> float:
    """What a stage does, in units that only mean something beside another run's."""
    makers = _generators(c)
    network = c.generator.batch_size * c.generator.width**2 * c.generator.depth
    return {
        "extract": 1.0,
        "adapt": c.seeds * c.adapter.steps * c.adapter.batch_size * (1 + 30 * bool(c.adapter.low_rank)),
        "generate": float(c.seeds * c.generator.steps * network * bool(makers)),
        "sample": float(c.seeds * c.sampling.num_inference_steps * c.sampling.allocation_factor * makers),
        "finetune": float(c.seeds * c.adapter.tune_steps * c.adapter.batch_size * len(c.methods)),
        "report": float(c.seeds * len(c.methods)),
        "project": 1.0,
    }[stage]


def _far(work: float, done: float, shipped: bool) -> float:
    """How much larger or smaller what was measured is, as a logarithm."""
    return abs(math.log(work / done)) + math.log(8) * shipped if work else 0.0


def _generators(c: RunConfig) -> int:
    return sum(m in AUGMENTERS and AUGMENTERS[m].generative for m in c.methods)


def _encoded(config: RunConfig) -> bool:
    """Whether this workspace holds the latents already."""
    pattern = f"{config.data.dataset}-{config.encoder.name}-*/manifest.json"
    return any(Path(home() / "banks").glob(pattern))
