"""Image towers of transformers, frozen: CLIP, SigLIP, DINOv2, DINOv3, ViT and DeiT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from gelda.encoders import EMBED, IMAGE_POOLINGS, POOLED, PROJECTED, folders
from gelda.encoders.base import block_list, numbered
from gelda.encoders.images import Pictures, Prepare

Finish = dict[str, tuple[int, Callable[[Any], Tensor]]]  # layer -> its width, and it from the tower's output


@dataclass(frozen=True)
class Processor:
    """An image processor of transformers as a function of one picture."""

    processor: Any

    def __call__(self, picture: Image.Image) -> Any:
        return self.processor(images=picture, return_tensors="np")["pixel_values"][0]


class Tower(Pictures):
    """A ViT of transformers. Layers: `embed`, `block1 … blockN`, `pooled`, for CLIP `projected`.

    prefix: how many tokens stand before the patches; the first is a class token unless there are none.
    finish: what the tower's head gets, of the tower's output.
    """

    def __init__(
        self,
        folder: Path,
        network: Any,
        config: Any,
        prefix: int,
        finish: Finish,
    ):
        from transformers import AutoImageProcessor

        self.prepare = Prepare(Processor(folders.preprocessor(AutoImageProcessor, folder)))
        self.prefix, self.finish = prefix, {name: function for name, (_, function) in finish.items()}
        self.tower = getattr(network, "vision_model", network)
        blocks = numbered(block_list(self.tower, config.num_hidden_layers))
        widths = dict.fromkeys([EMBED, *blocks], config.hidden_size)
        super().__init__(
            network,
            blocks,
            widths | {name: width for name, (width, _) in finish.items()},
            habit="cls" if prefix else "mean",
            poolings=IMAGE_POOLINGS if prefix else IMAGE_POOLINGS[1:],
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        output = self.tower(pixel_values=images)
        return {name: self.finish[name](output) for name in self.layers if name in self.finish}


def load_clip(folder: Path) -> Tower:
    """CLIP: `pooled` is the normed class token, `projected` its image embedding, if the weights hold one."""
    from transformers import AutoConfig, CLIPVisionModelWithProjection

    config = AutoConfig.from_pretrained(folder)
    if config.model_type == "clip":  # the size of its projection stands beside the towers' configs
        config.vision_config.projection_dim = config.projection_dim
        config = config.vision_config
    network, missing = folders.pretrained(
        CLIPVisionModelWithProjection, folder, spare=("visual_projection.",), config=config
    )
    project = network.visual_projection
    finish: Finish = {POOLED: (config.hidden_size, lambda output: output.pooler_output)}
    if not missing:
        finish[PROJECTED] = (project.out_features, lambda output: project(output.pooler_output))
    return Tower(folder, network, config, 1, finish)


def load_siglip(folder: Path) -> Tower:
    """SigLIP: no class token; `pooled` is its attention pooling, which texts are compared with."""
    from transformers import SiglipVisionModel

    network, _ = folders.pretrained(SiglipVisionModel, folder)
    config = network.config
    return Tower(
        folder, network, config, 0, {POOLED: (config.hidden_size, lambda output: output.pooler_output)}
    )


def load_vit(folder: Path) -> Tower:
    """DINOv2, DINOv3, ViT, DeiT: `pooled` is the normed class token; a pooler of BERT's kind is left out."""
    from transformers import AutoModel

    kind = folders.read_config(folder)["model_type"]
    plain: dict[str, Any] = {"add_pooling_layer": False} if kind in ("vit", "deit") else {}
    network, _ = folders.pretrained(AutoModel, folder, **plain)
    config = network.config
    prefix = (2 if kind == "deit" else 1) + getattr(config, "num_register_tokens", 0)
    return Tower(
        folder,
        network,
        config,
        prefix,
        {POOLED: (config.hidden_size, lambda out: out.last_hidden_state[:, 0])},
    )
