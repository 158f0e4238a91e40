"""Batches: inputs grouped by length, encoded one batch ahead, and given back with their places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from gelda.encoders import Encoder
from gelda.errors import UserError

WINDOW = 8  # batches of sound or text that are sorted by length together
WINDOW_BYTES = 256 * 2**20  # and how much of them waits at most


def encoded(
    items: Iterable[tuple[int, Any]], encoder: Encoder, device: torch.device, size: int
) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
    """(places, {layer: [B, D]}) a batch; one is given out when the next has been launched on the device."""
    images = encoder.media == "image"
    before = None
    for window in _windows(items, images, size):
        lengths = [0 if images else len(item) for _, item in window]
        for positions in batches(lengths, size, encoder.even):
            inputs: Any = [window[i][1] for i in positions]
            try:
                if images:
                    inputs = torch.from_numpy(np.stack(inputs)).to(device)
                latents = encoder.encode(inputs)
            except torch.OutOfMemoryError as error:
                raise UserError(
                    f"{device} has too little memory for {len(positions)} items at once: use a smaller "
                    "--batch-size; finished shards are kept."
                ) from error
            if before:
                yield before
            before = [window[i][0] for i in positions], latents
    if before:
        yield before


def _windows(items: Iterable[tuple[int, Any]], images: bool, size: int) -> Iterator[list[tuple[int, Any]]]:
    """Items that are sorted into batches together: one batch of images, several of what differs in length."""
    window: list[tuple[int, Any]] = []
    held = 0
    for place, item in items:
        window.append((place, item))
        held += getattr(item, "nbytes", 0)
        if len(window) == (size if images else WINDOW * size) or held > WINDOW_BYTES:
            yield window
            window, held = [], 0
    if window:
        yield window


def batches(lengths: Sequence[int], batch_size: int, even: bool) -> list[list[int]]:
    """Positions in batches of like length, longest first: what does not fit the device is known at once.

    even: one length a batch.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])  # stable: equals keep their order
    result: list[list[int]] = []
    for i in order:
        full = not result or len(result[-1]) == batch_size
        if full or (even and lengths[i] != lengths[result[-1][0]]):
            result.append([])
        result[-1].append(i)
    return result
