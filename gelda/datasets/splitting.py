"""Splits by group, and what two splits share although they must not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda.artifacts import file_sha256
from gelda.datasets.source import Problem, Source
from gelda.errors import UserError
from gelda.media import segment_of
from gelda.paths import inside
from gelda.seeds import numpy_generator


def split_by_group(table: pd.DataFrame, share: float, seed: int, grouped: bool) -> NDArray[np.str_]:
    """ "train" or "test" [N]: whole groups, about `share` of the items of each subdomain for testing.

    Where every item is its own group, the share is taken of each (class, subdomain). At least one group is
    tested where there are two, and at least one is left to train on. Depends on seed, ids and labels alone.
    """
    items = table.assign(row=np.arange(len(table)))
    first = items.drop_duplicates("group").sort_values(
        "group", kind="stable"
    )  # a group's first item places it
    sizes = items["group"].value_counts()
    strata = ["subdomain"] if grouped else ["label", "subdomain"]
    tested: list[str] = []
    for cell, members in first.groupby(strata, sort=True):
        groups = members["group"].to_numpy()
        groups = groups[numpy_generator(seed, "split", *cell).permutation(len(groups))]
        items_up_to = np.cumsum(sizes[groups].to_numpy())
        nearest = np.abs(items_up_to[:-1] - share * items_up_to[-1])
        tested += groups[: nearest.argmin() + 1].tolist() if len(groups) > 1 else []
    return np.where(table["group"].isin(tested), "test", "train")


def find_leaks(
    source: Source, hashed: bool = False, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """One sentence for each kind of thing that stands on two sides of the source's own split: a group, a
    recording (its segments), and with `hashed` the same bytes under two names (reads every file that shares
    its size with one of another split)."""
    table = source.manifest.table
    if "split" not in table:
        return []
    rows = table[table["split"] != ""]
    leaks = []
    if source.grouped:
        leaks += _shared(rows, rows["group"], "group (such as a speaker)", "groups (such as speakers)")
    if rows["uri"].str.contains("#t=", regex=False).any():
        recordings = rows["uri"].map(lambda uri: segment_of(uri)[0])
        leaks += _shared(rows, recordings, "recording", "recordings")
    if hashed:
        files = rows[~rows["uri"].str.contains(r"^\w+:")]
        content = _contents(source.root, files, progress)
        leaks += _shared(files[content != ""], content[content != ""], "file's content", "files' contents")
    return leaks


def find_copies(
    source: Source, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Problem]:
    """Items that hold the same bytes as an earlier one, with its name and label."""
    table = source.manifest.table
    rows = table[~table["uri"].str.contains(r"^\w+:")].assign(split="")
    content = _contents(source.root, rows, progress, least=1)
    held = rows.assign(content=content)[content != ""]
    first = held.drop_duplicates("content").set_index("content")
    copies = held[held["content"].duplicated()]
    names = source.manifest.class_names
    problems = []
    for row in copies.itertuples():
        original = first.loc[row.content]
        other = "" if original["label"] == row.label else f", which is labelled '{names[original['label']]}'"
        problems.append(Problem(row.uri, f"holds the same bytes as {original['uri']}{other}"))
    return problems


def _shared(rows: pd.DataFrame, values: pd.Series, one: str, many: str) -> list[str]:
    """Values that occur in more than one split."""
    pairs = pd.DataFrame({"value": values, "split": rows["split"], "id": rows["id"]}).drop_duplicates(
        ["value", "split"]
    )
    twice = pairs[pairs["value"].duplicated(keep=False)]
    if twice.empty:
        return []
    count = twice["value"].nunique()
    example = twice[twice["value"] == twice["value"].iloc[0]]
    splits = " and ".join(example["split"])
    ids = " and ".join(f"'{name}'" for name in example["id"])
    return [
        f"{count} {one if count == 1 else many} of {values.nunique()} {'is' if count == 1 else 'are'} in "
        f"more than one split ({splits} share that of {ids}): figures on the test part will flatter."
    ]


def _contents(
    root: str, rows: pd.DataFrame, progress: Callable[[int, int], None], least: int = 2
) -> pd.Series:
    """A hash of each item's bytes [N]; "" where no other (in `least` splits) has its size, or it is gone."""
    paths = rows["uri"].map(lambda uri: segment_of(uri)[0])
    sizes = paths.map({path: _size(root, path) for path in paths.unique()})
    splits = rows["split"].groupby(sizes).transform("nunique") >= least
    asked = splits & sizes.duplicated(keep=False) & (sizes >= 0)
    files = paths[asked].unique()
    hashes = {}
    for done, path in enumerate(files, 1):
        hashes[path] = file_sha256(inside(root, path))
        progress(done, len(files))
    segment = rows["uri"].str.partition("#")[2]
    return (paths.map(hashes).fillna("") + segment).where(asked, "")


def _size(root: str, path: str) -> int:
    try:
        return inside(root, path).stat().st_size
    except (UserError, OSError):
        return -1
