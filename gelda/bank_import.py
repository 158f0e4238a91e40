"""A file of latents written as a bank folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from gelda import columns
from gelda.artifacts import FORMAT, file_sha256, require_space, write_json, write_table, write_tensors
from gelda.errors import UserError
from gelda.latents import LatentBank, check_folder
from gelda.ready import open_bank


def import_bank(source: Path, folder: Path, shard_size: int = 100_000) -> LatentBank:
    """Write a file of latents as a bank folder: shards of safetensors and an index with split and group."""
    if Path(source).is_dir():
        raise UserError(f"{source} is a folder: a bank in it is used as it is, and needs no import.")
    bank = open_bank(source)
    if (folder / "manifest.json").exists() or (folder / "plan.json").exists():
        raise UserError(f"{folder} holds a bank already: choose another folder.")
    check_folder(folder)
    total = len(bank.items)
    require_space(folder, total * sum(bank.layers.values()) * 4 + 10_000_000)
    for layer in bank.layers:
        latents = bank.load(layer)
        for number, start in enumerate(range(0, total, shard_size)):
            write_tensors(
                folder / layer / f"shard-{number:05d}.safetensors", {"z": latents[start : start + shard_size]}
            )
    items = bank.items
    index = pd.DataFrame(
        {
            "id": bank.ids,
            "uri": "",
            "label": items.label,
            "subdomain": items.subdomain,
            "group": items.group,  # numbers stay numbers: seeds draw from groups in their order
            "split": items.split,
            "origin": "real",
            "shard": np.arange(total) // shard_size,
            "row": np.arange(total) % shard_size,
        }
    )
    write_table(folder / "index.parquet", columns.joined(index, bank.columns))
    tables = {"class": bank.class_semantics, "subdomain": bank.subdomain_semantics}
    given = {name: table for name, table in tables.items() if table is not None}
    if given:
        write_tensors(folder / "semantics.safetensors", given)
    write_json(
        folder / "manifest.json",
        {
            "format": FORMAT,
            "encoder": f"imported from {Path(source).name}",
            "revision": bank.key,
            "layers": dict(bank.layers),
            "pooling": "as imported",
            "dtype": "float32",
            "rows": total,
            "shard_rows": [min(shard_size, total - start) for start in range(0, total, shard_size)],
            "classes": items.class_names,
            "subdomains": items.subdomain_names,
            "grouped": items.grouped,
            "sha256": {
                f"{layer}/{file.name}": file_sha256(file)
                for layer in bank.layers
                for file in sorted((folder / layer).glob("shard-*.safetensors"))
            },
        },
    )
    return LatentBank.open(folder)
