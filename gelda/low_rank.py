"""Low-rank updates inside a frozen encoder (LoRA, arXiv 2106.09685), through peft, from one cut's inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import nn

from gelda import device as devices
from gelda import losses
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.errors import UserError
from gelda.heads import fit
from gelda.latents import Standardizer
from gelda.optimizer import AdamW
from gelda.seeds import derive, generator
from gelda.settings import AdapterConfig

# What updates depend on beside the data and the encoder
SETTINGS = {"low_rank", "low_rank_steps", "low_rank_learning_rate", "tau", "batch_size", "weight_decay"}
SETTINGS |= {"steps", "learning_rate", "dropout"}  # of the classifier on frozen latents


def check_installed() -> None:
    """Raise where peft is missing."""
    if find_spec("peft") is None:
        raise UserError(
            'adapter.low_rank needs peft: install it with `pip install "gelda[lora]"`, or set it to 0.'
        )


def targets(network: nn.Module) -> list[str]:
    """Names of the modules that are updated: every linear layer and every convolution of one group.

    Attention of torch's own reads its output layer's weights without calling it: that layer is left out.
    """
    skipped = nn.modules.linear.NonDynamicallyQuantizableLinear
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and not isinstance(module, skipped)
        and getattr(module, "groups", 1) == 1
    ]


def inject(network: nn.Module, rank: int, seed: int) -> dict[str, nn.Parameter]:
    """Put W + B·A of a rank beside every target, in place, B = 0; returns what is to be trained, by name.

    Everything else stays frozen and in evaluation mode. The scale is 1 (α = rank).
    """
    check_installed()
    from peft import LoraConfig, inject_adapter_in_model

    names = targets(network)
    if not names:
        raise UserError("This encoder has no linear layer or convolution that low-rank updates could change.")
    where = "|".join(map(re.escape, names))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "low-rank"))
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=where), network)
    network.eval()
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def load(network: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Inject trained updates, as `train` returned them, into a network that has none yet."""
    rank = next(t.shape[0] for name, t in tensors.items() if ".lora_A." in name)
    own = inject(network, rank, 0)
    if {k: p.shape for k, p in own.items()} != {k: t.shape for k, t in tensors.items()}:
        raise UserError("These low-rank updates are of another encoder: delete them and train them again.")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(tensors[name])


def train(
    encoder: Any,
    layer: str,
    read: Callable[[np.ndarray], np.ndarray],
    frozen: torch.Tensor,
    label: torch.Tensor,
    classes: int,
    config: AdapterConfig,
    *,
    seed: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[int, int], None] = lambda step, total: None,
) -> dict[str, torch.Tensor]:
    """Inject updates into an encoder, train them with a linear classifier by logit adjustment, return them.

    encoder: `network` (any nn.Module) and `pooled(inputs)` -> {layer: [B, D]} with gradients. read(places
    [B]) gives the inputs of training rows by their place 0 … N − 1: no other input is within reach. frozen
    [N, D]: the encoder's latents of these rows at `layer`, which standardise what the classifier sees and on
    which it is trained first, so that random logits do not turn the encoder around (arXiv 2202.10054).
    Updates past `layer` get no gradient and stay 0. Batches are uniform draws; matrix products are in bf16 on
    CUDA where the precision says so, in fp32 elsewhere.
    """
    scale = Standardizer.fit(frozen)
    data = HeadData(scale.apply(frozen), label, torch.ones(len(label)))
    head = Adapter((frozen.shape[1],), classes, 1, derive(seed, "low-rank")).to(device)
    fit(
        head,
        [data],
        [HeadPlan("logit-adjustment", config.tau)],
        seed=derive(seed, "low-rank"),
        **config.training(config.steps),
    )
    scale = Standardizer(scale.mean.to(device), scale.std.to(device))
    updates = inject(encoder.network, config.low_rank, seed)
    encoder.to(device)
    steps = config.low_rank_steps
    optimizer = AdamW(
        [*updates.values(), *head.parameters()],
        lr=config.low_rank_learning_rate,
        weight_decay=config.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng, target = generator(seed, "low-rank-draws"), label.to(device)
    counts = data.counts(classes).float().to(device)[None, None]
    strength = torch.full((1, 1), config.tau, device=device)
    cuda = device.type == "cuda"
    for step in range(steps):
        rows = torch.randint(len(label), (config.batch_size,), generator=rng)
        inputs = torch.from_numpy(read(rows.numpy())).to(device)
        with devices.autocast(device, dtype if cuda else torch.float32):
            features = encoder.pooled(inputs)[layer]
        features = scale.apply(features.float())[None]
        batch = losses.LossBatch(
            head(features), target[rows][None], counts, strength, step / steps, features, head.weights[-1]
        )
        loss = losses.get("logit-adjustment").per_item(batch).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps)
    trained = {name: p.detach().cpu().clone() for name, p in updates.items()}
    if not all(torch.isfinite(t).all() for t in trained.values()):
        raise UserError("Low-rank training went to infinity: lower adapter.low_rank_learning_rate.")
    return trained
