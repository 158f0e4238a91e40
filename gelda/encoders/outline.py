"""How large a model's latents will be, from its config alone: no weights are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gelda.encoders import folders

BLOCKS = ("encoder_layers", "num_hidden_layers", "n_layers")
WIDTH = ("hidden_size", "d_model", "num_features", "dim")


@dataclass(frozen=True)
class Outline:
    """Hidden blocks and their width; None where the config does not say."""

    blocks: int | None
    width: int | None


def outline(name: str) -> Outline:
    """Of a Hub name or a local folder; the config is fetched, once."""
    if name.startswith("timm/"):
        from gelda.encoders import timm_image

        name = timm_image.hub_name(name)
    return of_config(folders.config(name))


def of_config(config: dict[str, Any]) -> Outline:
    """Of a config.json; a two-tower model's image tower."""
    part = config.get("vision_config") or config

    def first(names: tuple[str, ...]) -> int | None:
        return next((part[name] for name in names if isinstance(part.get(name), int)), None)

    return Outline(first(BLOCKS), first(WIDTH))
