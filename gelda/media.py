"""Pictures and clips: what a file decodes to, before any encoder has seen it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("image", "audio", "text")


@dataclass(frozen=True)
class Clip:
    """Mono sound: samples float32 [T] in [−1, 1] at `rate` hertz."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate
