"""A learned weighted sum of an encoder's layers, one softmax weight a layer (SUPERB, arXiv 2105.01051).

SUPERB sums the layers frame by frame and takes the mean over real frames after. Both are linear, so with
`mean` pooling a sum of pooled layers is the same thing; the deviations of `mean+std` are summed as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional as F

from gelda.adapter import Adapter
from gelda.errors import UserError
from gelda.latents import Standardizer
from gelda.optimizer import AdamW
from gelda.seeds import derive
from gelda.settings import AdapterConfig

RATE = 10.0  # the few weights learn faster than the many of the adapter


def check_widths(layers: Mapping[str, int]) -> None:
    """Refuse a sum of layers of different widths: SUPERB's encoders have one width throughout."""
    if len(layers) < 2:
        raise UserError("A weighted sum needs at least two encoder layers: name the one layer instead.")
    if len(set(layers.values())) > 1:
        widths = ", ".join(f"{name} {width}" for name, width in layers.items())
        raise UserError(
            f"The layers have different widths ({widths}): a weighted sum needs one width, so name a layer."
        )


def learn_weights(
    stack: torch.Tensor,
    label: torch.Tensor,
    classes: int,
    config: AdapterConfig,
    seed: int,
    device: torch.device,
) -> torch.Tensor:
    """Softmax weights [M] of M standardised layers [M, N, D], trained with an adapter by logit adjustment.

    Only the rows given are read; the adapter is thrown away, so that the weights are all that stays of it.
    They start equal. Loss, steps and batches are those of the adapter's settings, τ is config.tau.
    """
    stack, label = stack.to(device), label.to(device)
    adapter = Adapter((stack.shape[2], *config.hidden), classes, 1, derive(seed, "layer-weights")).to(device)
    with torch.no_grad():  # from random logits the layer that says most would first be turned down
        adapter.weights[-1].zero_()
    mix = torch.zeros(len(stack), device=device, requires_grad=True)
    groups = [
        {"params": list(adapter.parameters()), "weight_decay": config.weight_decay},
        {"params": [mix], "weight_decay": 0.0, "lr": RATE * config.learning_rate},
    ]
    optimizer = AdamW(groups, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    rng = torch.Generator(device).manual_seed(derive(seed, "layer-weights"))
    prior = torch.bincount(label, minlength=classes).float()
    shift = config.tau * (prior / prior.sum()).clamp_min(1e-8).log()
    for _ in range(config.steps):
        rows = torch.randint(len(label), (config.batch_size,), generator=rng, device=device)
        z = torch.einsum("m,mbd->bd", mix.softmax(0), stack[:, rows])
        logits = adapter(z[None], 0, None, config.dropout, rng)[0]
        loss = F.cross_entropy(logits + shift, label[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return mix.detach().softmax(0).cpu()


def weighted_sum(
    layers: Mapping[str, torch.Tensor], rows: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Σ w·standardised layer [N, D]; layers [N, D] each, standardised by the training rows."""
    parts = [w * Standardizer.fit(z[rows]).apply(z) for w, z in zip(weights, layers.values(), strict=True)]
    return torch.stack(parts).sum(0)
