"""Tiny untrained encoders of real architectures, always the same: to try the way from files to a map."""

from __future__ import annotations

from typing import Any

import torch

from gelda.encoders import Encoder

WIDTH, DEPTH, HEADS = 64, 4, 2


def load(name: str) -> Encoder:
    """`random-vit` or `random-whisper`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _vit() if name == "random-vit" else _whisper()


def _vit() -> Encoder:
    import timm

    from gelda.encoders.timm_image import TimmImage

    shape: dict[str, Any] = {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS, "num_classes": 0}
    return TimmImage(timm.create_model("vit_tiny_patch16_224", pretrained=False, **shape))


def _whisper() -> Encoder:
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from gelda.encoders.whisper import Whisper

    config = WhisperConfig(
        d_model=WIDTH, encoder_layers=DEPTH, encoder_attention_heads=HEADS, encoder_ffn_dim=4 * WIDTH
    )
    return Whisper(WhisperEncoder(config), WhisperFeatureExtractor())
