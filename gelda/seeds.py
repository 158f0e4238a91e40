"""Explicit random generators derived from a seed and the names of what they are for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # pages draw with numpy alone, and torch takes seconds to import
    import torch


def derive(seed: int, *names: object) -> int:
    """A 63-bit seed from (seed, names): different names never share a stream of numbers."""
    text = "\x1f".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator; noise is drawn on the CPU so that every device starts from the same numbers."""
    import torch

    return torch.Generator("cpu").manual_seed(derive(seed, *names))


def numpy_generator(seed: int, *names: object) -> np.random.Generator:
    """The same for numpy."""
    return np.random.default_rng(derive(seed, *names))


def row_noise(seed: int, names: tuple[object, ...], count: int, dim: int) -> torch.Tensor:
    """Standard normal [count, dim] whose first rows do not depend on `count`.

    torch fills normals in blocks of 16 and redraws an incomplete last block, so rows are drawn
    padded to a multiple of 16 and cut: asking for more latents of a cell keeps the first ones.
    """
    import torch

    padded = -(-dim // 16) * 16
    return torch.randn(count, padded, generator=generator(seed, *names))[:, :dim].contiguous()
