"""The layers after l retrained on real and synthetic latents: all arms side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from gelda import augmenters
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.augmenters.base import NO_TASK, Augmenter, Synthetic, Task, Transform
from gelda.class_start import fresh
from gelda.errors import UserError
from gelda.heads import fit, linear_only
from gelda.settings import AdapterConfig

Restore = Callable[[torch.Tensor], torch.Tensor]  # standardised z^(l) → what the layers after l take


def fitting_methods(methods: Iterable[str], head: str, named: bool = True) -> list[str]:
    """The methods that work with this kind of last layer; others are refused where they were `named`."""
    methods = list(methods)
    if head == "linear":
        return methods
    plans = {m: s.build().plan(NO_TASK) for m in methods if not (s := augmenters.get(m)).generative}
    unfit = [m for m, plan in plans.items() if linear_only(plan)]
    if unfit and named:
        raise UserError(
            f"{', '.join(unfit)} can only be had with a linear last layer: leave "
            f"{'it' if len(unfit) == 1 else 'them'} out of the methods, or set adapter.head to linear."
        )
    return [m for m in methods if m not in unfit]


def adversarial(plan: HeadPlan, config: AdapterConfig, start: int) -> HeadPlan:
    """A plan with the run's domain-adversarial training, where a hidden layer after `start` is trained."""
    there = config.adversarial > 0 and start < len(config.hidden)
    return replace(plan, adversarial=config.adversarial) if there else plan


def real_data(task: Task) -> HeadData:
    """A task's real rows alone, of weight 1."""
    ones = torch.ones(len(task.label))
    return HeadData(task.latents, task.label, ones, task.subdomain, class_vectors=task.class_start)


def head_data(
    task: Task,
    arm: Augmenter,
    made: Synthetic,
    restore: Restore = lambda z: z,
    real: torch.Tensor | None = None,
) -> HeadData:
    """Real rows with the arm's weights, synthetic rows with the arm's weight for them, shared by the levels.

    real: restore(task.latents), where the caller has it: arms without latents of their own then share one
    table.
    """
    transform, latents = arm.transform(task), None
    if transform is not None:
        parts = [transform(task.latents, task.subdomain), transform(made.latents, made.subdomain)]
        latents = restore(torch.cat(parts))
    elif len(made) == 0:
        latents = real
    if latents is None:
        latents = restore(torch.cat([task.latents, made.latents]))
    level = torch.ones_like(made.label) if made.level is None else made.level
    levels = int(level.max()) if len(level) else 1
    return HeadData(
        latents,
        torch.cat([task.label, made.label]),
        torch.cat([arm.real_weight(task), torch.full((len(made),), arm.weight / levels)]),
        torch.cat([task.subdomain, made.subdomain]),
        torch.cat([torch.zeros_like(task.label), level]),
        task.class_start,
    )


def finetune(
    adapter: Adapter,
    task: Task,
    arms: Mapping[str, tuple[Augmenter, Synthetic]],
    layer: int,
    config: AdapterConfig,
    restore: Restore = lambda z: z,
    on_step: Callable[[int, int], None] = lambda step, total: None,
    loss: str = "logit-adjustment",
    recipe: str = "joint",
    recipe_strength: float | None = None,
) -> Adapter:
    """One head an arm, tuned after layer l with the same budget; copy k belongs to the k-th arm.

    loss, recipe: the run's, for arms that name none of their own.

    At l ≥ 1 every arm starts from the logit-adjusted `adapter`, whose z^(l) it is.
    At l = 0 nothing is frozen and every arm starts from one fresh initialisation (class weights that start
    from semantic vectors do so on the arm's real rows, as it transforms them): going on from an
    adapter that has converged on the real latents over-fits them, which costs the real-only
    baselines most (benchmarks/LOG.md) and would flatter whoever adds data. `restore` undoes the
    standardisation of z^(l).
    """
    real = restore(task.latents)
    data = [head_data(task, arm, made, restore, real) for arm, made in arms.values()]
    plans = [arm.plan(task).resolved(loss, config.tau, recipe, recipe_strength) for arm, _ in arms.values()]
    plans = [adversarial(plan, config, layer) for plan in plans]
    return tune(adapter, data, plans, layer, config, task.seed, on_step)


def tune(
    adapter: Adapter,
    data: Sequence[HeadData],
    plans: Sequence[HeadPlan],
    layer: int,
    config: AdapterConfig,
    seed: int,
    on_step: Callable[[int, int], None] = lambda step, total: None,
    dtype: torch.dtype = torch.float32,
) -> Adapter:
    """Heads after layer l from data and resolved plans, one a copy; where they start, see `finetune`."""
    if layer == 0:
        heads = fresh(data, adapter.widths, adapter.classes, seed, adapter.head)
    else:
        heads = adapter.gather([0] * len(data))
    return fit(
        heads.to(adapter.weights[0].device),
        data,
        plans,
        start=layer,
        seed=seed + 1,
        dtype=dtype,
        on_step=on_step,
        **config.training(config.tune_steps),
    )


def predict(
    adapter: Adapter,
    latents: torch.Tensor,
    layer: int,
    *,
    restore: Restore = lambda z: z,
    subdomain: torch.Tensor | None = None,
    transforms: Sequence[Transform | None] = (),
) -> np.ndarray:
    """Class probabilities [K, N, C] of every copy for z^(l) [N, D] of subdomain [N].

    transforms: one a copy, or none at all; the same that the copy's training rows went through.
    """
    device = adapter.weights[0].device
    logits = adapter.run(restore(latents).to(device), layer)
    for k, transform in enumerate(transforms):
        if transform is not None:
            if subdomain is None:
                raise ValueError("a transform needs the rows' subdomains")
            own = restore(transform(latents, subdomain)).to(device)
            logits[k] = adapter.gather([k]).run(own, layer)[0]
    return logits.softmax(-1).cpu().numpy()
