"""What a comparison takes, before it starts and while it goes on: trainings, seconds, bytes.

The model counts trainings and their arithmetic; its two constants are of one core of a server. A comparison
that has finished on this machine says how fast this one is, and so does the one that goes on.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gelda import arm_progress, augmenters, runs
from gelda.compare_config import CompareConfig
from gelda.errors import UserError
from gelda.runs import RunState

# 2 130 heads and 80 generators at width 1280 took 12 minutes, 830 and 36 tiny ones 50 s (PACS)
OVERHEAD = 0.05  # seconds of a training that do not grow with it: its data, its scores
RATE = 1.2e11  # flop a second of the small matrix products of heads and generators
RECENT = 30  # newest runs that are looked at for one that was measured here
STAGES = ("select", "train")
KEPT = 8_000  # points that a run keeps, about, whatever the latents
ARM_ITEM = 16  # bytes of an arm's predictions of an item, under both losses


@dataclass(frozen=True)
class Estimate:
    """seconds in all; `run` and `name` of the comparison that says how fast this machine is, "" where none
    has finished here."""

    seconds: float
    run: str = ""
    name: str = ""


def trainings(settings: CompareConfig, subdomains: int, layers: int) -> dict[str, tuple[int, int]]:
    """Heads and generators that a comparison of one target trains, by stage.

    Validation is on as many episodes as it has. An upper bound: latents that settings share are counted once
    a setting's form.
    """
    from gelda.arms import CHEAP, CONTROLS, grid_of  # torch, which a page does not wait for
    from gelda.finetune import fitting_methods

    c = settings
    known = augmenters.AUGMENTERS
    methods = c.methods or fitting_methods(known, c.adapter.head, named=False)
    transfer = c.protocol != "longtail"
    episodes = c.rotations if transfer else 1
    inner = max(1, subdomains - 1) if transfer else c.validation_folds
    inner *= c.selection_seeds if c.one_choice else c.seeds
    layers = layers if c.adapter.fm_layer == "auto" else 1
    tuned = [m for m in methods if m not in (*CONTROLS, "logit-adjustment") and len(grid_of(m, c)) > 1]
    tried = layers * (len(c.taus) + (len(CHEAP) if layers > 1 else 0))
    makers = [m for m in methods if known[m].generative]
    forms = sum(len({str(s.get("form")) for s in grid_of(m, c)}) for m in makers if m in tuned)
    return {
        "select": (inner * (tried + sum(len(grid_of(m, c)) for m in tuned)), inner * forms),
        "train": (2 * c.seeds * episodes * len(methods), c.seeds * episodes * len(makers)),
    }


def modelled(settings: CompareConfig, subdomains: int, layers: Mapping[str, int]) -> dict[str, float]:
    """Seconds by stage on one core of a server; `layers` are the widths of the bank's."""
    a, g = settings.adapter, settings.generator
    width = layers.get(a.fm_layer) or max(layers.values())
    sizes = (width, *a.hidden)
    head = a.tune_steps * a.batch_size * 6.0 * sum(m * n for m, n in zip(sizes, (*a.hidden, 10), strict=True))
    blocks = g.depth * (2 * g.width**2 + 3 * g.width * g.condition_dim)
    generator = g.steps * g.batch_size * 6.0 * (2 * width * g.width + blocks)
    return {
        stage: OVERHEAD * (heads + generators) + (heads * head + generators * generator) / RATE
        for stage, (heads, generators) in trainings(settings, subdomains, len(layers)).items()
    }


def estimate(settings: CompareConfig, subdomains: int, layers: Mapping[str, int]) -> Estimate:
    """How long it would take here."""
    own = sum(modelled(settings, subdomains, layers).values())
    bases = []
    for state in runs.list_runs(limit=RECENT):
        if state.comparison and state.status == "done" and state.host == platform.node():
            told = _told(state)
            spent = sum(s.seconds for s in state.stages if s.name in STAGES)
            if told is not None and told.fresh and told.modelled and spent:
                bases.append((state, spent, sum(told.modelled.values())))
    if not bases:
        return Estimate(own)
    state, spent, model = min(bases, key=lambda base: abs(np.log(base[2] / own)))
    return Estimate(own * spent / model, state.id, state.name)


def remaining(state: RunState) -> float | None:
    """Seconds that a comparison which goes on still takes, at its own pace; None where it has none yet."""
    told, stage = _told(state), next((s for s in state.stages if s.state == "running"), None)
    if stage is None or stage.remaining is None:
        return None
    if stage.name != "select":
        return stage.remaining
    if told is None or not told.modelled:
        return None
    pace = (stage.seconds + stage.remaining) / told.modelled["select"]
    return stage.remaining + pace * told.modelled["train"]


def disk(settings: CompareConfig, items: int, layers: Mapping[str, int]) -> float:
    """Bytes of a comparison's folder, roughly."""
    g, width = settings.generator, max(layers.values())
    methods = len(settings.methods) or len(augmenters.AUGMENTERS)
    points = min(items, KEPT) * 2 * (sum(layers.values()) + width)
    blocks = g.depth * (2 * g.width**2 + 3 * g.width * g.condition_dim)
    weights = 4 * (2 * width * g.width + blocks)
    return 2e6 + points + 3 * weights + settings.seeds * methods * ARM_ITEM * items / 2


def _told(state: RunState) -> arm_progress.ArmProgress | None:
    try:
        return arm_progress.read(state.path)
    except UserError:
        return None
