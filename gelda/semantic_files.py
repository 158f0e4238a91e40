"""A user's own semantic vectors or descriptions: CSV or npz files, read without trust."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gelda.errors import UserError
from gelda.semantic_tables import close, key

LARGEST = 512 * 2**20  # bytes of a file, and of an npz once unpacked


def read_vectors(path: str, names: Sequence[str]) -> torch.Tensor:
    """Vectors fp32 [n, d] of `names` from `name,v1,v2,…` rows or an npz with `names` and `vectors`.

    Names may differ in case, `_`, `-` and articles; further rows of the file are left alone.
    """
    file = _present(path)
    known, table = _npz(file) if file.suffix.lower() == ".npz" else _csv(file)
    rows = _rows(file, known, names)
    made = torch.from_numpy(table[rows].astype(np.float32))
    if not torch.isfinite(made).all():
        name = names[int((~torch.isfinite(made).all(1)).nonzero()[0])]
        raise UserError(f"{file}: the vector of '{name}' holds NaN or infinity: mend that row.")
    return made


def read_texts(path: str, names: Sequence[str]) -> list[str]:
    """Descriptions of `names` from a CSV with `name,description` rows."""
    file = _present(path)
    lines = _lines(file)
    if lines[0][0].strip().casefold() == "name":
        lines = lines[1:]
    for number, line in enumerate(lines, 1):
        if len(line) != 2 or not line[1].strip():
            raise UserError(f"{file}: row {number} is not 'name,description'; quote texts that hold commas.")
    known = [line[0] for line in lines]
    return [lines[row][1].strip() for row in _rows(file, known, names)]


def _present(path: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"There is no file {file}: give a CSV or npz of semantic vectors.")
    if file.stat().st_size > LARGEST:
        raise UserError(f"{file} is larger than {LARGEST // 2**20} MB: reduce the vectors first.")
    return file


def _lines(file: Path) -> list[list[str]]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as handle:
            lines = [line for line in csv.reader(handle) if any(cell.strip() for cell in line)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as CSV ({error}): save it as UTF-8 CSV.") from error
    if not lines:
        raise UserError(f"{file} is empty: it needs rows of 'name,v1,v2,…'.")
    return lines


def _csv(file: Path) -> tuple[list[str], np.ndarray]:
    lines = _lines(file)
    if lines[0][0].strip().casefold() == "name" or not any(_number(cell) for cell in lines[0][1:]):
        header, lines = lines[0], lines[1:]
        if not lines:
            raise UserError(f"{file} has a header but no rows of 'name,v1,v2,…'.")
    else:
        header = lines[0]
    width = len(header)
    if width < 2:
        raise UserError(f"{file} has one column: it needs 'name,v1,v2,…', separated by commas.")
    table = np.empty((len(lines), width - 1))
    for row, line in enumerate(lines):
        if len(line) != width:
            raise UserError(
                f"{file}: the row of '{line[0]}' has {len(line)} columns where others have {width}."
            )
        for column, cell in enumerate(line[1:]):
            if not _number(cell):
                raise UserError(
                    f"{file}: '{cell}' in the row of '{line[0]}', column {column + 2}, is not a number."
                )
            table[row, column] = float(cell)
    return [line[0] for line in lines], table


def _npz(file: Path) -> tuple[list[str], np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST:
            raise UserError(f"{file} unpacks to more than {LARGEST // 2**20} MB: reduce the vectors first.")
        with np.load(file, allow_pickle=False) as data:
            if missing := {"names", "vectors"} - set(data.files):
                raise UserError(f"{file} has no array {' and no '.join(sorted(missing))}: it needs both.")
            names, table = data["names"], data["vectors"]
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(
            f"{file} cannot be read as npz ({error}): save it without pickled objects."
        ) from error
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise UserError(f"{file}: 'names' must be a list of texts, not {names.dtype} {names.shape}.")
    if table.ndim != 2 or table.shape[0] != len(names) or table.shape[1] < 1 or table.dtype.kind not in "fiu":
        raise UserError(
            f"{file}: 'vectors' must be numbers [{len(names)}, d], one row a name, not "
            f"{table.dtype} {table.shape}."
        )
    return [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in names], table


def _rows(file: Path, known: Sequence[str], names: Sequence[str]) -> list[int]:
    """The row of each name: as written, else by its normalised form."""
    exact: dict[str, int] = {}
    loose: dict[str, list[int]] = {}
    for row, name in enumerate(known):
        if name.strip() in exact:
            raise UserError(f"{file}: '{name.strip()}' stands there twice: keep one row a name.")
        exact[name.strip()] = row
        loose.setdefault(key(name), []).append(row)
    rows = []
    missing = [name for name in names if name not in exact and key(name) not in loose]
    if missing:
        rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"{file} has no row for '{missing[0]}'{rest}.{close(missing[0], loose)} Add a row for every name."
        )
    for name in names:
        if name not in exact and len(loose[key(name)]) > 1:
            raise UserError(f"{file}: several rows could be '{name}': write one of them exactly so.")
        rows.append(exact[name] if name in exact else loose[key(name)][0])
    return rows


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
