"""ENCODERS that ship, and FAMILIES of models that people bring. Adding one = one entry here and one class.

`get` takes a registered name, a Hub name (openai/whisper-large-v3, timm/vit_base_patch16_clip_224.openai) or
a local folder of config and safetensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from gelda.artifacts import file_sha256
from gelda.encoders import folders
from gelda.errors import UserError, unknown
from gelda.paths import assets as assets

EMBED, POOLED, PROJECTED = "embed", "pooled", "projected"  # layers beside the hidden blocks


class Encoder(Protocol):
    """A frozen encoder: `layers` maps each kept layer's name to its width, in depth order.

    media: one of `media.KINDS`. even: whether batches of one length save work (a norm over time sees padding,
    so that each length is run by itself). pooling: how hidden layers are pooled, never "auto".
    """

    media: str
    layers: dict[str, int]
    even: bool
    pooling: str

    def select(self, layers: Iterable[str], pooling: str = "auto") -> Any:
        """Keep these layers, pooled so (a pooling of the spec, or the model's habit); returns itself."""
        ...

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

    def to(self, device: Any, dtype: Any = ...) -> Any:
        """Move the weights; dtype bf16 runs matrix products in bf16."""
        ...


@dataclass(frozen=True)
class EncoderSpec:
    """load() gives the model; revision() is the hash of its weights, part of every bank's key.

    poolings: what hidden layers can be pooled by. caution: what every use of the encoder has to say.
    trainable: the model has `network`, an nn.Module, and `pooled(inputs)`, which is `encode` with gradients.
    """

    title: str
    note: str
    load: Callable[[], Encoder]
    revision: Callable[[], str]
    media: str = "image"
    poolings: tuple[str, ...] = ("mean",)
    caution: str = ""
    trainable: bool = False


def _load_mini_image() -> Encoder:
    from gelda.encoders import mini_image

    return mini_image.load(assets() / "encoders" / "mini-image")


def _load_mini_speech() -> Encoder:
    return FAMILIES["whisper"].load(assets() / "encoders" / "mini-speech")


def _shipped_revision(name: str) -> str:
    path = assets() / "encoders" / name / "model.safetensors"
    return file_sha256(path)[:16] if path.is_file() else "missing"


def _load_random(name: str) -> Encoder:
    from gelda.encoders import random_weights

    return random_weights.load(name)


def _random_revision(library: str) -> str:
    return f"seed-0-{version(library)}"  # what a seed draws is the library's


IMAGE_POOLINGS = ("cls", "mean", "mean+std")
SPEECH_POOLINGS = ("mean", "mean+std")
PLUMBING = "Random weights, for plumbing only: these latents carry no learned meaning, so no result is one."

ENCODERS: dict[str, EncoderSpec] = {
    "mini-image": EncoderSpec(
        title="Miniature image model",
        note="A small ConvNet pre-trained on letters of many scripts, without digits; ships with GeLDA.",
        load=_load_mini_image,
        revision=lambda: _shipped_revision("mini-image"),
        trainable=True,
    ),
    "mini-speech": EncoderSpec(
        title="Miniature speech model",
        note="A small Whisper encoder pre-trained on invented words by a synthesiser; ships with GeLDA.",
        load=_load_mini_speech,
        revision=lambda: _shipped_revision("mini-speech"),
        media="audio",
        poolings=SPEECH_POOLINGS,
        caution="Pre-trained on synthetic speech (espeak-ng) only: it has never heard a person.",
    ),
    "random-vit": EncoderSpec(
        title="Tiny ViT with random weights (plumbing only)",
        note="Four untrained blocks over 224 x 224 images, to try the way from files to a map.",
        load=lambda: _load_random("random-vit"),
        revision=lambda: _random_revision("timm"),
        poolings=IMAGE_POOLINGS,
        caution=PLUMBING,
    ),
    "random-whisper": EncoderSpec(
        title="Tiny Whisper with random weights (plumbing only)",
        note="Four untrained blocks over Whisper's own 30 s windows, to try the way from clips to a map.",
        load=lambda: _load_random("random-whisper"),
        revision=lambda: _random_revision("transformers"),
        media="audio",
        poolings=SPEECH_POOLINGS,
        caution=PLUMBING,
    ),
}


@dataclass(frozen=True)
class Family:
    """Models of one kind: load(folder) gives one from its config, its safetensors and its preprocessing.

    types: the `model_type`s of transformers that belong to it; a timm folder has an `architecture` instead.
    """

    title: str
    note: str
    media: str
    types: tuple[str, ...]
    poolings: tuple[str, ...]
    load: Callable[[Path], Encoder]


def _loader(module: str, function: str) -> Callable[[Path], Encoder]:
    """`function` of gelda.encoders.`module`, imported when first called: families need heavy libraries."""

    def load(folder: Path) -> Encoder:
        return getattr(import_module(f"gelda.encoders.{module}"), function)(folder)

    return load


FAMILIES: dict[str, Family] = {
    "timm": Family(
        title="timm image models",
        note="ViT, ConvNeXt, EVA, SigLIP, DINOv2, DINOv3, CLIP image towers and other nets made of blocks.",
        media="image",
        types=(),
        poolings=IMAGE_POOLINGS,
        load=_loader("timm_image", "load"),
    ),
    "clip": Family(
        title="CLIP's image tower",
        note="Its class token before the projection (pooled) and after it (projected).",
        media="image",
        types=("clip", "clip_vision_model"),
        poolings=IMAGE_POOLINGS,
        load=_loader("vision", "load_clip"),
    ),
    "siglip": Family(
        title="SigLIP's image tower",
        note="pooled is its attention pooling, which texts are compared with: it has no projection.",
        media="image",
        types=("siglip", "siglip_vision_model"),
        poolings=("mean", "mean+std"),
        load=_loader("vision", "load_siglip"),
    ),
    "dinov2": Family(
        title="DINOv2, DINOv3 and other ViTs",
        note="Vision transformers with a class token, with or without registers.",
        media="image",
        types=("dinov2", "dinov2_with_registers", "dinov3_vit", "vit", "deit"),
        poolings=IMAGE_POOLINGS,
        load=_loader("vision", "load_vit"),
    ),
    "whisper": Family(
        title="Whisper's encoder",
        note="From tiny to large-v3; pads to 30 s, means run over real frames only.",
        media="audio",
        types=("whisper",),
        poolings=SPEECH_POOLINGS,
        load=_loader("whisper", "load"),
    ),
    "wav2vec2": Family(
        title="wav2vec 2.0, HuBERT and WavLM",
        note="Speech models over the waveform.",
        media="audio",
        types=("wav2vec2", "hubert", "wavlm"),
        poolings=SPEECH_POOLINGS,
        load=_loader("wav2vec2", "load"),
    ),
    "ast": Family(
        title="Audio Spectrogram Transformer",
        note="A ViT over 10 s of spectrogram, with a class and a distillation token.",
        media="audio",
        types=("audio-spectrogram-transformer",),
        poolings=IMAGE_POOLINGS,
        load=_loader("audio_spectrogram", "load"),
    ),
    "text": Family(
        title="Text and sentence models",
        note="BERT and its kin, and sentence models with the pooling that their folder states.",
        media="text",
        types=("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet", "electra", "modernbert"),
        poolings=IMAGE_POOLINGS,
        load=_loader("text", "load"),
    ),
}


def get(name: str) -> EncoderSpec:
    """The encoder of that name: registered, on the Hub (its config is fetched, once), or a local folder."""
    if name in ENCODERS:
        return ENCODERS[name]
    if "/" not in name and not Path(name).is_dir() and not folders.is_path(name):
        raise UserError(
            f"{unknown('encoder', name, ENCODERS)} A folder of weights or a name of the Hub "
            "(openai/whisper-tiny, timm/vit_tiny_patch16_224) can stand there too."
        )
    if name.startswith("timm/") and not Path(name).is_dir():
        from gelda.encoders import timm_image

        name = timm_image.hub_name(name)
    family = family_of(folders.config(name), name)
    return EncoderSpec(
        title=name,
        note=f"{family.title}: {family.note}",
        load=lambda: family.load(folders.fetch(name)),
        revision=lambda: folders.revision(folders.fetch(name)),
        media=family.media,
        poolings=family.poolings,
    )


def family_of(config: dict[str, Any], name: str) -> Family:
    """The family that a model's config belongs to."""
    kind = config.get("model_type")
    if kind is None and "architecture" in config:
        return FAMILIES["timm"]
    for family in FAMILIES.values():
        if kind in family.types:
            return family
    known = ", ".join(sorted(kind for family in FAMILIES.values() for kind in family.types))
    what = f"is of the type '{kind}'" if kind else f"has a {folders.CONFIG} without a model_type"
    raise UserError(f"'{name}' {what}, which GeLDA cannot encode with; it knows timm models and {known}.")


def choose_layers(layers: Iterable[str], text: str) -> list[str]:
    """Names of the layers that `all`, `last4` or `6,9,12` means, in depth order.

    A number counts the hidden blocks from 1, `last4` is the last four of them; a name stands for itself
    (`6,pooled`); `all` is everything.
    """
    names = list(layers)
    blocks = [name for name in names if name not in (EMBED, POOLED, PROJECTED)]
    chosen: set[str] = set()
    for part in (p.strip() for p in text.split(",")):
        last = part.removeprefix("last")
        if part == "all":
            chosen.update(names)
        elif part in names:
            chosen.add(part)
        elif part.startswith("last") and last.isdecimal() and 0 < int(last) <= len(blocks):
            chosen.update(blocks[-int(last) :])
        elif part.isdecimal() and 0 < int(part) <= len(blocks):
            chosen.add(blocks[int(part) - 1])
        else:
            raise UserError(
                f"'{part}' is no layer of this encoder: it has {len(blocks)} hidden ones; write all, last4, "
                f"numbers from 1 to {len(blocks)} (6,9,12), or names: {', '.join(names)}."
            )
    return [name for name in names if name in chosen]
