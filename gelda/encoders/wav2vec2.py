"""wav2vec 2.0, HuBERT and WavLM, frozen: models over the waveform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gelda.encoders import EMBED, POOLED, SPEECH_POOLINGS, folders
from gelda.encoders.audio import WINDOW, PrepareSound, Sound, padded, real_frames
from gelda.encoders.base import numbered, pool_tokens


def load(folder: Path) -> Wav2Vec2:
    """The model without its head, and the scaling of waveforms that its folder states."""
    from transformers import AutoFeatureExtractor, AutoModel

    network, _ = folders.pretrained(AutoModel, folder, spare=("masked_spec_embed",))  # only training masks
    return Wav2Vec2(network, folders.preprocessor(AutoFeatureExtractor, folder))


class Wav2Vec2(Sound):
    """Layers: `embed` (projected frames with positions), `block1 … blockN`, and `pooled`, the model's last
    hidden states (after a final norm where it has one), pooled as chosen: none has a pooling of its own.

    Models whose convolutions have layer norms were trained with an attention mask, and get one: what follows
    a clip's end changes nothing. Where the first one has a group norm over time (base models), padding would
    change every frame and there was no mask in training: `even`, each length runs by itself.
    """

    def __init__(self, network: Any, extractor: Any):
        config = network.config
        self.even = config.feat_extract_norm == "group"
        shortest = 1
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            shortest = (shortest - 1) * stride + kernel  # one frame's receptive field
        self.prepare = PrepareSound(extractor.sampling_rate, shortest, extractor)
        self.window = WINDOW * extractor.sampling_rate
        blocks = numbered(network.encoder.layers)
        super().__init__(
            network,
            blocks,
            dict.fromkeys([EMBED, *blocks, POOLED], config.hidden_size),
            habit="mean",
            poolings=SPEECH_POOLINGS,
            own=(),
        )

    def forward(self, sounds: list[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        values = padded(sounds).to(self.device)
        lengths = torch.tensor([len(sound) for sound in sounds], device=self.device)
        network: Any = self.network
        frames = network._get_feat_extract_output_lengths(lengths)
        mask = None if self.even else real_frames(lengths, values.shape[1]).long()

        def pool(hidden: Tensor) -> Tensor:
            return pool_tokens(hidden, self.pooling, 0, real_frames(frames, hidden.shape[1]))

        latents, output = self.run(lambda: network(values, attention_mask=mask), pool)
        if output is not None:
            latents[POOLED] = pool(output.last_hidden_state.float())
        return {name: latents[name] for name in self.layers}, frames.float()
