"""``mini-image``: a miniature foundation model for 32 x 32 images, frozen, with the latents of all blocks.

A ResNet (He et al., *Deep Residual Learning*, CVPR 2016): eight basic blocks, widths halved, a 5 x 5 stem
of stride 2 and no pooling, so that a 32 x 32 image keeps 16, 8, 4 and 2 positions a side. ``gelda.pretrain``
trains it; its card lists what else was tried.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Resampling
from torch import Tensor, nn

from gelda.encoders.base import Frozen
from gelda.errors import UserError

WEIGHTS = "model.safetensors"
CARD = "card.json"
SIZE = 32  # px
DEPTHS = (2, 2, 2, 2)
DIMS = (32, 64, 128, 256)
STEM = 64
LAYERS = {f"stage{s}.{i}": DIMS[s] for s, depth in enumerate(DEPTHS) for i in range(depth)}
LAST = list(LAYERS)[-1]
REBUILD = "python -m gelda.pretrain mini-image"


def build(num_classes: int = 0, *, zero_init_last: bool = True) -> Any:
    """The timm network, untrained, for ink 1 on paper 0; without classes it gives its pooled features."""
    from timm.models.resnet import BasicBlock, ResNet

    network: Any = ResNet(
        BasicBlock,  # type: ignore[arg-type]  # timm's annotation names an instance
        DEPTHS,
        num_classes=num_classes,
        in_chans=1,
        channels=DIMS,
        zero_init_last=zero_init_last,
    )
    network.conv1 = nn.Conv2d(1, STEM, kernel_size=5, stride=2, padding=2, bias=False)
    network.maxpool = nn.Identity()
    return network


class MiniImage(Frozen):
    """The frozen encoder.

    ``layers`` names each block with its width, in depth order; the last is the pooled output. Batch norms use
    their stored statistics, so that no image's latents depend on the others of its batch.
    """

    def __init__(self, network: Any):
        stages = range(len(DEPTHS))
        pairs = [(f"stage{s}", list(getattr(network, f"layer{s + 1}"))) for s in stages]
        blocks = {f"{stage}.{i}": block for stage, inside in pairs for i, block in enumerate(inside)}
        super().__init__(network, blocks, LAYERS, habit="mean", poolings=("mean",))

    @staticmethod
    def prepare(item: Any) -> Any:
        """A picture as gray values [1, 32, 32] in [0, 1], the whole of it; a drawn one as it is."""
        if isinstance(item, np.ndarray):
            return item.astype(np.float32)
        small = item.convert("L").resize((SIZE, SIZE), Resampling.BICUBIC)
        return np.asarray(small, np.float32)[None] / 255

    @torch.no_grad()
    def encode(self, images: Tensor) -> dict[str, Tensor]:
        """Averages ``[B, D]`` a layer, of ``images`` ``[B, 1, 32, 32]``, float32 in [0, 1], paper 1."""
        return self.pooled(torch.as_tensor(images).to(self.device))

    def pooled(self, images: Tensor) -> dict[str, Tensor]:
        """The same with gradients."""
        if images.ndim != 4 or images.shape[1:] != (1, SIZE, SIZE):
            raise ValueError(f"mini-image takes [B, 1, {SIZE}, {SIZE}], not {list(images.shape)}")
        network: Any = self.network
        latents, _ = self.run(
            lambda: network.forward_features(1 - images.float()), lambda hidden: hidden.mean((2, 3))
        )
        return latents


def load(folder: Path) -> MiniImage:
    """The pre-trained encoder from ``folder``; its weights must be the ones that the card describes.

    Raises UserError where a file is missing, unreadable, or not the file that the card gives the sha256 of.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as read

    folder = Path(folder)
    for name in (WEIGHTS, CARD):
        if not (folder / name).is_file():
            raise UserError(f"The mini-image encoder has no {name} in {folder}: rebuild it with `{REBUILD}`.")
    data = (folder / WEIGHTS).read_bytes()
    try:
        expected = json.loads((folder / CARD).read_text(encoding="utf-8"))["weights"]["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CARD} is not a model card: rebuild it with `{REBUILD}`.") from error
    found = sha256(data).hexdigest()
    if found != expected:
        raise UserError(
            f"{folder / WEIGHTS} has sha256 {found[:12]}..., its card says {str(expected)[:12]}...: "
            f"fetch the file again or rebuild it with `{REBUILD}`."
        )
    network = build()
    try:
        network.load_state_dict(read(data))
    except (SafetensorError, RuntimeError) as error:
        raise UserError(
            f"{folder / WEIGHTS} does not fit the network of this version: rebuild it with `{REBUILD}`."
        ) from error
    return MiniImage(network)


def random(seed: int = 0) -> MiniImage:
    """The same network untrained: the control that every number of the pre-trained one is shown beside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Blocks start as the identity in training; a control needs their random weights to count.
        return MiniImage(build(zero_init_last=False))
