"""CSV, TSV and Parquet with one item a row: files, segments of recordings, or texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from gelda import columns as further
from gelda.artifacts import read_table
from gelda.datasets.assemble import Raw
from gelda.datasets.items import text_uri
from gelda.datasets.lists import LARGEST, media_of
from gelda.datasets.options import Columns, SourceOptions
from gelda.errors import UserError, nearest
from gelda.paths import permitted

SUFFIXES = (".csv", ".tsv", ".parquet")
USUAL = {
    "id": "id key item_id",
    "path": "path file filename file_name filepath file_path image image_path wav audio audio_path uri",
    "text": "text sentence transcript utterance",
    "label": "label class emotion emo category class_name target",
    "subdomain": "subdomain domain language lang style locale",
    "group": "group speaker speaker_id spk client_id patient user",
    "split": "split subset partition",
    "start": "start start_time",
    "end": "end end_time",
}


def recognises(path: str) -> bool:
    """A table, or a folder with `metadata.csv` (or .tsv, .parquet) in it that names the classes."""
    file = file_of(Path(path))
    return file is not None and (file == Path(path) or not beside_folders(Path(path), file))


def beside_folders(folder: Path, file: Path) -> bool:
    """Whether a folder's table names no classes, and folders may: it then tells more of their files."""
    names = {str(name).lower() for name in header(file)}
    return names.isdisjoint(USUAL["label"].split()) and any(entry.is_dir() for entry in folder.iterdir())


def read(path: str, options: SourceOptions) -> Raw:
    """The rows of a table; columns are those of `options.columns`, else the usual names."""
    file = file_of(permitted(path))
    if file is None:
        raise UserError(f"{path} is no table: a .csv, .tsv or .parquet file is wanted.")
    table = load(file)
    columns, notes = chosen(options.columns, list(table.columns), file.name)
    text = columns.pop("text", None)
    if "path" in columns:
        text = None  # a transcript beside files is one column more
    rows = pd.DataFrame({_raw(ours): table[theirs] for ours, theirs in columns.items()})
    rows = rows.assign(**further.taken(table, [*columns.values(), text]))
    for name in ("uri", "label", "subdomain", "group", "split", "id"):
        if name in rows:
            rows[name] = rows[name].astype("str").where(rows[name].notna(), "")
    if text is not None:
        rows["uri"] = [text_uri(str(value)) for value in table[text].fillna("")]
        rows["id"] = rows["id"] if "id" in rows else [f"row-{number}" for number in range(len(rows))]
        return Raw(file.stem, "text", str(file.parent), rows, False, notes=tuple(notes))
    root = permitted(options.root) if options.root else file.parent
    return Raw(file.stem, media_of(rows["uri"]), str(root), rows, notes=tuple(notes))


def chosen(asked: Columns, present: list[str], where: str) -> tuple[dict[str, str], list[str]]:
    """Our names of columns → the table's: those asked for, else the usual ones; and a note of the guesses."""
    lower = {name.lower(): name for name in reversed(present)}
    columns, guessed = {}, []
    for ours, usual in USUAL.items():
        theirs = getattr(asked, ours)
        if theirs is not None:
            if theirs not in present:
                raise UserError(f"{where} has no column '{theirs}'.{nearest(theirs, present)}")
            columns[ours] = theirs
        elif found := next((lower[name] for name in usual.split() if name in lower), None):
            columns[ours] = found
            guessed.append(f"{ours} '{found}'")
    if asked.text and not asked.path:
        columns.pop("path", None)
    wanted = [] if "label" in columns else ["label"]
    wanted += [] if "path" in columns or "text" in columns else ["path or text"]
    if wanted:
        raise UserError(
            f"{where} has no column for {' and '.join(wanted)}: say which is which with columns "
            f"(there are {', '.join(map(str, present[:20]))})."
        )
    return columns, [f"Columns of {where}: {', '.join(guessed)}."] if guessed else []


def _raw(name: str) -> str:
    return "uri" if name == "path" else name


def file_of(path: Path) -> Path | None:
    """A table itself, or the one that describes what lies in a folder."""
    files = [path] if path.is_file() else [path / f"metadata{suffix}" for suffix in SUFFIXES]
    return next((file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()), None)


def header(file: Path) -> list[str]:
    """Names of a table's columns."""
    if file.suffix.lower() == ".parquet":
        return _parquet_names(file)
    return list(_text(file, nrows=0).columns)


def load(file: Path) -> pd.DataFrame:
    """All of a table, texts as they are; what cannot be read is a sentence."""
    if file.stat().st_size > LARGEST:
        raise UserError(f"{file} is over {LARGEST / 1e9:.0f} GB: too large for a table of items.")
    if file.suffix.lower() == ".parquet":
        return _parquet(file)
    return _text(file)


def _text(file: Path, nrows: int | None = None) -> pd.DataFrame:
    options: dict[str, Any] = {"dtype": "str", "keep_default_na": False, "encoding": "utf-8-sig"}
    try:
        with open(file, encoding="utf-8-sig") as stream:
            head = stream.readline()
        separator = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=head.count)
        return pd.read_csv(file, sep=separator, nrows=nrows, **options)
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError) as error:
        raise UserError(f"{file} cannot be read as a table ({str(error).strip()}).") from error


def _parquet_names(file: Path) -> list[str]:
    import pyarrow.parquet as parquet

    try:
        return parquet.read_schema(file).names
    except (OSError, ValueError):
        return []  # `load` says what is wrong with it


def _parquet(file: Path) -> pd.DataFrame:
    table = read_table(file)
    if any(str(name).startswith("z_") for name in table.columns):
        raise UserError(f"{file} holds ready latents (z_…): give it to `gelda import` or `gelda compare`.")
    return table
