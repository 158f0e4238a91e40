"""Real latents that sampling may start from, noised: of the wanted cell itself, or moved to it."""

from __future__ import annotations

import numpy as np
import torch

from gelda.augmenters.base import Task
from gelda.augmenters.subdomains import MeanShift


def own_or_transported(task: Task, label: torch.Tensor, subdomain: torch.Tensor) -> torch.Tensor:
    """Starts of a curriculum [M, D]: real latents of the cell, and `transported` ones where it has none."""
    starts = None
    found = torch.empty(len(label), task.latents.shape[1])
    for c, s in torch.stack([label, subdomain], 1).unique(dim=0).tolist():
        rows = (label == c) & (subdomain == s)
        own = task.latents[(task.label == c) & (task.subdomain == s)]
        if len(own):
            rng = np.random.default_rng([task.seed, c, s, 1])
            found[rows] = own[torch.from_numpy(rng.integers(len(own), size=int(rows.sum())))]
        else:
            starts = transported(task, label, subdomain) if starts is None else starts
            found[rows] = starts[rows]
    return found


def transported(task: Task, label: torch.Tensor, subdomain: torch.Tensor) -> torch.Tensor:
    """Starts of the translate form [M, D]: real latents moved as by mean shift, or real ones of the class.

    A cell without a donor in another subdomain starts from its class's own rows, one whose class has no
    row at all from rows of all classes: the noise hides what it must, the condition says the rest.
    """
    moved = MeanShift().synthesise(task)
    starts = torch.empty(len(label), task.latents.shape[1])
    for c, s in torch.stack([label, subdomain], 1).unique(dim=0).tolist():
        rows = (label == c) & (subdomain == s)
        found = moved.latents[(moved.label == c) & (moved.subdomain == s)]
        if len(found) < int(rows.sum()):
            own = task.latents[task.label == c]
            own = own if len(own) else task.latents
            rng = np.random.default_rng([task.seed, c, s])
            found = own[torch.from_numpy(rng.integers(len(own), size=int(rows.sum())))]
        starts[rows] = found[: int(rows.sum())]
    return starts
