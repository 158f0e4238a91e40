"""What a comparison is of: its episodes, its keys, and what is refused before a run folder exists."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gelda import (
    __version__,
    augmenters,
    class_start,
    compositions,
    device,
    protocols,
    recipes,
    semantics,
)
from gelda.arms import Setting, arms, grid_of
from gelda.artifacts import FORMAT, content_key
from gelda.compare_config import UNREAD, CompareConfig
from gelda.compositions import CONTROLS as CONDITION_CONTROLS
from gelda.errors import UserError, unknown
from gelda.layer_weights import check_widths
from gelda.protocols import Episode
from gelda.ready import Items, ReadyBank
from gelda.settings import WEIGHTED


def episodes(config: CompareConfig, items: Items, seed: int) -> list[Episode]:
    """A protocol's episodes of a seed."""
    c = config
    if c.protocol == "longtail":
        return [protocols.long_tail(items, seed, imbalance=c.imbalance, cut=c.cut, borders=c.shot_borders)]
    shared: dict[str, Any] = {
        "target": items.subdomain_names.index(c.target),
        "classes": protocols.shared_classes(items, c.classes),
        "unlabelled": c.unlabelled,
        "rotations": c.rotations,
    }
    if c.protocol == "zero-shot":
        return protocols.zero_shot(items, seed, kept=items.class_names.index(c.keep), **shared)
    return protocols.few_shot(items, seed, shots=c.shots, **shared)


def _refuse_unread(config: CompareConfig) -> None:
    for section, names in UNREAD.items():
        given = getattr(config, section)
        for name in names:
            if getattr(given, name) != type(given).model_fields[name].default:
                raise UserError(
                    f"{section}.{name} is read by `gelda run` only and changes nothing here: leave it out."
                )


def compare_key(config: CompareConfig, bank: ReadyBank) -> str:
    """What every arm of a comparison depends on: the same command, with any arms, finds its run again."""
    apart = {"name", "device", "precision", "bank", "methods", "generator", "sampling", "seeds", "first_seed"}
    apart |= {"map", "projection"}  # they change no figure
    dtype = device.resolve_precision(config.precision, device.resolve(config.device))
    reads = class_start.reads(config.adapter.class_start, config.generator.text_template)
    settings = config.model_dump(mode="json", exclude=apart)
    return content_key("compare", FORMAT, __version__, str(dtype), bank.key, settings, *reads)


def arm_key(
    config: CompareConfig, method: str, layer: str, tau: float, setting: Setting | None = None, at: int = 0
) -> str:
    """What an arm's choice (or, with its setting, its predictions) depends on beside the run's key."""
    made_by = None
    sampling = config.sampling.model_dump()
    recipe = [sampling.pop("recipe"), sampling.pop("recipe_strength")]
    if augmenters.get(method).generative:
        g = config.generator
        texts = (g.class_semantics, g.subdomain_semantics, g.text_template)
        made_by = [g, sampling, [semantics.fingerprint(text) for text in texts]]
    # what is as it always was stays out, so that arms computed before are found again
    further: list[Any] = [] if recipe == ["joint", None] else [recipe]
    further += [{"adapter_layer": at, "adapter": config.adapter}] if at else []
    return content_key(method, layer, tau, setting or list(grid_of(method, config)), made_by, *further)


def check(config: CompareConfig, bank: ReadyBank) -> None:
    """Refuse names and combinations that cannot work before a run folder exists."""
    items = bank.items
    compared = items.class_names
    device.resolve_precision(config.precision, device.resolve(config.device))
    if config.adapter.fm_layer == WEIGHTED and WEIGHTED not in bank.layers:
        check_widths(bank.layers)
    elif config.adapter.fm_layer != "auto" and config.adapter.fm_layer not in bank.layers:
        raise unknown("layer", config.adapter.fm_layer, [*bank.layers, WEIGHTED])
    if config.adapter.low_rank:
        raise UserError(
            f"adapter.low_rank trains inside the encoder, and {bank.name} holds ready latents without the "
            "inputs for that: leave it out, or use `gelda run`."
        )
    hidden = len(config.adapter.hidden)
    if config.adapter_layer != "auto" and config.adapter_layer > hidden:
        raise UserError(
            f"--adapter-layer is {config.adapter_layer}, but the adapter has {hidden} hidden layer(s)."
        )
    if config.protocol == "longtail":
        if config.target or config.keep or config.unlabelled or config.classes:
            raise UserError(
                "--target, --keep, --classes and --unlabelled belong to zero-shot and few-shot protocols."
            )
        if config.cut == "given" and config.imbalance != type(config).model_fields["imbalance"].default:
            raise UserError("--cut given cuts nothing, and an imbalance was given: leave one of them out.")
    else:
        if config.shot_borders != CompareConfig.model_fields["shot_borders"].default:
            raise UserError(f"shot_borders belongs to longtail, not to {config.protocol}: leave it out.")
        if len(items.subdomain_names) < 2:
            raise UserError(f"{bank.name} has one subdomain: {config.protocol} needs at least two.")
        if not config.target:
            raise UserError(f"{config.protocol} needs --target, one of: {', '.join(items.subdomain_names)}.")
        if config.target not in items.subdomain_names:
            raise unknown("subdomain", config.target, items.subdomain_names)
        classes = protocols.shared_classes(items, config.classes)
        if len(classes) < 2:
            raise UserError(f"{bank.name} has fewer than two classes that every subdomain holds.")
        compared = tuple(items.class_names[c] for c in classes)
    if config.protocol == "zero-shot":
        if not config.keep:
            raise UserError(f"zero-shot needs --keep, one of: {', '.join(items.class_names)}.")
        if config.keep not in items.class_names:
            raise unknown("class", config.keep, items.class_names)
    arms(config, bank)
    recipes.strength(config.sampling.recipe, config.sampling.recipe_strength)
    compositions.check(config.sampling.conditions, compared, items.subdomain_names)
    g = config.generator
    semantics.check(g.class_semantics, "class", items.class_names, g.text_template)
    semantics.check(g.subdomain_semantics, "subdomain", items.subdomain_names, g.text_template)
    count = len(items.class_names)
    inputs = semantics.SemanticInputs(
        torch.eye(count),
        torch.arange(count),
        count,
        names=items.class_names,
        given=bank.class_semantics,
        template=g.text_template,
    )
    class_start.check(config.adapter.class_start, inputs)
    if config.adapter.adversarial and len(np.unique(items.subdomain)) < 2:
        raise UserError(f"{bank.name} has one subdomain: adapter.adversarial needs at least two.")
    if g.condition_control not in CONDITION_CONTROLS:
        raise unknown("condition control", g.condition_control, CONDITION_CONTROLS)
    _refuse_unread(config)
    most = max(config.seeds, config.selection_seeds) if config.one_choice else config.seeds
    for seed in range(config.first_seed, config.first_seed + most):
        outer = episodes(config, items, seed)
        if len(outer[0].classes) < 2:
            raise UserError(f"{bank.name} has fewer than two classes to train on: nothing can be compared.")
        protocols.validation(items, outer[0], config.validation_folds)
    named = config.adapter.fm_layer in bank.layers  # else auto, or the weighted sum of all
    for layer in [config.adapter.fm_layer] if named else bank.layers:
        bank.load(layer)
