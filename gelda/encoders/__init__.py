"""ENCODERS: frozen foundation models. Adding one = one entry here and one module beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gelda.artifacts import file_sha256
from gelda.errors import unknown

_PACKAGE = Path(__file__).resolve().parent.parent


def assets() -> Path:
    """The folder of shipped files: beside the package in a checkout, inside it in a wheel."""
    inside = _PACKAGE / "studio" / "assets"
    return inside if inside.is_dir() else _PACKAGE.parent / "assets"


class Encoder(Protocol):
    """A frozen encoder: `layers` maps each layer's name to its width, in depth order."""

    layers: dict[str, int]

    def encode(self, images: Any) -> dict[str, Any]:
        """[B, channels, height, width] -> {layer: [B, D_layer]}, pooled, fp32, eval mode."""
        ...

    def to(self, device: Any) -> Any: ...


@dataclass(frozen=True)
class EncoderSpec:
    """load() gives the model; revision() is the hash of its weights, part of every bank's key.

    trainable: the model has `network`, an nn.Module, and `pooled(inputs)`, which is `encode` with gradients.
    """

    title: str
    note: str
    load: Callable[[], Encoder]
    revision: Callable[[], str]
    trainable: bool = False


def _load_mini_image() -> Encoder:
    from gelda.encoders import mini_image

    return mini_image.load(assets() / "encoders" / "mini-image")


def _mini_image_revision() -> str:
    path = assets() / "encoders" / "mini-image" / "model.safetensors"
    return file_sha256(path)[:16] if path.is_file() else "missing"


ENCODERS: dict[str, EncoderSpec] = {
    "mini-image": EncoderSpec(
        title="Miniature image model",
        note="A small ConvNet pre-trained on letters of many scripts, without digits; ships with GeLDA.",
        load=_load_mini_image,
        revision=_mini_image_revision,
        trainable=True,
    ),
}


def get(name: str) -> EncoderSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in ENCODERS:
        raise unknown("encoder", name, ENCODERS)
    return ENCODERS[name]
