"""ExtractConfig: every setting of an extraction."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from gelda.config import explain
from gelda.datasets import SourceOptions
from gelda.errors import UserError
from gelda.settings import Settings


class ExtractConfig(Settings):
    """Every item of a source through a frozen encoder, into a bank (`gelda extract`)."""

    path: str = Field(title="Data", description="A folder, a list or table, hf:org/name, or a demo's name.")
    source: SourceOptions = SourceOptions()
    encoder: str = Field(
        "mini-image", title="Encoder", description="A registered name, a Hub name or a local folder."
    )
    layers: str = Field("all", title="Layers", description="all, last4, numbers (6,9,12) or names.")
    pooling: str = Field("auto", title="Pooling", description="auto, cls, mean or mean+std.")
    out: str = Field(
        "", title="Bank", description="The bank folder to write; empty: in the workspace, named after both."
    )
    dtype: Literal["float32", "float16"] = Field(
        "float32", title="Stored as", description="float16 halves the disk that a bank takes."
    )
    batch_size: int = Field(64, title="Batch size", ge=1, le=4096, description="Items encoded at once.")
    shard_size: int | None = Field(
        None,
        ge=1,
        le=250_000,
        description="Items a shard: what is encoded again at most after a kill; empty: 1024, of sound 128.",
    )
    workers: int | None = Field(
        None,
        title="Decode workers",
        ge=0,
        le=256,
        description="Processes that decode; empty: as many as fit.",
    )
    shard: str = Field("1/1", description="i/n: this process's part of the shards, for n executors.")
    max_skipped: float = Field(
        0.05, title="Skipped at most", ge=0, le=1, description="Share of unreadable items at which it stops."
    )
    device: str = Field("auto", title="Device", description="auto, cpu, cuda, cuda:0 … or mps.")
    precision: str = Field("auto", title="Precision", description="auto (bf16 on CUDA), fp32 or bf16.")

    @field_validator("shard")
    @classmethod
    def _part_of(cls, shard: str) -> str:
        number, _, count = shard.partition("/")
        if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
            raise ValueError("it must be i/n with i from 1 to n, as 2/4")
        return shard

    @property
    def part(self) -> tuple[int, int]:
        """(i, n), i from 0: as `extraction.extract` counts."""
        number, count = map(int, self.shard.split("/"))
        return number - 1, count


def resolve_extract(values: dict[str, Any]) -> ExtractConfig:
    """A validated ExtractConfig; an unknown key names the nearest one."""
    try:
        return ExtractConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, ExtractConfig)) from error
