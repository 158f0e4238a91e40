"""The refit kit: what a finished run leaves so that its head can be trained again in seconds, by itself.

Beside the points: kit.json (how the head is trained), kit.parquet (training, dev and synthetic rows),
kit.safetensors (the few tensors that points do not have) and, apart from them, kit_test.safetensors: the test
half, which nothing reads but Confirm. Read with numpy alone, as pages do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda import projection
from gelda.artifacts import (
    FORMAT,
    check_format,
    content_key,
    read_arrays,
    read_json,
    read_table,
    write_json,
    write_table,
    write_tensors,
)
from gelda.errors import UserError
from gelda.report import SeedResult

TEST = "kit_test.safetensors"  # read by Confirm alone
FILES = ("kit.json", "kit.parquet", "kit.safetensors", TEST)
NEEDED = {
    "key", "class_names", "subdomain_names", "groups", "cells", "empty", "by_cell", "main", "arm", "layer",
    "seed", "weight", "plan", "adapter", "widths", "dtype",
}  # fmt: skip
COLUMNS = ["id", "label", "subdomain", "group", "split", "origin", "kept", "level", "point"]


@dataclass(frozen=True)
class Kit:
    """One run's kit. Classes and subdomains are numbered as in the run's points.

    about: kit.json. table [N]: COLUMNS; `split` is train, dev or, of synthetic latents, empty; `level` is 0
    for real rows, 1 … the noise level of a synthetic one; `point` is the row among the points, −1 where it
    is not drawn. tensors: `z` [rows that are not drawn, D]; where the head needs them `scale.mean`,
    `scale.std` [D] (of z^(l)), `transform.scale`, `transform.shift` [S, D] (subdomain normalisation),
    `class_start` [C, d], and the adapter's own as `adapter.…`.
    """

    run: Path
    about: Mapping[str, Any]
    table: pd.DataFrame
    tensors: Mapping[str, NDArray[Any]]

    @property
    def key(self) -> str:
        return self.about["key"]

    @property
    def half(self) -> str:
        """Which test half it is: the same in every run that holds out these very items."""
        return self.about.get("half", self.key)

    @property
    def classes(self) -> list[str]:
        return list(self.about["class_names"])

    @property
    def subdomains(self) -> list[str]:
        return list(self.about["subdomain_names"])

    @property
    def main(self) -> str:
        """The measure that edits are judged by: the run's own, UAR where no dev item counts for that one."""
        own = self.about["main"]
        dev = self.result(0, {}, self.table.iloc[self.rows("dev")])
        return own if dev.mask(own).any() else "uar"

    @property
    def synthetic(self) -> NDArray[np.bool_]:
        return (self.table["origin"] == "synthetic").to_numpy()

    def rows(self, split: str) -> NDArray[np.int64]:
        """Row numbers of the real items of a split."""
        return np.flatnonzero((self.table["split"] == split).to_numpy())

    def latents(self) -> NDArray[np.float32]:
        """Standardised z^(l) of every row [N, D], before subdomain normalisation."""
        drawn = projection.map_latents(self.run, projection.generation_layer(self.run))
        point = self.table["point"].to_numpy()
        z = np.empty((len(self.table), drawn.shape[1]), np.float32)
        z[point >= 0] = drawn[point[point >= 0]]
        z[point < 0] = self.tensors["z"]
        return z

    def result(self, seed: int, predicted: Mapping[str, NDArray[Any]], items: pd.DataFrame) -> SeedResult:
        """Predictions {state: [M]} of one head seed for the items [M] of a half, as reports take them."""
        counts = np.zeros((len(self.classes), len(self.subdomains)), np.int64)
        train = self.table.iloc[self.rows("train")]
        np.add.at(counts, (train["label"].to_numpy(), train["subdomain"].to_numpy()), 1)
        cells = self.about["cells"]
        return SeedResult(
            seed,
            items["label"].to_numpy(),
            items["subdomain"].to_numpy(),
            items["group"].to_numpy(),
            predicted,
            counts,
            self.about["groups"],
            [tuple(cell) for cell in self.about["empty"]],
            cells={k: [tuple(c) for c in v] for k, v in cells.items()} if cells else None,
            by_cell=self.about["by_cell"],
        )


def exists(run: Path) -> bool:
    """Whether a run has a kit at all."""
    return (Path(run) / "kit.json").is_file()


def load(run: Path) -> Kit:
    """A run's kit; a run that has none, or one of other points, is a sentence."""
    run = Path(run)
    if not exists(run):
        raise UserError(
            f"The run '{run.name}' keeps no kit to train its head again: finish it once more with "
            f"`gelda run {run.name}` (what it has computed is reused)."
        )
    about = read_json(run / "kit.json")
    check_format(about, run / "kit.json")
    if about.get("points") != projection.points_key(run):
        raise UserError(
            f"The kit of the run '{run.name}' belongs to other points: finish the run once more with "
            f"`gelda run {run.name}`."
        )
    lacking = sorted(NEEDED - about.keys())
    if lacking:
        raise UserError(f"{run / 'kit.json'} lacks '{lacking[0]}': finish the run once more.")
    table = read_table(run / "kit.parquet")
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise UserError(f"{run / 'kit.parquet'} lacks the column {missing[0]}: finish the run once more.")
    tensors = read_arrays(run / "kit.safetensors")
    if len(tensors.get("z", ())) != int((table["point"] < 0).sum()):
        raise UserError(f"{run / 'kit.safetensors'} does not fit kit.parquet: finish the run once more.")
    return Kit(run, about, table, tensors)


def load_test(run: Path) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Latents [M, D] and items of the test half: for Confirm alone."""
    value = read_arrays(Path(run) / TEST)
    items = pd.DataFrame({name: value[name] for name in ("label", "subdomain", "group")})
    return value["z"].astype(np.float32), items


def write(
    run: Path,
    about: Mapping[str, Any],
    table: pd.DataFrame,
    tensors: Mapping[str, Any],
    test: Mapping[str, Any],
    held: Sequence[str],
) -> None:
    """Write a kit over a run's points; kit.json, which says that it is whole, comes last.

    about: all of kit.json but format and keys. test: z [M, D], label, subdomain and group (a number) [M].
    held [M]: ids of the test items.
    """
    points = projection.points_key(run)
    halves = {name: value.half() if name == "z" else value for name, value in test.items()}
    write_tensors(run / TEST, halves)
    write_tensors(run / "kit.safetensors", {**tensors, "z": tensors["z"].half()})
    write_table(run / "kit.parquet", table[COLUMNS])
    key = content_key("kit", points, about)
    half = half_key(held, about)
    write_json(run / "kit.json", {"format": FORMAT, "key": key, "half": half, "points": points, **about})


def half_key(held: Sequence[str], about: Mapping[str, Any]) -> str:
    """The key of a test half: its items' ids, of data with these classes and subdomains; no label is read."""
    return content_key("test half", about["class_names"], about["subdomain_names"], sorted(map(str, held)))
