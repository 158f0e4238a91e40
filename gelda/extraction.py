"""Extraction: every item of a source through a frozen encoder, shard by shard, into a LatentBank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gelda import columns
from gelda.artifacts import (
    FORMAT,
    check_format,
    file_sha256,
    read_json,
    require_space,
    write_json,
    write_table,
    write_tensors,
)
from gelda.batching import encoded
from gelda.datasets.source import Source
from gelda.decoding import Unreadable, decoded
from gelda.encoders import Encoder
from gelda.errors import UserError, unknown
from gelda.latents import LatentBank, check_folder

WORDS = {"manifest": "list of items", "rows": "number of items", "shard_size": "shard size"}
STORES = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class Plan:
    """What a bank's content depends on: every process that works on its folder must have the same.

    `plan.json`, written before the first shard. The batch size is not in it: a batch that did not fit the
    device may be made smaller, and moves latents by rounding alone.
    """

    source: str
    manifest: str
    rows: int
    encoder: str
    revision: str
    layers: dict[str, int]
    pooling: str
    precision: str
    dtype: str
    shard_size: int

    @property
    def shards(self) -> int:
        return -(-self.rows // self.shard_size)

    def rows_of(self, number: int) -> range:
        """The manifest's rows that shard `number` is made of."""
        return range(number * self.shard_size, min(self.rows, (number + 1) * self.shard_size))

    def files(self, folder: Path, number: int) -> dict[str, Path]:
        return {layer: folder / layer / f"shard-{number:05d}.safetensors" for layer in self.layers}

    def finished(self, folder: Path, number: int) -> bool:
        return _record(folder, number).is_file() and all(
            file.is_file() for file in self.files(folder, number).values()
        )


def extract(
    source: Source,
    encoder: Encoder,
    folder: Path,
    *,
    encoder_name: str,
    revision: str,
    caution: str = "",
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    store: str = "float32",
    batch_size: int = 64,
    shard_size: int = 1024,
    workers: int = 0,
    max_skipped: float = 0.05,
    part: tuple[int, int] = (0, 1),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LatentBank | None:
    """Write the latents of the encoder's layers; the bank, or None while other parts are missing.

    A shard is whole when its record (`shards/shard-00000.json`) lies beside it, so a killed extraction goes
    on at the shard it was in and ends with the same bytes. An item that cannot be decoded, or whose latents
    are not finite, is skipped and listed in `manifest.json`; more than `max_skipped` of the items is a
    UserError. caution: what every use of these latents has to say. dtype: of matrix products. part (i, n):
    shards i, i + n, …; whoever finds all of them present writes index and manifest. progress(done, total)
    counts this part's items, earlier ones included.
    """
    if store not in STORES:
        raise unknown("dtype", store, STORES)
    plan = Plan(
        source.name,
        source.manifest.key(),
        len(source.manifest),
        encoder_name,
        revision,
        dict(encoder.layers),
        encoder.pooling,
        str(dtype).removeprefix("torch."),
        store,
        shard_size,
    )
    claim(folder, plan)
    mine = range(part[0], plan.shards, part[1])
    _sweep(folder, None if part[1] == 1 else set(mine))
    missing = [number for number in mine if not plan.finished(folder, number)]
    total = sum(len(plan.rows_of(number)) for number in mine)
    rows = [row for number in missing for row in plan.rows_of(number)]
    require_space(folder, len(rows) * sum(plan.layers.values()) * STORES[store].itemsize + 10_000_000)
    skipped = [
        item
        for number in mine
        if number not in set(missing)
        for item in read_json(_record(folder, number))["skipped"]
    ]
    done = total - len(rows)
    progress(done, total)
    encoder = encoder.to(device, dtype)
    uris = source.manifest.table["uri"]
    with closing(decoded(source.decode, encoder.prepare, list(uris.iloc[rows]), workers)) as stream:
        for number in missing:
            shard = _Shard(source, plan, number)
            for places, latents in encoded(shard.place(stream), encoder, device, batch_size):
                shard.put(places, latents)
                _check_share([*skipped, *shard.skipped], total, max_skipped)
                progress(done + shard.done, total)
            skipped += shard.skipped
            _check_share(skipped, total, max_skipped)
            shard.write(folder)
            done += len(shard.rows)
            progress(done, total)
    return finish(source, folder, plan, caution)


def claim(folder: Path, plan: Plan) -> None:
    """Make the folder this plan's; one that holds something else is refused and left as it is."""
    check_folder(folder)
    if not (folder / "plan.json").is_file():
        write_json(folder / "plan.json", {"format": FORMAT, **asdict(plan)})
        return
    found = read_json(folder / "plan.json")
    check_format(found, folder / "plan.json")
    for name, wanted in asdict(plan).items():
        if found.get(name) != wanted:
            raise UserError(
                f"{folder} holds a bank of other settings: its {WORDS.get(name, name)} is "
                f"{_short(found.get(name))}, not {_short(wanted)}. Choose another folder, or delete it first."
            )


def finish(source: Source, folder: Path, plan: Plan, caution: str) -> LatentBank | None:
    """Write index and manifest where every shard is whole; the bank, or None."""
    if not all(plan.finished(folder, number) for number in range(plan.shards)):
        return None
    records = [read_json(_record(folder, number)) for number in range(plan.shards)]
    skipped = [item for record in records for item in record["skipped"]]
    counts = [record["rows"] for record in records]
    if sum(counts) == 0:
        raise UserError(f"No item of {source.name} could be used: {_first_reasons(skipped)}")
    table = source.manifest.table
    split = ["split"] if "split" in table.columns else []
    left_out = {item["id"] for item in skipped}
    known = ["id", "uri", "label", "subdomain", "group", *split, *columns.own(table)]
    index = table.loc[~table["id"].isin(left_out), known].reset_index(drop=True)
    index["origin"] = "real"
    index["shard"] = np.repeat(np.arange(plan.shards), counts)
    index["row"] = np.concatenate([np.arange(count) for count in counts])
    write_table(folder / "index.parquet", index)
    info = {
        "format": FORMAT,
        "encoder": plan.encoder,
        "revision": plan.revision,
        "layers": plan.layers,
        "pooling": plan.pooling,
        "precision": plan.precision,
        "dtype": plan.dtype,
        "source": source.name,
        "media": source.media,
        "root": source.root,
        "manifest": plan.manifest,
        "classes": source.manifest.class_names,
        "subdomains": source.manifest.subdomain_names,
        "grouped": source.grouped,
        "axes": source.axes,
        "rows": len(index),
        "shard_rows": counts,
        "skipped": skipped,
        "problems": [asdict(problem) for problem in source.problems],
        "notes": source.notes,
        "caution": caution,
        "sha256": {name: sha for record in records for name, sha in record["sha256"].items()},
    }
    write_json(folder / "manifest.json", info)
    return LatentBank.open(folder)


class _Shard:
    """A shard in the making: places for the latents of its items, and what was skipped."""

    def __init__(self, source: Source, plan: Plan, number: int) -> None:
        self.table = source.manifest.table
        self.plan, self.number, self.rows = plan, number, plan.rows_of(number)
        dtype = STORES[plan.dtype]
        self.latents = {
            layer: torch.empty(len(self.rows), width, dtype=dtype) for layer, width in plan.layers.items()
        }
        self.kept = torch.zeros(len(self.rows), dtype=torch.bool)
        self.reasons: dict[int, str] = {}

    @property
    def done(self) -> int:
        return int(self.kept.sum()) + len(self.reasons)

    @property
    def skipped(self) -> list[dict[str, str]]:
        rows = [(self.table.iloc[self.rows[place]], why) for place, why in sorted(self.reasons.items())]
        return [{"id": row["id"], "uri": row["uri"], "reason": why} for row, why in rows]

    def place(self, stream: Iterator[Any]) -> Iterator[tuple[int, Any]]:
        """(place in the shard, input) of its items; what cannot be read is noted instead."""
        for place, item in enumerate(islice(stream, len(self.rows))):
            if isinstance(item, Unreadable):
                self.reasons[place] = item.reason
            else:
                yield place, item

    def put(self, places: list[int], latents: dict[str, torch.Tensor]) -> None:
        """Take in a batch's latents, [B, D] a layer."""
        finite = torch.ones(len(places), dtype=torch.bool)
        at = torch.tensor(places)
        for layer, own in self.latents.items():
            values = latents[layer].float().cpu()
            finite &= torch.isfinite(values).all(1)
            largest = torch.finfo(own.dtype).max
            if (values[finite].abs() > largest).any():
                raise UserError(
                    f"Layer {layer} has values beyond {largest:g}, which {self.plan.dtype} cannot hold: "
                    "use --dtype float32."
                )
            own[at] = values.to(own.dtype)
        self.kept[at] = finite
        self.reasons |= dict.fromkeys(at[~finite].tolist(), "its latents are not finite")

    def write(self, folder: Path) -> None:
        """Every layer's file, then the record that says they are whole."""
        sums = {}
        for layer, file in self.plan.files(folder, self.number).items():
            write_tensors(file, {"z": self.latents[layer][self.kept]})
            sums[f"{layer}/{file.name}"] = file_sha256(file)
        record = {"rows": int(self.kept.sum()), "skipped": self.skipped, "sha256": sums}
        write_json(_record(folder, self.number), record)


def _check_share(skipped: list[dict[str, str]], total: int, limit: float) -> None:
    if len(skipped) > limit * max(total, 20):
        raise UserError(
            f"{len(skipped)} items could not be used, more than {100 * limit:g} % of {total}: "
            f"{_first_reasons(skipped)} Mend them, or allow more with --max-skipped."
        )


def _first_reasons(skipped: list[dict[str, str]]) -> str:
    return " ".join(f"{item['uri']}: {item['reason'].rstrip('.')}." for item in skipped[:3])


def _record(folder: Path, number: int) -> Path:
    return folder / "shards" / f"shard-{number:05d}.json"


def _sweep(folder: Path, numbers: set[int] | None) -> None:
    """Remove what killed processes left half written: of these shards, or everything."""
    for file in folder.glob("**/.*.tmp"):
        shard = file.name[1:].partition(".")[0].removeprefix("shard-")
        if numbers is None or (shard.isdigit() and int(shard) in numbers):
            file.unlink()


def _short(value: Any) -> str:
    text = ", ".join(value) if isinstance(value, dict) else str(value)
    return repr(text if len(text) < 80 else f"{text[:77]}...")
