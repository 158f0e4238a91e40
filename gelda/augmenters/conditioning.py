"""What a task gives the diffusion model: its untrained network, γ and κ, initial noise, draw weights."""

from __future__ import annotations

from typing import Any

import torch

from gelda.augmenters.base import Task
from gelda.conditions import ConditionEncoder, ConditionSpace
from gelda.denoiser import Denoiser
from gelda.diffusion import Model
from gelda.seeds import row_noise
from gelda.semantics import SemanticInputs, vectors


def build_model(options: Any, task: Task, extra: int = 0) -> Model:
    """An untrained denoiser whose semantic vectors come from the task's training rows and tables."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        space = condition_space(options, task)
        encoder = ConditionEncoder(
            space, options.condition_dim, residual=options.learned_residual, extra=extra
        )
        denoiser = Denoiser(
            task.latents.shape[1],
            options.condition_dim,
            width=options.width,
            depth=options.depth,
            dropout=options.dropout,
        )
    return Model(denoiser, encoder)


def condition_space(options: Any, task: Task) -> ConditionSpace:
    """γ and κ for a task under the run's settings."""
    shuffled = options.condition_control in ("shuffled", "random")
    return ConditionSpace.build(
        vectors(options.class_semantics, semantic_inputs(task, "class", options.text_template)),
        vectors(options.subdomain_semantics, semantic_inputs(task, "subdomain", options.text_template)),
        rank=options.semantic_rank,
        class_rank=options.class_rank,
        subdomain_rank=options.subdomain_rank,
        control=options.condition_control,
        seed=options.control_seed + task.seed if shuffled else options.control_seed,
    )


def semantic_inputs(task: Task, axis: str, template: str = "{}") -> SemanticInputs:
    """What a semantic source may see of a task on one axis.

    The kept class and unlabelled latents place subdomains; classes are placed by labelled rows alone.
    """
    if axis == "class":
        return SemanticInputs(
            task.latents,
            task.label,
            task.classes,
            attributes=task.class_attributes,
            names=task.class_names,
            given=task.class_given,
            template=template,
        )
    return SemanticInputs(
        task.latents,
        task.subdomain,
        task.subdomains,
        attributes=task.subdomain_attributes,
        names=task.subdomain_names,
        axis="subdomain",
        given=task.subdomain_given,
        kept=None if task.kept is None else task.label == task.kept,
        unlabelled=task.unlabelled,
        template=template,
    )


def cell_noise(task: Task) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cells of all wanted latents [M], [M] and their initial noise [M, D], a stream of its own per cell."""
    label, subdomain, noise = [], [], []
    for c in range(task.classes):
        for s in range(task.subdomains):
            count = int(task.allocation[c, s])
            if count:
                label.append(torch.full((count,), c))
                subdomain.append(torch.full((count,), s))
                noise.append(row_noise(task.seed, ("sample", c, s), count, task.latents.shape[1]))
    if not label:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0)
    return torch.cat(label), torch.cat(subdomain), torch.cat(noise)


def draw_weights(task: Task, balance: float) -> torch.Tensor:
    """How often a latent is drawn in training ∝ n^(−balance): 0 as it is, 1 balanced.

    n counts the latent's class; where one subdomain is to be learned from others, its (class, subdomain)
    cell. Full balance made the denoiser memorise the tail (method §4), hence the exponent.
    """
    unit = task.label if task.target is None else task.label * task.subdomains + task.subdomain
    counts = torch.bincount(unit).float().clamp_min(1)
    return counts[unit] ** -balance
