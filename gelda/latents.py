"""LatentBank: real and synthetic latents as one type; the standardiser."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gelda.artifacts import (
    FORMAT,
    check_format,
    content_key,
    read_json,
    read_table,
    read_tensors,
)
from gelda.errors import UserError, unknown
from gelda.manifest import Manifest

if TYPE_CHECKING:
    import torch

LAYER_NAME = re.compile(r"\w[\w.+-]*")  # of any bank: it becomes the name of files and folders
INDEX_COLUMNS = ("id", "label", "subdomain", "group", "origin", "shard", "row")


@dataclass(frozen=True)
class LatentBank:
    """Latents on disk: `manifest.json`, `index.parquet` and `<layer>/shard-00000.safetensors`.

    index: one row a latent, in the order of the tensors; layers: {name: width}.
    """

    path: Path
    index: pd.DataFrame
    info: dict[str, Any]

    @property
    def layers(self) -> dict[str, int]:
        return dict(self.info["layers"])

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def open(cls, path: Path) -> LatentBank:
        """Open a bank and check that its index and its shards agree."""
        path = Path(path)
        info = read_json(path / "manifest.json")
        check_format(info, path / "manifest.json")
        index = read_table(path / "index.parquet")
        missing = [name for name in INDEX_COLUMNS if name not in index.columns]
        if missing:
            raise UserError(
                f"{path}/index.parquet lacks the column(s) {', '.join(missing)}: extract it again."
            )
        absent = [key for key in ("rows", "shard_rows", "layers") if key not in info]
        if absent:
            raise UserError(f"{path}/manifest.json has no '{absent[0]}': extract the bank again.")
        for layer in info["layers"]:
            if not LAYER_NAME.fullmatch(layer):
                raise UserError(
                    f"{path}/manifest.json: the layer name '{layer}' may hold letters, digits and _ . + - "
                    "only."
                )
        if len(index) != info["rows"] or sum(info["shard_rows"]) != info["rows"]:
            raise UserError(
                f"The bank {path} says {info['rows']} rows, but its index has {len(index)} and its shards "
                f"{sum(info['shard_rows'])}: delete the folder and extract it again."
            )
        return cls(path, index, info)

    def load(self, layer: str) -> torch.Tensor:
        """All latents of one layer, fp32 [N, D]; shards that do not match the index are refused."""
        import torch

        if layer not in self.layers:
            raise unknown("layer", layer, self.layers)
        parts = []
        for number, rows in enumerate(self.info["shard_rows"]):
            file = self.path / layer / f"shard-{number:05d}.safetensors"
            try:
                part = read_tensors(file)["z"]
            except (UserError, KeyError) as error:
                raise UserError(
                    f"{file} is missing or broken: delete the folder {self.path} and run again; "
                    "the bank is extracted anew."
                ) from error
            if tuple(part.shape) != (rows, self.layers[layer]):
                raise UserError(
                    f"{file} holds {tuple(part.shape)} values where the bank's index says "
                    f"({rows}, {self.layers[layer]}): delete the bank and extract it again."
                )
            parts.append(part)
        latents = torch.cat(parts).float()
        if not torch.isfinite(latents).all():
            row = int((~torch.isfinite(latents).all(1)).nonzero()[0])
            raise UserError(f"Latent '{self.index['id'][row]}' in {self.path}/{layer} is not finite.")
        return latents


@dataclass(frozen=True)
class Standardizer:
    """Per-dimension standardisation, fitted on training latents only; inverted after sampling."""

    mean: torch.Tensor  # [D]
    std: torch.Tensor  # [D]

    @classmethod
    def fit(cls, latents: torch.Tensor) -> Standardizer:
        """Mean and standard deviation of [N, D]; a constant dimension keeps scale 1."""
        import torch

        std = latents.std(0, unbiased=False)
        return cls(latents.mean(0), torch.where(std > 1e-6, std, torch.ones_like(std)))

    def apply(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents - self.mean) / self.std

    def invert(self, standardized: torch.Tensor) -> torch.Tensor:
        return standardized * self.std + self.mean


def check_folder(folder: Path) -> None:
    """Refuse a place where no bank can be written: a file, no permission, a folder of something else."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name another folder for the bank with --out.")
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UserError(f"{folder} cannot be written: choose another folder for the bank with --out.")
    held = {entry.name for entry in folder.iterdir() if entry.name[0] != "."} if folder.is_dir() else set()
    if held and "plan.json" not in held:
        raise UserError(f"{folder} is not empty: choose another folder for the bank, or delete it first.")


def bank_key(manifest: Manifest, encoder_name: str, revision: str) -> str:
    """The content key of the bank that a run extracts."""
    return content_key("bank", FORMAT, manifest.key(), encoder_name, revision)
