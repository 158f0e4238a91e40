"""Image and sound folders: `class/…`, `domain/class/…`, `split/class/…`, `split/domain/class/…`."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pandas as pd

from gelda.datasets.assemble import SPLIT_NAMES, Raw
from gelda.datasets.options import SourceOptions
from gelda.datasets.source import Problem
from gelda.errors import UserError
from gelda.media import SUFFIXES
from gelda.paths import inside, permitted

LEVELS = ("class", "domain", "split", "group", "*")
DEEPEST = 8  # levels of folders that are looked into
COLUMN = {"class": "label", "domain": "subdomain", "split": "split", "group": "group"}


def recognises(path: str) -> bool:
    return os.path.isdir(path)


def read(path: str, options: SourceOptions) -> Raw:
    """Every picture or recording below a folder, with what its folders say of it."""
    base = permitted(path)
    files, empty, problems = _walk(base)
    suffixes = [os.path.splitext(file)[1].lower() for *_, file in files]
    counts = Counter(suffixes)
    media = max(("image", "audio"), key=lambda kind: sum(counts[s] for s in SUFFIXES[kind]))
    for suffix, count in sorted(counts.items()):
        if suffix not in SUFFIXES[media]:
            wanted = "a picture" if media == "image" else "a recording"
            problems.append(Problem(f"{count} files '*{suffix}'", f"not {wanted}, by the ending of the name"))
    files = [file for file, suffix in zip(files, suffixes, strict=True) if suffix in SUFFIXES[media]]
    if not files:
        raise UserError(f"{path} holds no pictures or recordings, in itself or in folders below it.")
    levels, notes = _levels(files, options.layout, path)
    high = [file for file in files if len(file) <= len(levels)]
    problems += [Problem("/".join(file), "lies above the folders of the classes") for file in high]
    files = sorted(file for file in files if len(file) > len(levels))
    rows = pd.DataFrame({"uri": ["/".join(file) for file in files]})
    for position, level in enumerate(levels):
        if level != "*":
            rows[COLUMN[level]] = [file[position] for file in files]
    at = levels.index("class")
    classes = tuple(sorted({folder[at] for folder in empty if len(folder) > at} | set(rows["label"])))
    return Raw(base.name, media, str(base), rows, False, classes, tuple(problems), tuple(notes))


def _walk(base: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], list[Problem]]:
    """Parts of every file's path, the folders that hold nothing, and links that lead outside."""
    files: list[tuple[str, ...]] = []
    empty: list[tuple[str, ...]] = []
    problems: list[Problem] = []
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        folder = waiting.pop()
        below = 0
        try:
            entries = os.scandir(base.joinpath(*folder))
        except OSError as error:
            problems.append(Problem("/".join(folder) or str(base), f"cannot be read ({error.strerror})"))
            continue
        with entries:
            for entry in entries:
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                parts = (*folder, entry.name)
                if entry.is_symlink() and not _leads_inside(base, "/".join(parts)):
                    problems.append(Problem("/".join(parts), f"is a link that leads out of {base}"))
                    continue
                below += 1
                if not entry.is_dir():
                    files.append(parts)
                elif len(parts) < DEEPEST:
                    waiting.append(parts)
        if not below:
            empty.append(folder)
    return files, empty, problems


def _leads_inside(base: Path, relative: str) -> bool:
    try:
        return inside(base, relative).exists()
    except UserError:
        return False


def _levels(files: list[tuple[str, ...]], layout: str | None, path: str) -> tuple[list[str], list[str]]:
    """What each level of folders is: as asked for, or by depth and by names of splits."""
    if layout:
        levels = [level.strip() for level in layout.strip("/").split("/")]
        odd = [level for level in levels if level not in LEVELS]
        named = [level for level in levels if level != "*"]
        if odd or levels.count("class") != 1 or len(set(named)) < len(named):
            raise UserError(
                f"The layout '{layout}' must name class once, and domain, split, group at most once, or * "
                "for a level that says nothing: for example 'domain/class'."
            )
        return levels, []
    depths = Counter(len(file) - 1 for file in files)
    depth = depths.most_common(1)[0][0]
    tops = {file[0] for file in files if len(file) > 1}
    levels = ["split"] if depth > 1 and all(top.lower() in SPLIT_NAMES for top in tops) else []
    known = {1: ["class"], 2: ["domain", "class"]}.get(depth - len(levels))
    if known is None:
        found = "no folders" if depth == 0 else f"{depth} levels of folders"
        raise UserError(
            f"{path} has {found}: pictures or recordings are wanted in 'class/…', 'domain/class/…' or either "
            "below train and test. Say what the levels are with layout, for example 'domain/class/*'."
        )
    levels += known
    notes = [f"Folders are read as {'/'.join(levels)}."]
    if known == ["domain", "class"]:
        at = len(levels) - 2
        pairs = {(file[at], file[at + 1]) for file in files if len(file) > at + 1}
        shared = Counter(name for _, name in pairs)
        if len({domain for domain, _ in pairs}) > 1 and max(shared.values()) == 1:
            notes.append(
                "No class occurs in two domains: if the upper folders are the classes, set the layout to "
                "'class/*'."
            )
    return levels, notes
