"""What image encoders share: the model's own preprocessing of an RGB picture, batches, and pooled patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gelda.encoders.base import Frozen, pool_tokens


@dataclass(frozen=True)
class Prepare:
    """Picture -> float32 [3, height, width] by the model's own transform; picklable, without weights."""

    transform: Callable[[Image.Image], Any]

    def __call__(self, item: Any) -> np.ndarray:
        if isinstance(item, np.ndarray):  # drawn data: [1 or 3, height, width] in [0, 1]
            pixels = np.rint(np.broadcast_to(item, (3, *item.shape[1:])) * 255).astype(np.uint8)
            item = Image.fromarray(pixels.transpose(1, 2, 0))
        return np.asarray(self.transform(item), np.float32)


class Pictures(Frozen):
    """A frozen image model; `prefix`: how many tokens stand before the patches. Subclasses give `forward`."""

    prefix: int

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The kept layers that the model pools itself [B, D], of images on its device."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self, batch: Any) -> dict[str, Tensor]:
        """Latents [B, D] a layer of images [B, 3, height, width]."""
        images = torch.as_tensor(batch).to(self.device, torch.float32)
        latents, made = self.run(lambda: self.forward(images), self.pool)
        return self.ordered(latents | (made or {}))

    def pool(self, hidden: Tensor) -> Tensor:
        """Tokens [B, T, D], the first of them no patches -> [B, D]."""
        real = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        real[:, : self.prefix] = False
        return pool_tokens(hidden, self.pooling, 1, real)
