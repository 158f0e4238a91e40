"""Ready latents: a file of the field's form or a bank folder, read as one checked table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda import columns, npz
from gelda.artifacts import content_key, file_sha256, require_modest
from gelda.artifacts import read_tensors as _read_tensors
from gelda.datasets import DATASETS
from gelda.datasets.source import AXES
from gelda.errors import UserError, unknown
from gelda.latent_files import LATENT_FILES
from gelda.latents import LAYER_NAME, LatentBank
from gelda.paths import permitted

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "valid", "test", "")
GROUP_COLUMNS = ("group", "speaker")
A_ROW = 200  # bytes that an item takes without its latents: its id as a text, class, group …
# ours, of a bank's index
INDEX = ("id", "uri", "label", "subdomain", "group", "split", "origin", "shard", "row")


@dataclass(frozen=True)
class Items:
    """A bank's items: label, subdomain int [N]; group [N] (what must stay together: a speaker, a photo);
    split str [N] ("train", "valid", "test") or all "" where the bank has none; names of both axes.
    grouped: whether the bank names groups; else every item is its own.
    """

    label: NDArray[np.int64]
    subdomain: NDArray[np.int64]
    group: NDArray[Any]
    split: NDArray[np.str_]
    class_names: tuple[str, ...]
    subdomain_names: tuple[str, ...]
    grouped: bool = True

    def __len__(self) -> int:
        return len(self.label)

    @property
    def cells(self) -> tuple[int, int]:
        """(C, S)."""
        return len(self.class_names), len(self.subdomain_names)

    def counts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Items per cell [C, S]."""
        table = np.zeros(self.cells, np.int64)
        np.add.at(table, (self.label[rows], self.subdomain[rows]), 1)
        return table


@dataclass(frozen=True)
class ReadyBank:
    """Items, ids [N], the layers' widths, and `load(layer)` -> fp32 [N, D]; `key` names the content.

    class_semantics [C, Dγ] and subdomain_semantics [S, Dκ] where the file brings its own. Where the items
    can be shown: uris [N] relative to root, and which of media.KINDS they are. columns [N]: further ones
    (see `gelda.columns`), which are no part of a folder's `key`; a single file's is over all of its bytes.
    notes: what is to be said of them.
    """

    name: str
    key: str
    items: Items
    ids: NDArray[np.str_]
    layers: Mapping[str, int]
    load: Callable[[str], torch.Tensor]
    class_semantics: torch.Tensor | None = None
    subdomain_semantics: torch.Tensor | None = None
    note: str = field(default="")
    uris: NDArray[np.str_] | None = None
    media: str = ""
    root: str = ""
    axes: tuple[str, str] = AXES
    columns: pd.DataFrame | None = None
    notes: Sequence[str] = ()

    @cached_property
    def columns_key(self) -> str:
        """Names the content of the further columns, "" where there are none."""
        return columns.key(self.columns)


def open_bank(path: Path | str) -> ReadyBank:
    """A bank folder or a file of LATENT_FILES, read without pickle; what is wrong with it is a sentence."""
    path = Path(path)
    permitted(path)
    if path.is_dir():
        return _from_folder(path)
    if not path.is_file():
        raise UserError(
            f"There is no bank at {path}: give a folder made by `gelda extract` or `gelda import`, or a "
            f"file of latents ({', '.join(LATENT_FILES)})."
        )
    if path.suffix not in LATENT_FILES:
        raise UserError(f"{path} is neither a bank folder nor a file of latents ({', '.join(LATENT_FILES)}).")
    return _from_file(path)


def _from_folder(path: Path) -> ReadyBank:
    bank = LatentBank.open(path)
    index = bank.index
    missing = [key for key in ("classes", "subdomains", "sha256") if key not in bank.info]
    if missing:
        raise UserError(f"{path}/manifest.json has no '{missing[0]}': import or extract the bank again.")
    group = index["group"].to_numpy()
    try:
        label, subdomain = (index[name].to_numpy(np.int64, copy=True) for name in ("label", "subdomain"))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}/index.parquet: label and subdomain must be whole numbers.") from error
    items = Items(
        label,
        subdomain,
        group if group.dtype.kind in "iu" else group.astype(str),
        index["split"].to_numpy(str) if "split" in index else np.full(len(index), ""),
        tuple(bank.info["classes"]),
        tuple(bank.info["subdomains"]),
        bank.info.get("grouped", bool(index["group"].duplicated().any())),
    )
    for values, names, name in zip(
        (items.label, items.subdomain),
        (items.class_names, items.subdomain_names),
        ("label", "subdomain"),
        strict=True,
    ):
        if len(values) == 0 or values.min() < 0 or values.max() >= len(names):
            raise UserError(
                f"{path}/index.parquet: '{name}' does not fit the {len(names)} names of it: import again."
            )
    own = path / "semantics.safetensors"
    tables = _read_tensors(own) if own.exists() else {}
    trained = index[[name for name in index.columns if name in INDEX and name != "uri"]]
    key = ["bank", bank.info["sha256"], trained.to_csv(index=False)]
    ours = columns.own(index)
    more = columns.taken(index.drop(columns=ours), INDEX)  # a column that a person added to the index
    notes: list[str] = []
    return ReadyBank(
        path.name,
        content_key(*key, *([file_sha256(own)] if tables else [])),
        items,
        index["id"].to_numpy(str),
        bank.layers,
        bank.load,
        tables.get("class"),
        tables.get("subdomain"),
        note=" ".join(filter(None, [bank.info.get("caution", ""), _caveat(bank.info.get("source"))])),
        uris=index["uri"].to_numpy(str) if "uri" in index else None,
        media=bank.info.get("media", ""),
        root=bank.info.get("root", ""),
        axes=_axes(bank.info),
        columns=columns.tidied(index[ours].assign(**more), notes) if ours or more else None,
        notes=notes,
    )


def _axes(info: Mapping[str, Any]) -> tuple[str, str]:
    """What a bank's data call a class and a subdomain; a demo's older banks know it, too."""
    source = info.get("source")
    said = info.get("axes") or (DATASETS[source].axes if source in DATASETS else AXES)
    plain = [name for name in said if isinstance(name, str) and re.fullmatch(r"[a-z][a-z ]{0,29}", name)]
    return (plain[0], plain[1]) if len(plain) == 2 else AXES


def _caveat(source: str | None) -> str:
    """What a reader of figures on a shipped demo must know."""
    return DATASETS[source].caveat if source in DATASETS else ""


def _from_file(path: Path) -> ReadyBank:
    file = LATENT_FILES[path.suffix]
    shapes = file.headers(path)
    widths = {name[2:]: shape for name, (shape, _) in shapes.items() if name.startswith("z_")}
    if not widths or "y" not in shapes or "class_names" not in shapes:
        missing = (
            "no array z_<layer>" if not widths else "no 'y'" if "y" not in shapes else "no 'class_names'"
        )
        raise UserError(f"{path.name} is no bank of latents: it has {missing}.")
    rows = max((shape[0] for shape, _ in shapes.values() if shape), default=0)
    arrays = sum(math.prod(shape) * kind.itemsize for shape, kind in shapes.values())
    require_modest(path, arrays + rows * A_ROW)
    label = npz.integers(file.array(path, "y"), "y", path)
    total = len(label)
    for layer, shape in widths.items():
        if not LAYER_NAME.fullmatch(layer):
            raise UserError(
                f"{path.name}: the layer name '{layer}' may hold letters, digits and _ . + - only."
            )
        if len(shape) != 2 or shape[0] != total or shape[1] == 0:
            raise UserError(
                f"{path.name}: z_{layer} has shape {shape}; it needs [{total}, D], a row a label."
            )
        if shapes[f"z_{layer}"][1].kind != "f":
            raise UserError(f"{path.name}: z_{layer} holds {shapes[f'z_{layer}'][1]}, not floats.")
    class_names = npz.names(file.array(path, "class_names"), "class_names", path)
    subdomain: NDArray[np.int64] = np.zeros(total, np.int64)
    subdomain_names: tuple[str, ...] = ("all",)
    if "subdomain" in shapes:
        subdomain = npz.integers(file.array(path, "subdomain"), "subdomain", path)
        numbered = tuple(f"subdomain {s}" for s in range(min(max(0, int(subdomain.max())), total) + 1))
        subdomain_names = (
            npz.names(file.array(path, "subdomain_names"), "subdomain_names", path)
            if "subdomain_names" in shapes
            else numbered
        )
    split = np.full(total, "")
    if "split" in shapes:
        split = npz.texts(file.array(path, "split"), "split", path)
        odd = sorted(set(split.tolist()) - set(SPLITS))
        if odd:
            raise UserError(f"{path.name}: split holds '{odd[0]}'; it may say train, valid or test.")
    column = next((name for name in GROUP_COLUMNS if name in shapes), None)
    group = file.array(path, column) if column else np.arange(total)
    if group.ndim != 1 or group.dtype.kind not in "iuUS":
        raise UserError(f"{path.name}: '{column}' must be a list of whole numbers or names, one an item.")
    group = npz.texts(group, column or "group", path) if group.dtype.kind == "S" else group
    ids = npz.texts(file.array(path, "id"), "id", path) if "id" in shapes else np.arange(total).astype(str)
    for name, column_values in (
        ("subdomain", subdomain),
        ("split", split),
        (column or "group", group),
        ("id", ids),
    ):
        if len(column_values) != total:
            raise UserError(f"{path.name}: '{name}' has {len(column_values)} rows where y has {total}.")
    for values, names, name in ((label, class_names, "y"), (subdomain, subdomain_names, "subdomain")):
        outside = values[(values < 0) | (values >= len(names))]
        if len(outside):
            raise UserError(
                f"{path.name}: '{name}' holds {outside[0]}, but there are {len(names)} names for it, from 0."
            )
    if len(set(ids.tolist())) < total:
        values, times = np.unique(ids, return_counts=True)
        raise UserError(f"{path.name}: the id '{values[times > 1][0]}' appears more than once.")
    own = {
        name: npz.table(file.array(path, name), name, names, path) if name in shapes else None
        for name, names in (("class_semantics", class_names), ("subdomain_semantics", subdomain_names))
    }

    def load(layer: str) -> torch.Tensor:
        import torch

        if layer not in widths:
            raise unknown("layer", layer, widths)
        latents = torch.from_numpy(file.array(path, f"z_{layer}").astype(np.float32))
        if not torch.isfinite(latents).all():
            row = int((~torch.isfinite(latents).all(1)).nonzero()[0])
            raise UserError(
                f"{path.name}: latent {row} ('{ids[row]}') of z_{layer} is not finite: remove it."
            )
        return latents

    used = {"y", "class_names", "subdomain", "subdomain_names", "split", column, "id"}
    more = [
        name
        for name, (shape, kind) in shapes.items()
        if name not in used and shape == (total,) and kind.kind in "biufUSMO"
    ][: columns.MOST]
    further = pd.DataFrame(columns.taken({name: file.array(path, name) for name in more}, ()))
    notes: list[str] = []
    items = Items(label, subdomain, group, split, class_names, subdomain_names, column is not None)
    return ReadyBank(
        path.stem,
        file_sha256(path)[:16],
        items,
        ids,
        {name: shape[1] for name, shape in widths.items()},
        load,
        own["class_semantics"],
        own["subdomain_semantics"],
        columns=columns.tidied(further, notes) if more else None,
        notes=notes,
    )
