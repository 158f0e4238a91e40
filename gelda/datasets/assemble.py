"""From the rows that a reader found to a checked Source; whole columns at a time."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from gelda import columns
from gelda.datasets import emotions
from gelda.datasets.items import source_decoder
from gelda.datasets.labels import class_names, kept_classes, label_map, mapped, unlike
from gelda.datasets.options import SourceOptions
from gelda.datasets.source import AXES, Problem, Source
from gelda.datasets.splitting import find_leaks, split_by_group
from gelda.errors import UserError
from gelda.manifest import Manifest
from gelda.paths import inside, permitted

SPLIT_NAMES = {
    name: split
    for split, names in {
        "train": "train training",
        "valid": "valid val validation dev",
        "test": "test testing",
    }.items()
    for name in names.split()
} | {"": ""}
LISTED = 10_000  # problems of one kind that are listed one by one


@dataclass(frozen=True)
class Raw:
    """What a reader found: `rows` with columns uri and label (str), and where there are such, subdomain,
    group, split, id (str), start, end (float, seconds), and further ones (see `gelda.columns`).

    files: uris are paths under root and are checked; class_order: all class names in the data's own order.
    """

    name: str
    media: str
    root: str
    rows: pd.DataFrame
    files: bool = True
    class_order: tuple[str, ...] | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = field(default=())
    axes: tuple[str, str] = AXES


def assemble(raw: Raw, options: SourceOptions) -> Source:
    """A Source of every row that can be used; the others are its problems."""
    if not len(raw.rows):
        first = f" ({raw.problems[0].item}: {raw.problems[0].reason})" if raw.problems else ""
        raise UserError(f"{raw.name} names no item that can be used{first}.")
    rows, problems, notes = raw.rows.reset_index(drop=True), list(raw.problems), list(raw.notes)
    if raw.files:
        rows = _existing(rows, raw, problems)
    rows["label"] = rows["label"].fillna("").str.strip()
    rows = without(rows, rows["label"] == "", rows["uri"], "has no label", problems)
    if options.label_map is not None:
        rows = mapped(rows, label_map(options.label_map), "the label map", problems, notes)
    if options.emotions != "own":
        rows = emotions.joined(rows, notes)
        four = options.emotions == "four" and not options.classes
        options = options.model_copy(update={"classes": emotions.FOUR}) if four else options
    rows = kept_classes(rows, options.classes, notes)
    rows = _named(rows, problems)
    if not len(rows):
        raise UserError(
            f"{raw.name}: none of its items can be used ({problems[0].item}: {problems[0].reason})."
        )
    _columns(rows, options, notes)
    rows = _complete(rows, notes) if options.complete else rows
    grouped = bool((rows["group"] != rows["id"]).any())
    classes = class_names(rows["label"], raw.class_order, options, notes)
    subdomains = tuple(sorted(rows["subdomain"].unique()))
    table = pd.DataFrame(
        {
            "id": rows["id"],
            "uri": rows["uri"],
            "label": pd.Categorical(rows["label"], list(classes)).codes.astype(np.int64),
            "subdomain": pd.Categorical(rows["subdomain"], list(subdomains)).codes.astype(np.int64),
            "group": rows["group"],
        }
    ).reset_index(drop=True)
    if (rows["split"] != "").any():
        table["split"] = rows["split"].to_numpy()
    elif options.test_share:
        table["split"] = split_by_group(table, options.test_share, options.seed, grouped)
        notes.append(
            f"The data name no split: {(table['split'] == 'test').mean():.0%} of the items, by "
            f"{'group' if grouped else 'item'} and seed {options.seed}, are for testing."
        )
    table = columns.joined(table, columns.tidied(rows, notes))
    manifest = Manifest(table, classes, subdomains, raw.name)
    decode = source_decoder(raw.media, raw.root)
    source = Source(raw.name, raw.media, manifest, raw.root, decode, tuple(problems), (), grouped, raw.axes)
    return replace(source, notes=(*notes, *unlike(manifest), *find_leaks(source)))


def _complete(rows: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The rows of subdomains that hold every class."""
    found = rows.groupby("subdomain")["label"].nunique()
    lacking = found.index[found < rows["label"].nunique()]
    if len(lacking) == len(found):
        raise UserError("Every subdomain lacks one of the classes: name fewer of them with classes.")
    if len(lacking):
        notes.append(f"Left out, since they lack one of the classes: {', '.join(lacking)}.")
    return rows[~rows["subdomain"].isin(lacking)]


def without(
    rows: pd.DataFrame, bad: pd.Series, items: pd.Series, reason: str, problems: list[Problem]
) -> pd.DataFrame:
    """The rows that are not `bad`; the bad ones become problems (one by one up to a limit)."""
    if not bad.any():
        return rows
    names = items[bad]
    problems += [Problem(str(name), reason) for name in names.iloc[:LISTED]]
    if len(names) > LISTED:
        problems.append(Problem(f"{len(names) - LISTED} more items", reason))
    return rows[~bad].copy()


def _existing(rows: pd.DataFrame, raw: Raw, problems: list[Problem]) -> pd.DataFrame:
    """Rows whose files exist under the root, their paths made relative; one listing per folder."""
    named = rows["uri"].fillna("").str.strip()
    places = pd.Series([f"row {number}" for number in range(1, len(rows) + 1)], rows.index)
    rows = without(rows, named == "", places, "names no file", problems)
    named = named[rows.index]
    below = named.str.removeprefix(f"{raw.root}/")
    rows["uri"] = below.str.lstrip("/")  # lists of Places start every path with a slash
    outside = below.str.startswith("/")
    odd = rows["uri"].str.contains(r"\\|\.\.|//|(?:^|/)\./|^~")
    if odd.any():
        found = [_relative(raw.root, uri) for uri in rows.loc[odd, "uri"]]
        rows.loc[odd, "uri"] = [path or "" for path in found]
        outside[odd] = [path is None for path in found]
    parents = {uri.rpartition("/")[0] for uri in rows["uri"].tolist()}
    folders = {folder: _listing(raw.root, folder) for folder in parents}
    known = {f"{folder}/{name}" if folder else name for folder, names in folders.items() for name in names}
    missing = pd.Series([uri not in known for uri in rows["uri"].tolist()], rows.index)
    reason = f"points outside the root {raw.root}, and is not read"
    rows = without(rows, missing & outside, named, reason, problems)
    missing, named = missing[rows.index], named[rows.index]
    if missing.all() and len(rows):
        raise UserError(
            f"None of the {len(rows)} files that {raw.name} names is under {raw.root}: the first is "
            f"'{named.iloc[0]}'. Give the folder that these paths start from as root."
        )
    return without(rows, missing, named, "there is no such file", problems)


def _relative(root: str, uri: str) -> str | None:
    """An odd path of a list as a path under the root; None where it leads out of it."""
    try:
        return inside(root, uri).relative_to(permitted(root)).as_posix()
    except (UserError, ValueError):
        return None


def _listing(root: str, folder: str) -> list[str]:
    try:
        return os.listdir(inside(root, folder))
    except (UserError, OSError):
        return []


def _named(rows: pd.DataFrame, problems: list[Problem]) -> pd.DataFrame:
    """Segments go into the uri, ids are made, and what is there twice is left out."""
    if "start" in rows or "end" in rows:
        start, end = (
            pd.to_numeric(rows.get(c, pd.Series(dtype=float)), errors="coerce") for c in ("start", "end")
        )
        start, end = start.reindex(rows.index), end.reindex(rows.index)
        bad = (start < 0) | (end <= start.fillna(0.0))
        rows = without(rows, bad, rows["uri"], "its segment ends before it starts", problems)
        rows["uri"] += [_fragment(a, b) for a, b in zip(start[rows.index], end[rows.index], strict=True)]
    again = rows["uri"].duplicated()
    if "split" in rows and again.any():
        own = rows["split"] == rows["uri"].map(rows[~again].set_index("uri")["split"])
        reason = "is in two splits: it counts for the first that names it"
        rows = without(rows, again & ~own, rows["uri"], reason, problems)
        again = rows["uri"].duplicated()
    rows = without(rows, again, rows["uri"], "is named more than once: the first mention counts", problems)
    ids = rows["id"].fillna("").astype(str).str.strip() if "id" in rows else pd.Series("", rows.index)
    rows["id"] = ids.where(ids != "", rows["uri"])
    reason = "its id belongs to an earlier item: ids must differ"
    return without(rows, rows["id"].duplicated(), rows["id"], reason, problems)


def _fragment(start: float, end: float) -> str:
    if np.isnan(start) and np.isnan(end):
        return ""
    first = "" if np.isnan(start) else f"{start:.6f}".rstrip("0").rstrip(".")
    return f"#t={first}" + ("" if np.isnan(end) else f",{f'{end:.6f}'.rstrip('0').rstrip('.')}")


def _columns(rows: pd.DataFrame, options: SourceOptions, notes: list[str]) -> None:
    """Fill subdomain, group and split in place."""
    if "subdomain" not in rows:
        rows["subdomain"] = options.subdomain or "all"
    text, other = rows["subdomain"].fillna("").astype(str).str.strip(), options.subdomain or "unknown"
    if (text == "").any():
        notes.append(f"{int((text == '').sum())} items name no subdomain: they are in '{other}'.")
    rows["subdomain"] = text.where(text != "", other)
    if options.group_pattern:
        rows["group"] = _found(rows["id"], options.group_pattern)
    group = rows["group"].fillna("").astype(str).str.strip() if "group" in rows else pd.Series("", rows.index)
    if (group == "").any() and (group != "").any():
        notes.append(f"{int((group == '').sum())} items name no group: each of them is one of its own.")
    rows["group"] = group.where(group != "", rows["id"])
    split = rows["split"].fillna("").astype(str).str.strip().str.lower() if "split" in rows else ""
    rows["split"] = split
    odd = sorted(set(rows["split"].unique()) - set(SPLIT_NAMES))
    if odd:
        raise UserError(f"A split is called '{odd[0]}': it may say train, valid (val, dev) or test.")
    rows["split"] = rows["split"].map(SPLIT_NAMES)


def _found(ids: pd.Series, pattern: str) -> pd.Series:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"The group pattern '{pattern}' is not a regular expression ({error}).") from error
    if compiled.groups < 1:
        raise UserError(f"The group pattern '{pattern}' needs brackets around the group, as in 'emodb-(..)'.")
    found = ids.str.extract(compiled, expand=True)[0]
    if found.isna().all():
        raise UserError(f"The group pattern '{pattern}' fits no id; the first is '{ids.iloc[0]}'.")
    return found
