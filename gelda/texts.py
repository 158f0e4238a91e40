"""Text embeddings of names by a frozen text model of transformers, for γ and κ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from gelda.errors import UserError

BATCH = 64


@torch.inference_mode()
def embed(texts: Sequence[str], model: str) -> torch.Tensor:
    """Unit vectors fp32 [n, d] of `texts` by the transformers model `model` (a folder or a hub name).

    A model with a text tower of its own (CLIP, SigLIP) gives its text features; any other one the mean
    of its last hidden states over the real tokens (Reimers and Gurevych, *Sentence-BERT*, 2019), an
    encoder-decoder that of its encoder.
    """
    tokenizer, network = _load(model)
    limit = min(getattr(tokenizer, "model_max_length", 512), _positions(network))
    rows = []
    for start in range(0, len(texts), BATCH):
        batch = tokenizer(
            list(texts[start : start + BATCH]),
            padding=True,
            truncation=True,
            max_length=limit,
            return_tensors="pt",
        )
        rows.append(_pooled(network, batch).float())
    made = torch.cat(rows)
    if not torch.isfinite(made).all():
        raise UserError(f"The text model {model} gives NaN or infinity: choose another model.")
    return torch.nn.functional.normalize(made, dim=1)


def _pooled(network: Any, batch: Any) -> torch.Tensor:
    mask = batch["attention_mask"]
    if hasattr(network, "get_text_features"):
        out = network.get_text_features(input_ids=batch["input_ids"], attention_mask=mask)
        return out if torch.is_tensor(out) else out.pooler_output
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    hidden = network(**batch).last_hidden_state
    weight = mask[:, :, None].to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)


def _positions(network: Any) -> int:
    """The most tokens a model can take."""
    config = getattr(network.config, "text_config", network.config)
    return int(getattr(config, "max_position_embeddings", None) or 512)


def check_folder(model: str) -> None:
    """Raise where `model` can only be a folder (a hub name has one slash at most) and is not there."""
    path = model.startswith((".", "~", "/")) or "\\" in model or model.count("/") > 1
    if path and not Path(model).expanduser().is_dir():
        raise UserError(f"There is no folder {model}: give the folder of a transformers text model.")


@lru_cache(maxsize=2)
def _load(model: str) -> tuple[Any, Any]:
    """Tokenizer and network, on the CPU; without weights or tokenizer the sentence says so."""
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise UserError(
            "Text embeddings need transformers: install it, or give a file of vectors."
        ) from error
    check_folder(model)
    path = str(Path(model).expanduser()) if Path(model).expanduser().exists() else model
    quiet = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        network = AutoModel.from_pretrained(path).eval().requires_grad_(False)
    except Exception as error:  # transformers raises several unrelated types for what is not a model
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"'{model}' cannot be loaded as a text model ({first}): give a folder with config, weights and "
            "tokenizer, or a name that transformers can download."
        ) from error
    finally:
        if quiet:
            logging.enable_progress_bar()
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UserError(f"The tokenizer of '{model}' has neither a padding nor an end token.")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer, network
