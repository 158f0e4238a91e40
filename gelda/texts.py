"""Text embeddings of names by a frozen text model of transformers, for γ and κ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from gelda.encoders import POOLED, folders
from gelda.errors import UserError

BATCH = 64


def embed(texts: Sequence[str], model: str) -> torch.Tensor:
    """Unit vectors fp32 [n, d] of `texts` by the transformers model `model` (a folder or a Hub name).

    They are the text encoder's `pooled` layer: a sentence model's own pooling, the text features of CLIP and
    SigLIP, else the mean of the last hidden states over the real tokens, of an encoder-decoder its encoder's.
    """
    encoder = _load(model)
    made = torch.cat([encoder.encode(texts[i : i + BATCH])[POOLED] for i in range(0, len(texts), BATCH)])
    if not torch.isfinite(made).all():
        raise UserError(f"The text model {model} gives NaN or infinity: choose another model.")
    return torch.nn.functional.normalize(made, dim=1)


def check_folder(model: str) -> None:
    """Raise where `model` can only be a folder and is not there."""
    folders.local(model)


@lru_cache(maxsize=2)
def _load(model: str) -> Any:
    """The encoder, on the CPU; without weights or tokenizer the sentence says so."""
    from gelda.encoders import text

    folder = folders.fetch(model)
    try:
        folders.read_config(folder)
        return text.load(folder).select([POOLED])
    except UserError as error:
        raise UserError(f"'{model}' cannot be loaded as a text model. {error}") from error
