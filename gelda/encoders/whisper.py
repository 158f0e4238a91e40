"""Whisper's encoder (Radford et al., 2022), frozen; means run over the frames that hold sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gelda.encoders import EMBED, POOLED, SPEECH_POOLINGS, folders
from gelda.encoders.audio import PrepareSound, Sound, real_frames
from gelda.encoders.base import numbered, pool_tokens

PREFIX = r"^(model\.)?encoder\."  # of the encoder's weights in a whole Whisper


def load(folder: Path) -> Whisper:
    """The encoder's weights out of a whole Whisper: the decoder is never in memory."""
    from transformers import AutoFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    network, _ = folders.pretrained(WhisperEncoder, folder, key_mapping={PREFIX: ""})
    return Whisper(network, folders.preprocessor(AutoFeatureExtractor, folder))


class Whisper(Sound):
    """Layers: `embed` (after both convolutions, with positions), `block1 … blockN`, and `pooled`, the last
    block after the final norm, pooled as chosen: Whisper has no pooling of its own.

    Every window is padded to the model's own (30 s, 1500 positions; mini-speech: 4 s, 125), as in training:
    convolutions and attention see the padding. Frame j is centred on sample 320 j (hop 160, second
    convolution of stride 2), so ceil(T / 320) frames hold sound, as
    `WhisperModel._get_feat_extract_output_lengths` has it.
    """

    def __init__(self, network: Any, extractor: Any):
        config = network.config
        self.extractor = extractor
        self.prepare = PrepareSound(extractor.sampling_rate, extractor.n_fft)
        self.window = extractor.n_samples
        self.stride = extractor.n_samples // config.max_source_positions
        blocks = numbered(network.layers)
        super().__init__(
            network,
            blocks,
            dict.fromkeys([EMBED, *blocks, POOLED], config.d_model),
            habit="mean",
            poolings=SPEECH_POOLINGS,
            own=(),
        )

    def forward(self, sounds: list[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        features = self.extractor(
            [sound.numpy() for sound in sounds],
            sampling_rate=self.extractor.sampling_rate,
            return_tensors="pt",
            device=str(self.device),
        )["input_features"].to(self.device)
        frames = torch.tensor([-(-len(sound) // self.stride) for sound in sounds], device=self.device)
        real = real_frames(frames, self.network.config.max_source_positions)

        def pool(hidden: Tensor) -> Tensor:
            return pool_tokens(hidden, self.pooling, 0, real)

        latents, output = self.run(lambda: self.network(features), pool)
        if output is not None:
            latents[POOLED] = pool(output.last_hidden_state.float())
        return {name: latents[name] for name in self.layers}, frames.float()
