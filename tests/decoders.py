"""Decoders for tests of extraction, light enough that a spawned decode worker starts quickly."""

import os
import signal

import numpy as np

from gelda.errors import UserError


def picture(uri: str, broken: tuple[str, ...] = (), deadly: str = "") -> np.ndarray:
    """float32 [1, 4, 4] that depends on the digits in `uri` alone; some are broken, one is deadly."""
    if uri in broken:
        raise UserError("the file is cut short.")
    if uri == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    seed = [int(character) for character in uri if character.isdigit()]
    return np.random.default_rng(seed).normal(size=(1, 4, 4)).astype(np.float32)
