"""Text models of transformers, frozen: BERT and its kin, sentence models, text towers of CLIP and SigLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gelda.artifacts import read_json
from gelda.encoders import EMBED, IMAGE_POOLINGS, POOLED, folders
from gelda.encoders.base import Frozen, block_list, numbered, pool_tokens
from gelda.errors import UserError

VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model")
UNUSED = ("pooler.", "decoder.")  # parts that no latent here comes from


@dataclass(frozen=True)
class Sentence:
    """How a sentence-transformers folder makes one vector of a text: its pooling, whether of unit length, and
    at which count of tokens a text is cut."""

    pooling: str
    unit: bool
    tokens: int


def load(folder: Path) -> TextEncoder:
    """Any text model that AutoModel knows, from its safetensors and tokenizer."""
    from transformers import AutoModel, AutoTokenizer

    if not any(file for pattern in VOCABULARIES for file in folder.glob(pattern)):
        raise UserError(
            f"{folder} has no tokenizer: tokenizer.json is missing."
        )  # transformers makes an empty one
    tokenizer = folders.preprocessor(AutoTokenizer, folder)
    network, _ = folders.pretrained(AutoModel, folder, spare=UNUSED)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UserError(f"The tokenizer of {folder} has neither a padding nor an end token.")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return TextEncoder(network, tokenizer, sentence(folder))


def sentence(folder: Path) -> Sentence | None:
    """What modules.json of sentence-transformers says; None where a folder has none."""
    if not (folder / "modules.json").is_file():
        return None
    modules = {str(m["type"]).rpartition(".")[2]: str(m["path"]) for m in read_json(folder / "modules.json")}
    unknown = set(modules) - {"Transformer", "Pooling", "Normalize"}
    if unknown or "Pooling" not in modules:
        raise UserError(
            f"{folder} is a sentence model with {', '.join(sorted(unknown)) or 'no Pooling'}: GeLDA takes "
            "those of Transformer, Pooling and Normalize alone."
        )
    pooling = read_json(folder / modules["Pooling"] / folders.CONFIG)
    old = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    modes = [key for key, on in pooling.items() if key.startswith("pooling_mode_") and on is True]
    mode = pooling.get("pooling_mode") or (old.get(modes[0]) if len(modes) == 1 else "")
    if mode not in ("cls", "mean"):
        raise UserError(f"{folder} pools its tokens by {mode or modes}: GeLDA takes cls or mean.")
    settings = folder / "sentence_bert_config.json"
    tokens = read_json(settings).get("max_seq_length") if settings.is_file() else None
    return Sentence(mode, "Normalize" in modules, int(tokens or 10**6))


class TextEncoder(Frozen):
    """Layers: `embed`, `block1 … blockN` (none where blocks share weights), and `pooled`: the sentence
    model's own vector, the tower's own feature (CLIP, SigLIP), else the last hidden states, pooled as chosen.

    Means run over real tokens, special ones among them (Reimers and Gurevych, *Sentence-BERT*, 2019). `auto`
    is a sentence model's own pooling, else the mean. Texts longer than the model takes are cut.
    """

    media = "text"

    def __init__(self, network: Any, tokenizer: Any, sentence: Sentence | None):
        config = getattr(network.config, "text_config", network.config)
        self.tokenizer, self.sentence = tokenizer, sentence
        self.features = hasattr(network, "get_text_features")
        if self.features:
            tower = network.text_model
        else:
            tower = network = network.get_encoder() if network.config.is_encoder_decoder else network
        self.full = network.config.model_type == "siglip"  # trained with texts of one length
        table: Any = getattr(getattr(tower, "embeddings", None), "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)
        positions = getattr(config, "max_position_embeddings", None) or 512
        positions -= 0 if padding is None else padding + 1  # RoBERTa's begin after the padding's
        limits = [tokenizer.model_max_length, positions]
        self.limit = min(*limits, sentence.tokens if sentence else 10**6)
        blocks = numbered(block_list(tower, config.num_hidden_layers))
        widths = dict.fromkeys([EMBED, *blocks, POOLED] if blocks else [POOLED], config.hidden_size)
        if self.features:
            widths[POOLED] = config.projection_size if self.full else network.config.projection_dim
        super().__init__(
            network,
            blocks,
            widths,
            habit=sentence.pooling if sentence else "mean",
            poolings=IMAGE_POOLINGS,
            own=(POOLED,) if sentence or self.features else (),
        )

    @staticmethod
    def prepare(item: Any) -> str:
        """The text itself: it is tokenised with its batch."""
        if not str(item).strip():
            raise UserError("The text is empty.")
        return str(item)

    @torch.no_grad()
    def encode(self, batch: Sequence[str]) -> dict[str, Tensor]:
        """Latents [B, D] a layer of texts."""
        tokens = self.tokenizer(
            list(batch),
            padding="max_length" if self.full else True,
            truncation=True,
            max_length=self.limit,
            return_tensors="pt",
        ).to(self.device)
        real = torch.ones_like(tokens["input_ids"]) if self.full else tokens["attention_mask"]

        def pool(hidden: Tensor) -> Tensor:
            return pool_tokens(hidden, self.pooling, 1, real)

        latents, output = self.run(lambda: self._forward(tokens), pool)
        if output is not None:
            latents[POOLED] = self._pooled(output, real)
        return self.ordered(latents)

    def _forward(self, tokens: Any) -> Any:
        if not self.features:
            return self.network(**tokens)
        mask = None if self.full else tokens["attention_mask"]
        return self.network.get_text_features(input_ids=tokens["input_ids"], attention_mask=mask)

    def _pooled(self, output: Any, real: Tensor) -> Tensor:
        if self.features:
            return output.pooler_output
        if self.sentence is None:
            return pool_tokens(output.last_hidden_state.float(), self.pooling, 1, real)
        made = pool_tokens(output.last_hidden_state.float(), self.sentence.pooling, 1, real)
        return torch.nn.functional.normalize(made, dim=1) if self.sentence.unit else made
