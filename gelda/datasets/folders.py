"""Image and sound folders: `class/…`, `domain/class/…`, `split/class/…`, `split/domain/class/…`.

A `metadata.csv` (.tsv, .parquet) in the folder tells more of its files, each by its path from there: further
columns, as `datasets` has them beside an image folder.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pandas as pd

from gelda import columns as further
from gelda.datasets import tables
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
    tree, problems = _walk(base)
    sidecar = tables.file_of(base)
    if sidecar is not None and sidecar.name in tree.get((), ()):
        tree[()].remove(sidecar.name)
    else:
        sidecar = None  # a link that leads out of the folder, which is among the problems
    counts = Counter(_suffix(name) for names in tree.values() for name in names)
    media = max(("image", "audio"), key=lambda kind: sum(counts[s] for s in SUFFIXES[kind]))
    for suffix, count in sorted(counts.items()):
        if suffix not in SUFFIXES[media]:
            wanted = "a picture" if media == "image" else "a recording"
            problems.append(Problem(f"{count} files '*{suffix}'", f"not {wanted}, by the ending of the name"))
    empty = [folder for folder, names in tree.items() if not names]
    tree = {
        f: kept for f, names in tree.items() if (kept := [n for n in names if _suffix(n) in SUFFIXES[media]])
    }
    if not tree:
        raise UserError(f"{path} holds no pictures or recordings, in itself or in folders below it.")
    levels, notes = _levels({folder: len(names) for folder, names in tree.items()}, options.layout, path)
    columns: dict[str, list[str]] = {"uri": [], **{COLUMN[level]: [] for level in levels if level != "*"}}
    for folder, names in sorted(tree.items()):
        files = ["/".join((*folder, name)) for name in sorted(names)]
        if len(folder) < len(levels):
            problems += [Problem(file, "lies above the folders of the classes") for file in files]
            continue
        columns["uri"] += files
        for level, part in zip(levels, folder, strict=False):
            if level != "*":
                columns[COLUMN[level]] += [part] * len(files)
    at = levels.index("class")
    classes = tuple(sorted({folder[at] for folder in empty if len(folder) > at} | set(columns["label"])))
    rows = pd.DataFrame(columns, dtype="str")
    if sidecar is not None:
        rows = _described(rows, sidecar, notes)
    return Raw(base.name, media, str(base), rows, False, classes, tuple(problems), tuple(notes))


def _described(rows: pd.DataFrame, sidecar: Path, notes: list[str]) -> pd.DataFrame:
    """Rows with what the table beside them says of each; a file that it does not name has none of it."""
    table = tables.load(sidecar)
    path = next((n for n in table.columns if str(n).lower() in tables.USUAL["path"].split()), None)
    if path is None:
        notes.append(f"{sidecar.name} has no column of paths (file_name): it is not used.")
        return rows
    keyed = table.set_index(table[path].astype("str").str.strip().str.removeprefix("./"))
    keyed = keyed[~keyed.index.duplicated()]
    known = rows["uri"].isin(keyed.index)
    notes.append(f"{sidecar.name} describes {int(known.sum())} of {len(rows)} files.")
    more = keyed.reindex(rows["uri"]).set_index(rows.index)
    return rows.assign(**further.taken(more, [path]))


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return (dot + suffix).lower() if stem else ""


def _walk(base: Path) -> tuple[dict[tuple[str, ...], list[str]], list[Problem]]:
    """Names of the files in every folder without folders of its own or with files, by the parts of its path;
    links that lead outside."""
    tree: dict[tuple[str, ...], list[str]] = {}
    problems: list[Problem] = []
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        folder = waiting.pop()
        names, below = [], 0
        try:
            entries = os.scandir(base.joinpath(*folder))
        except OSError as error:
            problems.append(Problem("/".join(folder) or str(base), f"cannot be read ({error.strerror})"))
            continue
        with entries:
            for entry in entries:
                if entry.name.startswith((".", "__MACOSX")):
                    continue
                if entry.is_symlink() and not _leads_inside(base, "/".join((*folder, entry.name))):
                    reason = f"is a link that leads out of {base}, or nowhere"
                    problems.append(Problem("/".join((*folder, entry.name)), reason))
                elif not entry.is_dir():
                    names.append(entry.name)
                elif len(folder) < DEEPEST:
                    below += 1
                    waiting.append((*folder, entry.name))
        if names or not below:
            tree[folder] = names
    return tree, problems


def _leads_inside(base: Path, relative: str) -> bool:
    try:
        return inside(base, relative).exists()
    except UserError:
        return False


def _levels(
    folders: dict[tuple[str, ...], int], layout: str | None, path: str
) -> tuple[list[str], list[str]]:
    """What each level is, as asked for, or by depth and names of splits; folders → their number of files."""
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
    depths: Counter[int] = Counter()
    for folder, count in folders.items():
        depths[len(folder)] += count
    depth = depths.most_common(1)[0][0]
    tops = {folder[0] for folder in folders if folder}
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
        pairs = {folder[at : at + 2] for folder in folders if len(folder) > at + 1}
        shared = Counter(name for _, name in pairs)
        if len({domain for domain, _ in pairs}) > 1 and max(shared.values()) == 1:
            notes.append(
                "No class occurs in two domains: if the upper folders are the classes, set the layout to "
                "'class/*'."
            )
    return levels, notes
