"""Long-tail lists: `relative/path label` a line, in `X_train.txt`, `X_val.txt` and `X_test.txt`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from gelda.datasets.assemble import LISTED, SPLIT_NAMES, Raw
from gelda.datasets.options import SourceOptions
from gelda.datasets.source import Problem
from gelda.errors import UserError
from gelda.media import SUFFIXES
from gelda.paths import permitted

LARGEST = 2_000_000_000  # bytes of one list or manifest
NAME_FILES = ("classnames.txt", "class_names.txt", "classes.txt")
_SPLIT = re.compile(rf"(.*?)(?:^|[_\-.])({'|'.join(name for name in SPLIT_NAMES if name)})$", re.IGNORECASE)
_LINE = re.compile(r"\S.*[ \t]\S+")


def recognises(path: str) -> bool:
    """A .txt whose first line is a file's name and a label, or a folder with such lists by their split."""
    try:
        return bool(_lists(Path(path)))
    except OSError:
        return False


def read(path: str, options: SourceOptions) -> Raw:
    """The lists of all splits as one; a label is a number into the class names, or a name."""
    lists = _lists(permitted(path))
    if not lists:
        raise UserError(f"{path} is no list: its lines must be 'relative/path label'.")
    parts, problems = [], []
    for split, file in lists:
        lines = [line.rsplit(None, 1) for line in read_text(file).splitlines()]
        bad = [number for number, line in enumerate(lines, 1) if len(line) == 1]
        problems += [Problem(f"{file.name}, line {number}", "is not 'path label'") for number in bad[:LISTED]]
        named = [line for line in lines if len(line) == 2]
        parts.append(pd.DataFrame(named, columns=["uri", "label"], dtype="str").assign(split=split))
    rows = pd.concat(parts, ignore_index=True)
    folder = lists[0][1].parent
    name = _SPLIT.match(lists[0][1].stem)
    names, notes = _class_names(rows, folder, options.class_names)
    if names is not None:
        rows["label"] = rows["label"].map(names)
    return Raw(
        name[1] if name and name[1] else lists[0][1].stem,
        media_of(rows["uri"]),
        str(permitted(options.root) if options.root else folder),
        rows,
        class_order=tuple(dict.fromkeys(names.values())) if names is not None else None,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def read_text(file: Path) -> str:
    """A list's text; a huge or undecodable file is a sentence."""
    try:
        if file.stat().st_size > LARGEST:
            raise UserError(f"{file} is over {LARGEST / 1e9:.0f} GB: too large for a list.")
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error


def media_of(uris: pd.Series) -> str:
    """image or audio, by the endings of most names."""
    endings = [os.path.splitext(uri)[1].lower() for uri in uris.head(10_000)]
    return max(("image", "audio"), key=lambda kind: sum(ending in SUFFIXES[kind] for ending in endings))


def _lists(path: Path) -> list[tuple[str, Path]]:
    """(split, file) of a list and its siblings, train first."""
    if path.is_dir():
        found = [
            f for f in sorted(path.glob("*.txt")) if (m := _SPLIT.match(f.stem)) and _of(m[2]) == "train"
        ]
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise UserError(f"{path} holds several lists ({names}): give one of them.")
        return _lists(found[0]) if found else []
    if path.suffix != ".txt" or not path.is_file() or not _is_list(path):
        return []
    own = _SPLIT.match(path.stem)
    if not own:
        return [("", path)]
    siblings: dict[str, Path] = {}
    for file in sorted(path.parent.glob("*.txt")):
        match = _SPLIT.match(file.stem)
        if match and match[1] == own[1] and _is_list(file):
            siblings.setdefault(_of(match[2]), file)
    siblings[_of(own[2])] = path
    return [(split, siblings[split]) for split in ("train", "valid", "test") if split in siblings]


def _of(name: str) -> str:
    return SPLIT_NAMES[name.lower()]


def _is_list(file: Path) -> bool:
    with open(file, "rb") as stream:
        first = stream.readline(10_000)
    line = first.decode("utf-8-sig", "replace").strip()
    found = _LINE.fullmatch(line)
    return bool(found) and os.path.splitext(line.replace("\t", " ").rpartition(" ")[0].strip())[1] != ""


def _class_names(
    rows: pd.DataFrame, folder: Path, given: str | None
) -> tuple[dict[str, str] | None, list[str]]:
    """Label → class: from a file of names, else from the items' folders; None where labels are names."""
    if not all(label.isdecimal() for label in rows["label"].unique()):
        return None, []
    labels = sorted(rows["label"].unique(), key=int)
    folders = [uri.rpartition("/")[0].rpartition("/")[2] for uri in rows["uri"].tolist()]
    pairs = set(zip(rows["label"].tolist(), folders, strict=True))
    found = {folder for _, folder in pairs} - {""}
    folder_of = dict(pairs) if len(pairs) == len(labels) == len(found) else {}
    file = (
        permitted(given) if given else next((folder / n for n in NAME_FILES if (folder / n).is_file()), None)
    )
    if file is None:
        if folder_of:
            return {label: folder_of[label] for label in labels}, ["Classes are called as their folders."]
        return {label: f"class {label}" for label in labels}, [
            "Classes have numbers only: give a file of names, one a line, as class_names."
        ]
    lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    heads = {line.split()[0]: line.partition(" ")[2].strip() or line for line in lines}
    if folder_of and set(folder_of.values()) <= set(heads):  # "n01440764 tench": by the folder, in any order
        return _distinct({label: heads[folder_of[label]] for label in labels}), [
            f"Classes are named by {file.name}."
        ]
    lines = [re.sub(r"^n\d{8}\s+", "", line) for line in lines]
    if int(labels[-1]) >= len(lines):
        raise UserError(
            f"{file} has {len(lines)} names, and the labels go up to {labels[-1]}: a name a line, from 0."
        )
    return _distinct({str(n): line for n, line in enumerate(lines)} | {k: lines[int(k)] for k in labels}), [
        f"Classes are named by {file.name}."
    ]


def _distinct(names: dict[str, str]) -> dict[str, str]:
    """Names that occur for two labels (ImageNet has two cranes) get the label's number."""
    counts = pd.Series(list(names.values())).value_counts()
    return {label: name if counts[name] == 1 else f"{name} ({label})" for label, name in names.items()}
