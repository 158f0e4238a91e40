"""timm's image models, frozen: every block of a ViT, EVA or ConvNet, and what the model hands its head."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gelda.encoders import EMBED, IMAGE_POOLINGS, POOLED, PROJECTED, folders
from gelda.encoders.base import numbered
from gelda.encoders.images import Pictures, Prepare
from gelda.errors import UserError

TRUNKS = ("in1k", "in12k", "in22k")  # tags of CLIP trunks whose head was trained to classify


def hub_name(name: str) -> str:
    """`timm/<model>` with the tag of timm's default weights where it has none; refuses an unknown model."""
    import timm
    from timm.models import get_pretrained_cfg

    model = name.removeprefix("timm/")
    architecture, _, tag = model.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=1)
        hint = f" Did you mean 'timm/{close[0]}'?" if close else ""
        raise UserError(f"timm has no model '{architecture}'.{hint} `timm.list_models()` lists them.")
    if tag:
        return name
    default = get_pretrained_cfg(architecture)
    if default is None or not default.tag:
        raise UserError(
            f"timm has no weights for '{architecture}': give a model that has, or a local folder."
        )
    return f"timm/{architecture}.{default.tag}"


def load(folder: Path) -> TimmImage:
    """The model that a folder's config.json and model.safetensors make (as `save_for_hf` of timm writes)."""
    import timm

    if [file.name for file in folders.weight_files(folder)] != ["model.safetensors"]:
        raise UserError(f"{folder} has sharded weights, timm reads one model.safetensors.")
    try:
        network = timm.create_model(f"local-dir:{folder}", pretrained=True)
    except Exception as error:  # a missing architecture, other keys, other shapes, a broken file
        raise UserError(f"{folder} does not load as a timm model ({folders.first_line(error)}).") from error
    return TimmImage(network)


class TimmImage(Pictures):
    """Any timm network that is a row of blocks, or stages of them.

    Layers: `embed` (of flat networks), `block1 … blockN`, or `stage0.0 …` in stages; `pooled`, the output of
    `forward_head(pre_logits=True)`; for CLIP towers `projected`, their head. `auto` is the pooling that the
    model's own head has: its class token, else the mean over patches (registers and class token left out).
    """

    def __init__(self, network: Any):
        from timm.data import create_transform, resolve_data_config

        config = resolve_data_config({}, model=network)
        self.prepare = Prepare(create_transform(**config, is_training=False))
        self.prefix = getattr(network, "num_prefix_tokens", 0)
        blocks = find_blocks(network)
        flat = "block1" in blocks
        token = flat and getattr(network, "cls_token", None) is not None
        widths = dict.fromkeys([EMBED, *blocks] if flat else blocks, network.num_features)
        widths[POOLED] = network.head_hidden_size
        if projects(network):
            widths[PROJECTED] = network.num_classes
        super().__init__(
            network,
            blocks,
            widths,
            habit="cls" if token and network.global_pool == "token" else "mean",
            poolings=IMAGE_POOLINGS if token else IMAGE_POOLINGS[1:],
        )
        if not flat:  # stages differ in width: a blank picture measures them
            made = self.encode(torch.zeros(1, *config["input_size"]))
            self.widths = {name: value.shape[1] for name, value in made.items()}
            self.select(list(self.widths))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        network: Any = self.network
        features = network.forward_features(images)
        return {
            name: network.forward_head(features, pre_logits=name == POOLED)
            for name in self.layers
            if name in self.own
        }

    def pool(self, hidden: Tensor) -> Tensor:
        if hidden.ndim == 4:  # a map: channels first, except in Swin and its kin
            last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"
            hidden = hidden.flatten(1, 2) if last else hidden.flatten(2).transpose(1, 2)
        return super().pool(hidden)


def find_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """A network's blocks in depth order: block1 … of a flat one, stage0.0 … of one in stages."""
    for name in ("blocks", "stages", "layers", "layer1"):
        if hasattr(network, name):
            break
    else:
        raise UserError(
            f"GeLDA does not find the blocks of {type(network).__name__}: choose another timm model."
        )
    if name == "layer1":
        stages = [getattr(network, f"layer{i}") for i in range(1, 5)]
    else:
        stages = list(getattr(network, name))
    inside = [
        stage if isinstance(stage, nn.Sequential) else getattr(stage, "blocks", None) for stage in stages
    ]
    if all(part is None for part in inside):
        return numbered(stages)
    pairs = [(s, list(part)) for s, part in enumerate(inside) if part is not None]
    return {f"stage{s}.{b}": block for s, part in pairs for b, block in enumerate(part)}


def projects(network: Any) -> bool:
    """Whether the head is CLIP's projection: a tag of CLIP weights, and as many outputs as they came with."""
    from timm.models import get_pretrained_cfg

    cfg = network.pretrained_cfg
    name = ".".join(filter(None, (cfg.get("architecture"), cfg.get("tag"))))
    if "clip" not in name or any(trunk in name for trunk in TRUNKS):
        return False
    known = get_pretrained_cfg(name)
    return known is not None and network.num_classes == known.num_classes > 0
