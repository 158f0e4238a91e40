"""What audio encoders share: sound at the model's rate, windows of long recordings, real frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gelda.encoders.base import Frozen
from gelda.errors import UserError

WINDOW = 30  # seconds; longer recordings are cut into such windows


@dataclass(frozen=True)
class PrepareSound:
    """`media.Clip` -> samples float32 [T] at the model's rate; picklable, without weights.

    shortest: samples that one frame of the model needs. extractor: one of transformers that only scales a
    waveform (wav2vec 2.0's); where it makes spectrograms, `encode` does that, on the device.
    """

    rate: int
    shortest: int
    extractor: Any = None

    def __call__(self, item: Any) -> np.ndarray:
        import soxr

        drawn = isinstance(item, np.ndarray)
        samples = item if drawn else soxr.resample(item.samples, item.rate, self.rate)
        if len(samples) < self.shortest:
            found, needed = (f"{1000 * n / self.rate:.0f} ms" for n in (len(samples), self.shortest))
            raise UserError(f"The clip lasts {found}: this encoder needs {needed}.")
        if self.extractor is not None:
            samples = self.extractor(samples, sampling_rate=self.rate)["input_values"][0]
        return np.asarray(samples, np.float32)


class Sound(Frozen):
    """A frozen audio model.

    A recording longer than `window` samples is cut into windows, the last one shorter (left out below one
    frame); its latents are the windows' means, weighted by their real frames, and the deviation that of all
    frames together: memory does not grow with the square of a recording's length.
    """

    media = "audio"
    window: int
    prepare: PrepareSound

    def windows(self, samples: Tensor) -> list[Tensor]:
        """A sound [T] in windows."""
        parts = list(samples.split(self.window))
        return parts if len(parts) == 1 or len(parts[-1]) >= self.prepare.shortest else parts[:-1]

    def forward(self, sounds: list[Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Latents [B, D] a kept layer of B windows, and each one's count of real frames [B]."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self, batch: Sequence[Any]) -> dict[str, Tensor]:
        """Latents [B, D] a layer of sounds [T_i] at the model's rate; as many windows at a time as sounds."""
        sounds = [torch.as_tensor(sound).cpu().float() for sound in batch]
        parts = [(i, part) for i, sound in enumerate(sounds) for part in self.windows(sound)]
        by_length = defaultdict(list)
        for place, (_, part) in enumerate(parts):
            by_length[len(part) if self.even else 0].append(place)
        size = len(batch)
        groups = [p[i : i + size] for p in by_length.values() for i in range(0, len(p), size)]
        made = [self.forward([parts[place][1] for place in group]) for group in groups]
        back = torch.tensor([place for group in groups for place in group]).argsort().to(self.device)
        latents = {name: torch.cat([z[name] for z, _ in made])[back] for name in self.layers}
        if len(parts) == size:
            return latents
        item = torch.tensor([i for i, _ in parts], device=self.device)
        frames = torch.cat([count for _, count in made])[back]
        share = frames / torch.zeros(size, device=self.device).index_add(0, item, frames)[item]
        return {name: self._merge(z, item, share, size, name) for name, z in latents.items()}

    def _merge(self, latents: Tensor, item: Tensor, share: Tensor, size: int, name: str) -> Tensor:
        """Windows [W, D] -> latents [size, D], of each window's item [W] and share [W] of its frames."""

        def total(values: Tensor) -> Tensor:
            sums = torch.zeros(size, values.shape[1], device=values.device)
            return sums.index_add(0, item, values * share[:, None])

        if self.pooling != "mean+std" or name in self.own:
            return total(latents)
        mean, deviation = latents.chunk(2, 1)
        centre = total(mean)
        return torch.cat([centre, total(deviation.square() + (mean - centre[item]).square()).sqrt()], 1)


def padded(sounds: Sequence[Tensor]) -> Tensor:
    """Sounds [T_i] -> [B, longest], zeros after their ends."""
    return torch.nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)


def real_frames(counts: Tensor, frames: int) -> Tensor:
    """Which of `frames` frames are real [B, frames], of each item's count [B]."""
    return torch.arange(frames, device=counts.device)[None] < counts[:, None]
