"""Selections of a run's points that were kept under a name, by id: `GELDA_HOME/selections/RUN/NAME.json`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda import runs
from gelda.artifacts import FORMAT, check_format, now, read_json, write_json
from gelda.errors import UserError
from gelda.paths import home

_NAME = re.compile(r"[^\W_][\w .,()+-]{0,59}")  # a file name on every system, and no way out of its folder


@dataclass(frozen=True)
class Kept:
    """A selection as it was kept: the ids of its points, and the key of the points they were picked from."""

    name: str
    ids: tuple[str, ...]
    points: str
    kept: str  # when, ISO 8601


def keep(run: str, name: str, ids: Sequence[str], points: str) -> Kept:
    """Keep ids under a name that is free; `points` is `projection.points_key` of the run."""
    path = _path(run, name := name.strip())
    _writable()
    if path.exists():
        raise UserError(f"There is a selection called '{name}' already: choose another name, or delete it.")
    if not len(ids):
        raise UserError("Nothing is selected: select points first.")
    made = Kept(name, tuple(map(str, ids)), points, now())
    write_json(path, {"format": FORMAT, "ids": made.ids, "points": made.points, "kept": made.kept})
    return made


def listed(run: str) -> list[Kept]:
    """Every selection of a run that can be read, newest first."""
    found = []
    for path in sorted(folder(run).glob("*.json")):
        try:
            found.append(load(run, path.stem))
        except UserError:
            continue  # a file of another kind, or one cut off: nothing is lost by not offering it
    return sorted(found, key=lambda kept: kept.kept, reverse=True)


def load(run: str, name: str) -> Kept:
    """One selection; UserError where there is none of that name."""
    path = _path(run, name)
    if not path.is_file():
        raise UserError(
            f"No selection called '{name}' is kept here: it was deleted, or kept in another workspace."
        )
    value = read_json(path)
    check_format(value, path)
    if not isinstance(value.get("ids"), list):
        raise UserError(f"{path} is not a selection: delete it.")
    return Kept(name, tuple(map(str, value["ids"])), str(value.get("points")), str(value.get("kept")))


def rows(kept: Kept, points: pd.DataFrame) -> NDArray[np.int64]:
    """The rows of a run's points that a selection names; UserError where there is none of them."""
    found = np.flatnonzero(points["id"].astype(str).isin(kept.ids).to_numpy())
    if not len(found):
        raise UserError(
            f"No point of the selection '{kept.name}' is here any more: the run was made again, or the steps "
            "that made them were undone."
        )
    return found


def rename(run: str, old: str, new: str) -> None:
    """Give a selection another name that is free."""
    kept = load(run, old)
    if new.strip() != old:
        keep(run, new, kept.ids, kept.points)
        delete(run, old)


def delete(run: str, name: str) -> None:
    """Forget a selection; one that is gone already is no error."""
    _writable()
    _path(run, name).unlink(missing_ok=True)


def folder(run: str) -> Path:
    """Where the selections of a run are kept."""
    return home() / "selections" / run


def _path(run: str, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise UserError(
            "A selection's name begins with a letter or a digit and has up to 60 letters, digits, spaces "
            "and . , ( ) + - _"
        )
    return folder(run) / f"{name}.json"


def _writable() -> None:
    if runs.readonly():
        raise UserError("This server is for looking only (GELDA_READONLY is set): it keeps no selections.")
