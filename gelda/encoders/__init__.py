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
    """A frozen encoder: `layers` maps each layer's name to its width, in depth order.

    media: one of `media.KINDS`. even: whether a batch must hold items of one length (a norm over time sees
    padding).
    """

    media: str
    layers: dict[str, int]
    even: bool

    def prepare(self, item: Any) -> Any:
        """What a Source decodes (an RGB PIL image, a `media.Clip`, a str; a float32 array is drawn data and
        passed on) -> the model's input as a float32 array: an image [channels, height, width], sound [T] at
        the model's rate. `encoder.prepare` is picklable and holds no weights: decode workers run it.
        """
        ...

    def encode(self, batch: Any) -> dict[str, Any]:
        """Images [B, channels, height, width], or a list of B sounds [T_i] or texts -> {layer: [B, D_layer]},
        pooled, fp32, eval mode. No item's latents depend on the others of its batch."""
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
