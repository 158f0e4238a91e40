"""How an image encoder takes what a Source decodes: the model's own preprocessing, on an RGB picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Prepare:
    """Picture -> float32 [3, height, width] by the model's own transform; picklable, without weights."""

    transform: Callable[[Image.Image], Any]

    def __call__(self, item: Any) -> np.ndarray:
        if isinstance(item, np.ndarray):  # drawn data: [1 or 3, height, width] in [0, 1]
            pixels = np.rint(np.broadcast_to(item, (3, *item.shape[1:])) * 255).astype(np.uint8)
            item = Image.fromarray(pixels.transpose(1, 2, 0))
        return np.asarray(self.transform(item), np.float32)
