"""The refit kit of `gelda run`: what the displayed seed's GeLDA head was trained on, and how."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gelda import kit, projection
from gelda.adapter import Adapter, HeadPlan
from gelda.augmenters.base import Augmenter, Synthetic, Task, Transform
from gelda.experiment import Adapted, Experiment
from gelda.finetune import adversarial
from gelda.latents import Standardizer
from gelda.settings import AdapterConfig

ARM = "gelda"  # the arm whose latents are edited


def write_run(
    run: Path, experiment: Experiment, adapted: Adapted, arm: Augmenter, synthetic: Synthetic
) -> None:
    """Write the kit of one seed over the points that `points.write_run` has written of it."""
    cut, config = adapted.cut, experiment.config
    seed = config.first_seed
    task = experiment.task(seed, adapted, "sampling")
    plan = arm.plan(task).resolved(
        "logit-adjustment", config.adapter.tau, config.sampling.recipe, config.sampling.recipe_strength
    )
    points = projection.load_points(run)
    held = cut.rows("test")
    manifest = experiment.manifest
    about = {
        "class_names": manifest.class_names,
        "subdomain_names": manifest.subdomain_names,
        "groups": cut.groups,
        "cells": None,
        "empty": cut.empty,
        "by_cell": False,
        "main": "tail",
        **head_about(arm, plan, config.adapter, adapted.adapter, experiment.layer, seed),
        "test": len(held),
    }
    level = np.zeros(len(points), np.int64)
    own = (points["origin"] == "synthetic").to_numpy()
    level[own] = 1 if synthetic.level is None else synthetic.level.numpy()
    table = points.assign(level=level, point=np.arange(len(points)))
    tensors = head_tensors(arm, task, adapted.adapter, experiment.layer, adapted.scale)
    z = experiment.at_layer(adapted, held)
    test = {
        "z": z,
        "label": experiment.label[held].astype(np.int64),
        "subdomain": experiment.subdomain[held].astype(np.int64),
        "group": np.unique(experiment.group[held], return_inverse=True)[1],
    }
    kit.write(
        run,
        about,
        table,
        {**tensors, "z": torch.zeros(0, z.shape[1])},
        test,
        list(manifest.table["id"].iloc[held]),
    )


def head_about(
    arm: Augmenter, plan: HeadPlan, config: AdapterConfig, adapter: Adapter | None, layer: int, seed: int
) -> dict[str, Any]:
    """How the arm's head is trained: the part of kit.json that every kind of run has.

    plan: resolved. adapter: whose copy the head starts from at l ≥ 1, whose shape it has at l = 0.
    """
    return {
        "arm": ARM,
        "layer": layer,
        "seed": seed,
        "weight": arm.weight,
        "plan": asdict(adversarial(plan, config, layer)),
        "adapter": config.model_dump(mode="json"),
        "widths": adapter.widths if adapter is not None else None,
        "dtype": "float32",
    }


def head_tensors(
    arm: Augmenter, task: Task, adapter: Adapter | None, layer: int, scale: Standardizer | None
) -> dict[str, torch.Tensor]:
    """What the head needs beside latents: gelda.kit.Kit says which tensors there are."""
    found: dict[str, torch.Tensor] = {}
    if layer and adapter is not None and scale is not None:
        found |= {f"adapter.{name}": value for name, value in adapter.state_dict().items()}
        found |= {"scale.mean": scale.mean, "scale.std": scale.std}
    transform = arm.transform(task)
    if transform is not None:
        found |= _affine(transform, task)
    if task.class_start is not None:
        found["class_start"] = task.class_start
    return found


def _affine(transform: Transform, task: Task) -> dict[str, torch.Tensor]:
    """Scale and shift [S, D] of a subdomain normalisation, z → z · scale_s + shift_s."""
    subdomain = torch.arange(task.subdomains)
    zero = torch.zeros(task.subdomains, task.latents.shape[1])
    shift = transform(zero, subdomain)
    return {"transform.shift": shift, "transform.scale": transform(zero + 1, subdomain) - shift}
