"""EmoBox manifests: one item of JSON a line (or one JSON), folds, label maps, several corpora as one source.

Form and folds: Ma et al., EmoBox, Interspeech 2024, github.com/emo-box/EmoBox (`data/<set>/fold_k/…`).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gelda import columns
from gelda.artifacts import read_json
from gelda.datasets import emotions
from gelda.datasets.assemble import Raw
from gelda.datasets.labels import label_map, mapped
from gelda.datasets.lists import read_text
from gelda.datasets.options import SourceOptions
from gelda.datasets.source import Problem
from gelda.errors import UserError
from gelda.paths import inside, permitted

AXES = ("emotion", "language")
SUFFIXES = (".jsonl", ".json")
FIELDS = {
    "uri": ("wav", "audio", "path"),
    "label": ("emo", "label", "emotion"),
    "subdomain": ("language", "lang"),
    "group": ("speaker", "spk", "speaker_id"),
    "start": ("start_time",),
    "end": ("end_time",),
    "split": ("split",),
}
# Languages of the corpora that speak one, as the README of EmoBox lists them: its manifests name none
LANGUAGES = {
    corpus: language
    for language, corpora in {
        "amharic": "ased",
        "bangla": "subesco",
        "english": "cremad emns emovdb enterface iemocap jlcorpus mead meld msppodcast ravdess savee tess",
        "french": "cafe oreau",
        "german": "emodb pavoque",
        "greek": "aesdd",
        "italian": "emovo emozionalmente",
        "mandarin": "casia m3ed mer2023",
        "persian": "shemo",
        "polish": "polish",
        "russian": "resd",
        "spanish": "mesd",
        "turkish": "turevdb",
        "urdu": "urdu",
    }.items()
    for corpus in corpora.split()
}
HEIGHT = 4  # folders above a manifest that its paths may start from
_FOLD = re.compile(r"(.+)_(train|valid|test)_fold_(\d+)")


@dataclass(frozen=True)
class Corpus:
    """name: of its folds' manifests, or of its one manifest (with suffix); fold: the one pointed at."""

    folder: Path
    name: str
    fold: int | None = None

    @property
    def title(self) -> str:
        return Path(self.name).stem if self.name.endswith(SUFFIXES) else self.name


def recognises(path: str) -> bool:
    """A manifest, a corpus' folder (with `fold_k` or manifests), or a folder of such folders."""
    try:
        return bool(_corpora(Path(path)))
    except OSError:
        return False


def read(path: str, options: SourceOptions) -> Raw:
    """All corpora that a path names; a corpus' language is the subdomain, its speakers are the groups."""
    corpora: list[Corpus] = []
    for one in (path, *options.beside):
        found = _corpora(permitted(one)) if permitted(one).exists() else []
        if not found:
            raise UserError(f"{one} is no EmoBox manifest: its items need 'wav' and 'emo'.")
        corpora += [corpus for corpus in found if corpus not in corpora]
    problems: list[Problem] = []
    notes: list[str] = []
    parts, bases = [], []
    for corpus in corpora:
        files = _files(corpus, options.fold, notes)
        rows = pd.concat([_table(file, split, problems) for split, file in files], ignore_index=True)
        own = corpus.folder / "label_map.json"
        if own.is_file() and options.label_map is None:
            rows = mapped(rows, label_map(str(own)), f"{corpus.title}'s label_map.json", problems, notes)
        if not options.group_pattern and not (rows["group"] != "").any():
            notes.append(
                f"{corpus.title} names no speakers, so that its splits may share them: give 'speaker' in "
                "each item, or a group_pattern that finds the speaker in its key."
            )
        bases.append(permitted(options.root) if options.root else _base(corpus.folder, rows))
        parts.append(rows)
    root = Path(os.path.commonpath(bases))
    for rows, base in zip(parts, bases, strict=True):
        relative = base.relative_to(root).as_posix()
        if relative != ".":
            rows["uri"] = relative + "/" + rows["uri"]
    keys = pd.concat([rows["id"].drop_duplicates() for rows in parts])
    if keys[keys != ""].duplicated().any():  # two corpora number their items alike
        parts = [rows.assign(id=f"{c.title}/" + rows["id"]) for c, rows in zip(corpora, parts, strict=True)]
    rows = pd.concat(parts, ignore_index=True)
    if options.emotions == "own" and options.label_map is None and len(corpora) > 1:
        notes += [
            f"{names} may be one emotion and stay apart: emotions 'joined' reads them as one."
            for names in emotions.alike(rows["label"])
        ]
    titles = list(dict.fromkeys(corpus.title for corpus in corpora))
    title = permitted(path).name if len(titles) > 1 and not options.beside else " + ".join(titles[:4])
    title += " …" if options.beside and len(titles) > 4 else ""
    return Raw(title, "audio", str(root), rows, True, None, tuple(problems), tuple(notes), AXES)


def _corpora(path: Path) -> list[Corpus]:
    """Every corpus at a path: a manifest, its folder, or the folder of such folders."""
    if path.is_file():
        if path.suffix not in SUFFIXES or not _is_manifest(path):
            return []
        fold = _FOLD.fullmatch(path.stem)
        return (
            [Corpus(path.parent.parent, fold[1], int(fold[3]))] if fold else [Corpus(path.parent, path.name)]
        )
    if _numbered(path):  # a fold's own folder
        return [one for file in sorted(path.glob("*_train_fold_*.json*"))[:1] for one in _corpora(file)]
    found: list[Corpus] = []
    below = sorted(f.name for f in os.scandir(path) if not f.name.startswith(".") and f.is_dir())
    for folder in [path, *(path / name for name in below if not _numbered(Path(name)))]:
        names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIXES))
        manifests = {Path(name).stem: name for name in names}  # of two forms of one manifest, .jsonl wins
        train = os.listdir(folder / "fold_1") if (folder / "fold_1").is_dir() else []
        folds = {m[1] for name in train if (m := _FOLD.fullmatch(Path(name).stem)) and m[2] == "train"}
        found += [Corpus(folder, name) for name in sorted(folds)]
        whole = [name for stem, name in manifests.items() if stem not in folds]
        found += [Corpus(folder, name) for name in whole if _is_manifest(folder / name)]
    return found


def _numbered(folder: Path) -> int | None:
    """k of a folder called fold_k."""
    number = folder.name.removeprefix("fold_")
    return int(number) if number != folder.name and number.isdigit() else None


def _files(corpus: Corpus, fold: int | None, notes: list[str]) -> list[tuple[str, Path]]:
    """(split, manifest) of a corpus: its fold's, or the one manifest."""
    folder, name = corpus.folder, corpus.name
    if name.endswith(SUFFIXES):
        if fold is not None:
            raise UserError(f"{folder / name} has no folds: leave out fold.")
        return [("", folder / name)]
    numbers = sorted(number for f in folder.iterdir() if (number := _numbered(f)) is not None)
    wanted = fold or corpus.fold or 1
    files = []
    for split in ("train", "valid", "test"):
        stem = folder / f"fold_{wanted}" / f"{name}_{split}_fold_{wanted}"
        files += [(split, f) for s in SUFFIXES if (f := stem.with_name(stem.name + s)).is_file()][:1]
    if not files:
        raise UserError(f"{folder} has no fold {wanted}: it has {', '.join(map(str, numbers))}.")
    if len(numbers) > 1:
        notes.append(
            f"{name}: fold {wanted} of {len(numbers)}; choose another with fold. A long tail "
            "is tested on it; a transfer makes its own folds where speakers are named, and tests each once."
        )
    return files


def _table(file: Path, split: str, problems: list[Problem]) -> pd.DataFrame:
    """The items of one manifest, in the names of `Raw`."""
    items = _items(file)
    kept = []
    for number, item in enumerate(items):
        if not isinstance(item, dict) or not isinstance(_first(item, "uri"), str):
            problems.append(Problem(f"{file.name}, item {number + 1}", "names no wav"))
        elif item.get("type", "raw") != "raw":
            problems.append(Problem(str(item.get("key", _first(item, "uri"))), "holds features, not sound"))
        else:
            kept.append(item)
    rows = pd.DataFrame(
        {
            "id": [str(item.get("key", "")) for item in kept],
            "uri": [str(_first(item, "uri")) for item in kept],
            "label": [_text(_first(item, "label")) for item in kept],
            "subdomain": [_language(item) for item in kept],
            "group": [_speaker(item) for item in kept],
            "split": [_text(_first(item, "split")) or split for item in kept],
        }
    )
    times = {name: pd.Series([_first(i, name) for i in kept], dtype=object) for name in ("start", "end")}
    rows = rows.assign(**_further(kept))
    return rows.assign(**times) if any(t.notna().any() for t in times.values()) else rows


def _further(items: list[dict[str, Any]]) -> dict[str, Any]:
    """What items say beside the FIELDS, one value each: gender, duration, corpus …"""
    names: dict[str, None] = {}
    for item in items:
        names |= dict.fromkeys(k for k, v in item.items() if isinstance(v, str | int | float))
    ours = {name for known in FIELDS.values() for name in known} | {"key", "type"}
    more = [name for name in names if name not in ours][: columns.MOST]
    found = {name: pd.Series([item.get(name) for item in items], dtype=object) for name in more}
    return columns.taken(found, ())


def _language(item: dict[str, Any]) -> str:
    """The item's language, or its corpus' one, or the corpus."""
    corpus = _text(item.get("dataset"))
    return _text(_first(item, "subdomain")) or LANGUAGES.get(corpus.lower(), corpus)


def _speaker(item: dict[str, Any]) -> str:
    """Speakers are numbered anew in every corpus."""
    speaker = _text(_first(item, "group"))
    return f"{item['dataset']}/{speaker}" if speaker and item.get("dataset") else speaker


def _first(item: dict[str, Any], column: str) -> Any:
    return next((item[name] for name in FIELDS[column] if item.get(name) is not None), None)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _items(file: Path) -> list[Any]:
    """Items of JSON Lines, of a JSON list, or of a JSON object key → item."""
    text = read_text(file).strip()
    if file.suffix == ".json" or text.startswith("["):
        values = read_json(file)
        if isinstance(values, dict):
            return [{"key": key, **item} if isinstance(item, dict) else item for key, item in values.items()]
        return values if isinstance(values, list) else []
    items = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                items.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(f"{file}, line {number} is not valid JSON ({error.msg}): mend it.") from error
    return items


def _is_manifest(file: Path) -> bool:
    """Whether the first item, looked for in the first 64 kB, has a wav and a label."""
    with open(file, "rb") as stream:
        head = stream.read(65_536).decode("utf-8-sig", "ignore")
    start = re.search(r"\{[^{}]*\}", head)
    try:
        item = json.loads(start[0]) if start else None
    except json.JSONDecodeError:
        return False
    return isinstance(item, dict) and all(_first(item, c) is not None for c in ("uri", "label"))


def _base(folder: Path, rows: pd.DataFrame) -> Path:
    """The folder that a corpus' paths start from: its own or one above, by the first file that is there."""
    first = rows["uri"].head(50).tolist()
    for base in [folder, *folder.parents][: HEIGHT + 1]:
        for uri in first:
            try:
                if inside(base, uri).is_file():
                    return base
            except UserError:
                break
    return folder
