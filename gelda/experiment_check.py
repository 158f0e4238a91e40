"""A run's names and numbers, looked up before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from gelda import (
    augmenters,
    class_start,
    compositions,
    datasets,
    device,
    encoders,
    low_rank,
    recipes,
    semantics,
)
from gelda.allocation import ALLOCATIONS
from gelda.compositions import CONTROLS
from gelda.config import RunConfig
from gelda.datasets import DatasetSpec
from gelda.errors import UserError, unknown
from gelda.filters import FILTERS
from gelda.finetune import fitting_methods
from gelda.manifest import Manifest
from gelda.schedulers import SCHEDULERS
from gelda.settings import WEIGHTED


def check_names(config: RunConfig, manifest: Manifest) -> None:
    """Look every registry name of a config up before anything is computed; raise the first unknown one."""
    _check_layer(config)
    for method in config.methods:
        augmenters.get(method)
    device.resolve_precision(config.precision, device.resolve(config.device))
    g = config.generator
    semantics.check(g.class_semantics, "class", manifest.class_names, g.text_template)
    semantics.check(g.subdomain_semantics, "subdomain", manifest.subdomain_names, g.text_template)
    fitting_methods(config.methods, config.adapter.head)
    dataset, ids = datasets.get(config.data.dataset), torch.arange(len(manifest.class_names))
    inputs = class_inputs(config, manifest, dataset, torch.eye(len(ids)), ids)
    class_start.check(config.adapter.class_start, inputs)
    if config.adapter.low_rank:
        low_rank.check_installed()
        if not encoders.get(config.encoder.name).trainable:
            raise UserError(
                f"The encoder '{config.encoder.name}' cannot be trained inside: set adapter.low_rank to 0."
            )
    if config.adapter.adversarial and len(manifest.subdomain_names) < 2:
        raise UserError(f"{dataset.title} has one subdomain: adapter.adversarial needs at least two.")
    wanted: list[tuple[str, str, Iterable[str]]] = [
        ("condition control", g.condition_control, CONTROLS),
    ]
    for section, sampling in (("sampling", config.sampling), ("paper_sampling", config.paper_sampling)):
        names = (manifest.class_names, manifest.subdomain_names)
        compositions.check(sampling.conditions, *names, setting=f"{section}.conditions")
        wanted += [
            ("scheduler", sampling.scheduler, SCHEDULERS),
            ("allocation", sampling.allocation, ALLOCATIONS),
            ("filter", sampling.filter, FILTERS),
        ]
        recipes.strength(sampling.recipe, sampling.recipe_strength)
    wanted += [("subdomain", name, manifest.subdomain_names) for name in config.data.empty_subdomains]
    for kind, name, options in wanted:
        if name not in options:
            raise unknown(kind, name, options)
    if g.adapter_layer > len(config.adapter.hidden):
        raise UserError(
            f"generator.adapter_layer is {g.adapter_layer}, but the adapter has "
            f"{len(config.adapter.hidden)} hidden layer(s)."
        )


def _check_layer(config: RunConfig) -> None:
    """The encoder is there, and so is the layer. It is loaded only where a layer is named."""
    spec, layer = encoders.get(config.encoder.name), config.adapter.fm_layer
    if layer == WEIGHTED:
        raise UserError(
            "adapter.fm_layer 'weighted', a learned sum of layers, works in `gelda compare` and "
            "`gelda layers` on a bank of latents: name a layer here, or auto."
        )
    if layer != "auto" and layer not in (layers := spec.load().layers):
        raise unknown(f"layer of {config.encoder.name}", layer, ["auto", *layers])


def class_inputs(
    config: RunConfig, manifest: Manifest, dataset: DatasetSpec, z: torch.Tensor, label: torch.Tensor
) -> semantics.SemanticInputs:
    """What a source of class vectors may see: names, the data's own table, and (training) latents [N, D]."""
    return semantics.SemanticInputs(
        z,
        label,
        len(manifest.class_names),
        attributes=torch.from_numpy(dataset.class_attributes()),
        names=manifest.class_names,
        template=config.generator.text_template,
    )
