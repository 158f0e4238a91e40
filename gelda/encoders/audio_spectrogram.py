"""The Audio Spectrogram Transformer (Gong et al., 2021), frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gelda.encoders import EMBED, IMAGE_POOLINGS, POOLED, folders
from gelda.encoders.audio import PrepareSound, Sound, real_frames
from gelda.encoders.base import numbered, pool_tokens

FRAME, HOP = 400, 160  # samples of one spectrogram frame at 16 kHz, and between two: the extractor's own


def load(folder: Path) -> AudioSpectrogram:
    """The model without its classifier."""
    from transformers import ASTModel, AutoFeatureExtractor

    network, _ = folders.pretrained(ASTModel, folder)
    return AudioSpectrogram(network, folders.preprocessor(AutoFeatureExtractor, folder))


class AudioSpectrogram(Sound):
    """Layers: `embed`, `block1 … blockN`, and `pooled`, the average of the class and the distillation token
    after the final norm, which is what the model hands its head.

    `auto` is cls, the average of these two tokens: they see the whole padded window, as in training. Means
    run over the patches that begin inside the sound. A window is `max_length` frames (10 s).
    """

    def __init__(self, network: Any, extractor: Any):
        config = network.config
        self.extractor = extractor
        self.prepare = PrepareSound(extractor.sampling_rate, FRAME)
        self.window = FRAME + (extractor.max_length - 1) * HOP
        self.bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        self.steps = (config.max_length - config.patch_size) // config.time_stride + 1
        blocks = numbered(network.layers)
        super().__init__(
            network,
            blocks,
            dict.fromkeys([EMBED, *blocks, POOLED], config.hidden_size),
            habit="cls",
            poolings=IMAGE_POOLINGS,
        )

    def forward(self, sounds: list[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        rate = self.extractor.sampling_rate
        features = self.extractor([sound.numpy() for sound in sounds], sampling_rate=rate)["input_values"]
        values = torch.from_numpy(np.stack(features)).to(self.device)
        frames = torch.tensor([1 + (len(sound) - FRAME) // HOP for sound in sounds], device=self.device)
        stride = self.network.config.time_stride
        steps = (-(-frames // stride)).clamp(max=self.steps)
        # Tokens: class, distillation, then all time steps of the lowest band, of the next one, ...
        real = torch.cat([real_frames(steps * 0, 2), real_frames(steps, self.steps).repeat(1, self.bands)], 1)
        latents, output = self.run(
            lambda: self.network(values), lambda hidden: pool_tokens(hidden, self.pooling, 2, real)
        )
        if output is not None:
            latents[POOLED] = output.pooler_output.float()
        return {name: latents[name] for name in self.layers}, steps.float()
