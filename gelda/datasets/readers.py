"""READERS: every kind of data that can be opened. Adding one = one entry here and one module beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from gelda.datasets import cifar, emobox, folders, hub, lists, tables
from gelda.datasets.assemble import SPLIT_NAMES, Raw, assemble
from gelda.datasets.demos import DATASETS, get
from gelda.datasets.items import source_decoder
from gelda.datasets.options import SourceOptions
from gelda.datasets.source import Problem, Source
from gelda.errors import UserError, unknown
from gelda.paths import permitted

LATENTS = (".npz", ".safetensors")


@dataclass(frozen=True)
class Reader:
    """recognises(path) -> whether "auto" should take it; open(path, options) -> Source; `own`: the options
    that not every kind of data has (forms leave the others out)."""

    title: str
    note: str
    recognises: Callable[[str], bool]
    open: Callable[[str, SourceOptions], Source]
    own: tuple[str, ...] = ()


def _assembled(read: Callable[[str, SourceOptions], Raw]) -> Callable[[str, SourceOptions], Source]:
    """`open` of a reader of rows; the files of `options.split_files` are read beside the first."""

    def open(path: str, options: SourceOptions) -> Source:
        raw = read(path, options)
        for name, file in options.split_files.items():
            if not SPLIT_NAMES.get(name.lower()):
                raise UserError(f"split_files names '{name}': it may name train, valid or test.")
            raw = _joined(raw, read(file, options), name)
        return assemble(raw, options)

    return open


def _joined(raw: Raw, other: Raw, split: str) -> Raw:
    if (raw.root, raw.media) != (other.root, other.media):
        raise UserError(
            f"The files of {split} lie under {other.root} and the first ones under {raw.root}: give one root "
            "for both."
        )
    own = raw.rows["split"] if "split" in raw.rows else pd.Series("", raw.rows.index)
    first = raw.rows.assign(split=own.where(own != "", "train"))
    rows = pd.concat([first, other.rows.assign(split=split)], ignore_index=True)
    return replace(raw, rows=rows, problems=raw.problems + other.problems, notes=raw.notes + other.notes)


def open_demo(name: str, options: SourceOptions | None = None) -> Source:
    """A shipped demo; it has no options."""
    entry = get(name)
    decode = source_decoder(entry.media, "")
    return Source(
        name, entry.media, entry.manifest(), "", decode, notes=(entry.caveat,), grouped=True, axes=entry.axes
    )


READERS: dict[str, Reader] = {
    "demo": Reader(
        "A demo",
        "Data that ship with GeLDA, by their name.",
        lambda path: path in DATASETS,
        open_demo,
    ),
    "hf": Reader(
        "Hugging Face data set",
        "A folder written by save_to_disk, or hf:org/name from the Hub.",
        hub.recognises,
        _assembled(hub.read),
        ("columns",),
    ),
    "cifar-100-lt": Reader(
        "CIFAR-100-LT",
        "The folder cifar-100-binary, cut to a long tail as published.",
        cifar.recognises,
        _assembled(cifar.read),
        ("imbalance",),
    ),
    "emobox": Reader(
        "EmoBox manifest",
        "JSON Lines or JSON with wav and emo, folds and label maps; one or several corpora.",
        emobox.recognises,
        _assembled(emobox.read),
        (
            "root",
            "fold",
            "beside",
        ),
    ),
    "table": Reader(
        "Table",
        "CSV, TSV or Parquet with a column of files or texts and one of classes.",
        tables.recognises,
        _assembled(tables.read),
        (
            "root",
            "columns",
        ),
    ),
    "list": Reader(
        "Long-tail list",
        "Lines of 'path label', as in ImageNet_LT_train.txt, with its lists of other splits.",
        lists.recognises,
        _assembled(lists.read),
        (
            "root",
            "class_names",
        ),
    ),
    "folder": Reader(
        "Folder of pictures or recordings",
        "class/…, domain/class/…, either also below train and test.",
        folders.recognises,
        _assembled(folders.read),
        ("layout",),
    ),
}


def open_source(path: Path | str, options: SourceOptions | None = None) -> Source:
    """The items at a path, by the reader that `options` names or the first that recognises it.

    Lists files and reads tables, decodes nothing. What cannot be used is among the Source's problems;
    UserError where nothing can.
    """
    options, path = options or SourceOptions(), str(path)
    if options.reader != "auto":
        if options.reader not in READERS:
            raise unknown("reader", options.reader, READERS)
        name = options.reader
    else:
        name = recognised(path)
    _there(path, name)
    if options.beside and "beside" not in (READERS[name].own if name in READERS else ()):
        raise UserError(
            f"Several sources are read as one where each is an EmoBox manifest, and {path} is none: give one "
            "source, or a folder that holds them all."
        )
    if name != "auto":
        return READERS[name].open(path, options)
    if path.endswith(LATENTS):
        raise UserError(f"{path} holds ready latents: give it to `gelda import` or `gelda compare` as it is.")
    raise UserError(
        f"{path} is nothing that can be read: give {'; '.join(r.title.lower() for r in READERS.values())}."
    )


def recognised(path: str) -> str:
    """Name of the reader that "auto" takes; "auto" itself where none does."""
    try:
        return next((name for name, reader in READERS.items() if reader.recognises(path)), "auto")
    except OSError as error:  # a folder that may not be looked into
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def probe(source: Source, count: int = 16) -> list[Problem]:
    """Problems among some items, evenly spread: a quick look before a long extraction."""
    uris = source.manifest.table["uri"]
    problems = []
    for uri in uris.iloc[:: max(1, len(uris) // count)].iloc[:count]:
        try:
            source.decode(uri)
        except UserError as error:
            problems.append(Problem(uri, str(error)))
    return problems


def _there(path: str, reader: str) -> None:
    """A sentence for a path that does not exist, or may not be opened."""
    if reader == "demo" or path.startswith(hub.PREFIX):
        return
    if not permitted(path).exists():
        names = ", ".join(DATASETS)
        raise UserError(
            f"There is nothing at {path}: give a folder, a list, a table, hf:org/name or a demo ({names})."
        )
