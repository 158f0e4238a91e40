"""A user's own vectors, ratings, descriptions, or copy of lang2vec: files read without trust."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gelda import npz, semantic_tables
from gelda.errors import UserError
from gelda.semantic_tables import close, key

LARGEST = 512 * 2**20  # bytes of a file, and of an npz once unpacked
BAR = "|"  # between the templates of a name
DESCRIPTIONS = (".csv", ".json")
RATINGS = {  # columns of the NRC VAD lexicon and its like, and those of Warriner et al. (2013)
    "valence": ("valence", "v.mean.sum"),
    "arousal": ("arousal", "a.mean.sum"),
    "dominance": ("dominance", "d.mean.sum"),
}
WORDS = ("name", "word", "term")  # of the names' column; the first one else
ABSENT = -1.0  # lang2vec's mark of a value that it does not have


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


def read_vad(path: str, names: Sequence[str]) -> torch.Tensor:
    """Valence, arousal and dominance fp32 [n, 3] of `names` from a CSV or TSV, whatever its scale.

    Columns by their header, in any order (RATINGS, WORDS), or four without one: name and the three. Further
    columns and rows are left alone.
    """
    file = _present(path)
    first, *lines = _lines(file)
    head = [cell.strip().casefold() for cell in first]
    wanted = [next((head.index(c) for c in columns if c in head), None) for columns in RATINGS.values()]
    word = next((head.index(c) for c in WORDS if c in head), 0)
    if wanted == [None] * 3 and len(first) == 4 and all(_number(cell) for cell in first[1:]):
        wanted, lines = [1, 2, 3], [first, *lines]
    if None in wanted:
        lacks = list(RATINGS)[wanted.index(None)]
        raise UserError(f"{file} has no column '{lacks}': it needs name, valence, arousal and dominance.")
    places = [place for place in wanted if place is not None]
    for line in lines:
        if len(line) <= max(word, *places):
            raise UserError(f"{file}: the row of '{line[0]}' ends before its last rating: mend or remove it.")
    table = []
    for row, name in zip(_rows(file, [line[word] for line in lines], names), names, strict=True):
        cells = [lines[row][place] for place in places]
        bad = next((cell for cell in cells if not _number(cell) or not np.isfinite(float(cell))), None)
        if bad is not None:
            raise UserError(f"{file}: '{bad}' in the row of '{name}' is not a number.")
        table.append([float(cell) for cell in cells])
    return torch.tensor(table, dtype=torch.float32).reshape(len(names), 3)


def read_lang2vec(path: str, names: Sequence[str], flag: str) -> torch.Tensor:
    """URIEL's properties fp32 [n, k] of languages, from a file of lang2vec (Littell et al., EACL 2017).

    Languages by ISO 639-3 code, or by a name that the shipped typology knows. Sources of one property are
    united by their maximum, as lang2vec's `A|B` does. A language that lacks a value is refused:
    feature_predictions.npz has them all, filled in from similar languages by URIEL's makers.
    """
    file = _present(path)
    arrays = npz.headers(file)
    shapes = {name: shape for name, (shape, _) in arrays.items()}
    data, languages, sources = (shapes.get(name, ()) for name in ("data", "langs", "sources"))
    if len(data) != 3 or data[::2] != (*languages, *sources) or arrays["data"][1].kind not in "fiu":
        raise UserError(f"{file} is no file of lang2vec: it needs langs [L], sources [S], data [L, F, S].")
    if sum(int(np.prod(shape)) * kind.itemsize for shape, kind in arrays.values()) > LARGEST:
        raise UserError(f"{file} unpacks to more than {LARGEST // 2**20} MB: take feature_predictions.npz.")
    listed = npz.texts(npz.array(file, "langs"), "langs", file).tolist()
    known = {code: row for row, code in enumerate(listed)}
    codes = [_iso(name, known, file, flag) for name in names]
    for place, code in enumerate(codes):
        if code in codes[:place]:
            first = names[codes.index(code)]
            raise UserError(
                f"'{first}' and '{names[place]}' are one language, {code}: no vector tells them apart."
            )
    table = npz.array(file, "data")[[known[code] for code in codes]].astype(np.float32).max(2, initial=ABSENT)
    for name, row in zip(names, table, strict=True):
        lost = int((~np.isfinite(row) | (row == ABSENT)).sum())
        if lost:
            raise UserError(
                f"{file} has no value for {lost} of {len(row)} properties of '{name}': take lang2vec's "
                "feature_predictions.npz, which has them filled in."
            )
    return torch.from_numpy(table)


def _iso(name: str, known: dict[str, int], file: Path, flag: str) -> str:
    """A language's code in the file: the name itself, or what the shipped typology says it is."""
    code = name.strip().casefold()
    if code not in known:
        languages = semantic_tables.index("typology")
        row = semantic_tables.find(name, languages)
        code = "" if row is None else str(semantic_tables.read("typology")["iso"][row])
        if code not in known:
            raise UserError(
                f"'{name}' is no language of {file}.{close(name, languages.loose)} Name it by its ISO 639-3 "
                f"code (deu, pol …), or give your own vectors with {flag} FILE."
            )
    return code


def texts_of(template: str, names: Sequence[str]) -> list[list[str]]:
    """The texts that stand for each name: the templates filled in, or its descriptions."""
    if template.lower().endswith(DESCRIPTIONS):
        return read_texts(template, names)
    return [[one.strip().replace("{}", n.replace("_", " ")) for one in template.split(BAR)] for n in names]


def check_template(template: str, names: Sequence[str] | None = None) -> None:
    """Every text around a name holds {} once; a file of descriptions can be read, and has all `names`."""
    if template.lower().endswith(DESCRIPTIONS):
        read_texts(template, names or ())
        return
    for one in template.split(BAR):
        if one.count("{}") != 1:
            part = f"'{one.strip()}' in it" if BAR in template else "it"
            raise UserError(f"text_template is '{template}': {part} needs {{}} once, where the name goes.")


def read_texts(path: str, names: Sequence[str]) -> list[list[str]]:
    """Descriptions of `names`: one each from a CSV with `name,description` rows, or a JSON object's phrases.

    In the JSON a name has a text or a list of texts.
    """
    file = _present(path)
    if file.suffix.lower() == ".json":
        described = _json(file)
        return [described[row][1] for row in _rows(file, [name for name, _ in described], names)]
    lines = _lines(file)
    if lines[0][0].strip().casefold() == "name":
        lines = lines[1:]
    for number, line in enumerate(lines, 1):
        if len(line) != 2 or not line[1].strip():
            raise UserError(f"{file}: row {number} is not 'name,description'; quote texts that hold commas.")
    known = [line[0] for line in lines]
    return [[lines[row][1].strip()] for row in _rows(file, known, names)]


class _Pairs(list[Any]):
    """A JSON object as (name, value) pairs: a name that stands twice is not lost."""


def _json(file: Path) -> list[tuple[str, list[str]]]:
    try:
        pairs = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=_Pairs)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{file} cannot be read as JSON ({error}): save it as UTF-8 JSON.") from error
    if not isinstance(pairs, _Pairs) or not pairs:
        raise UserError(f'{file} must hold one object, of names: {{"dog": ["a loyal animal", …], …}}.')
    found = []
    for name, value in pairs:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or isinstance(texts, _Pairs):
            raise UserError(f"{file}: '{name}' needs a text or a list of texts.")
        if any(not isinstance(text, str) or not text.strip() for text in texts):
            raise UserError(f"{file}: the texts of '{name}' must be words, and none may be empty.")
        found.append((name, [text.strip() for text in texts]))
    return found


def _present(path: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"There is no file {file}: give the path of your vectors, ratings or descriptions.")
    if file.stat().st_size > LARGEST:
        raise UserError(f"{file} is larger than {LARGEST // 2**20} MB: reduce the vectors first.")
    return file


def _lines(file: Path) -> list[list[str]]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as handle:
            first = handle.readline()
            handle.seek(0)
            reader = csv.reader(handle, delimiter="\t" if "\t" in first else ",")
            lines = [line for line in reader if any(cell.strip() for cell in line)]
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
