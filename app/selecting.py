"""How a selection comes about: picks that join the one before, and its short form in the URL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app import state
from app.editing import MadePoints
from gelda import projection, runs, selections
from gelda.artifacts import content_key
from gelda.errors import UserError

MODES = {"replace": "Replace", "add": "Add", "common": "Keep common", "remove": "Remove"}
JOINED = {
    "replace": lambda held, picked: picked,
    "add": np.union1d,
    "common": np.intersect1d,
    "remove": np.setdiff1d,
    "toggle": np.setxor1d,  # a click with shift: in, or out again
}
IN_LINK = 50  # rows that a link holds; a larger selection is kept by name
_LINK = re.compile(r"~([0-9a-z]{4})((?:\.[0-9a-z]{1,6}(?:-[0-9a-z]{1,6})?){1,50})")  # no name begins with ~
_ADDRESS = "_address"  # of the selection, as this session wrote it last
_BEHIND = "_behind"  # (run, number of its own points, ids of the latents behind them), as they are in view
NONE = np.empty(0, str)


def combined(held: Iterable[int], picked: Iterable[int], mode: str) -> list[int]:
    """Rows held and rows picked, joined as `JOINED` says; in order, once each, unless they are replaced."""
    before, now = np.asarray(list(held), np.int64), np.asarray(list(picked), np.int64)
    return JOINED[mode](before, now).tolist()


def mode() -> str:
    """How the next pick joins the selection, as the control below the map says."""
    return state.value("join") or "replace"


def select(run: str, rows: Iterable[int], how: str, name: str = "", problem: str = "") -> None:
    """Select rows of all points in view, also of those that edits made."""
    own, made = _parted(run, rows)
    state.select(run, own, how, name, problem, made)


def pick(run: str, rows: Iterable[int], how: str, joined: str = "") -> None:
    """Join rows of all points in view to the selection, as the control says or as `joined` does."""
    held, by = state.selection(run), joined or mode()
    own, made = _parted(run, rows)
    ids = np.asarray(JOINED[by](np.asarray(held.made, str), np.asarray(made, str)), str)
    state.select(run, combined(held.rows, own, by), how, made=ids.tolist())


def _parted(run: str, rows: Iterable[int]) -> tuple[np.ndarray, list[str]]:
    """Rows of the run's own points, and ids of latents that edits made, whose rows change with steps."""
    every = np.asarray(list(rows), np.int64)
    of, first, ids = st.session_state.get(_BEHIND, ("", 0, NONE))
    if of != run:
        return every, []
    behind = every[every >= first] - first
    return every[every < first], ids[behind[behind < len(ids)]].tolist()


def opened(run: runs.RunState, points: pd.DataFrame, made: MadePoints | None = None) -> np.ndarray:
    """The selected rows, taken from the URL where it names others than are held; binds `sel`.

    points: all in view, those that edits made last.
    """
    first = made.first if made else len(points)
    behind = points["id"].iloc[first:].to_numpy(str)
    st.session_state[_BEHIND] = run.id, first, behind
    state.bind("sel", "")
    wanted = state.value("sel")
    if wanted and wanted != st.session_state.get(_ADDRESS):
        try:
            if wanted.startswith("~"):
                select(run.id, _decoded(run, wanted, first, behind), "link")
            else:
                kept = selections.load(run.id, wanted)
                select(
                    run.id, rows := selections.rows(kept, points), "name", wanted, lacking(kept, len(rows))
                )
        except UserError as error:
            state.select(run.id, [], "", problem=str(error))
    held = state.selection(run.id)
    rows = np.asarray(held.rows, np.int64)
    rows = rows[rows < first]  # a run that was made again may have fewer
    if held.made:
        rows = np.append(rows, first + np.flatnonzero(np.isin(behind, held.made)))
    st.session_state[_ADDRESS] = held.name or code(run, rows, first, behind)
    state.put("sel", st.session_state[_ADDRESS])
    return rows


def lacking(kept: selections.Kept, found: int) -> str:
    """What is to be said where fewer points than were kept are here; "" where all are."""
    gone = len(kept.ids) - found
    if not gone:
        return ""
    return (
        f"{gone} of the {len(kept.ids)} points of '{kept.name}' are not here: the steps that made them are "
        "not in force, or this run was made again."
    )


def code(run: runs.RunState, rows: Sequence[int], first: int = 0, behind: np.ndarray = NONE) -> str:
    """Rows as a link has them, "~1ef7.a-f.2s"; "" where they are none or too many.

    In base 36, neighbours as ranges; the first part says of which points they are the rows. behind: ids of
    the latents that edits made, in the rows from `first` on.
    """
    if not 0 < len(rows) <= IN_LINK:
        return ""
    ordered = np.unique(np.asarray(rows, np.int64))
    parts = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    ends = [
        [np.base_repr(row, 36).lower() for row in sorted({int(part[0]), int(part[-1])})] for part in parts
    ]
    return f"~{_stamp(run, behind[: max(0, ordered[-1] + 1 - first)])}.{'.'.join(map('-'.join, ends))}"


def _decoded(run: runs.RunState, text: str, count: int, behind: np.ndarray = NONE) -> list[int]:
    found = _LINK.fullmatch(text)
    ends = [[int(end, 36) for end in part.split("-")] for part in found[2][1:].split(".")] if found else []
    if not found or sum(1 + part[-1] - part[0] for part in ends) > IN_LINK or any(p[-1] < p[0] for p in ends):
        raise UserError("The selection in this link cannot be read: part of the address is missing.")
    rows = [row for part in ends for row in range(part[0], part[-1] + 1)]
    if max(rows) >= count + len(behind) or found[1] != _stamp(run, behind[: max(0, max(rows) + 1 - count)]):
        raise UserError(
            "The selection in this link is of other points: of another run, or this one was made again or "
            "edited since."
        )
    return rows


def _stamp(run: runs.RunState, made: np.ndarray) -> str:
    """Four characters of a points' key; made: ids of latents behind the points, up to the last meant."""
    key = projection.points_key(run.path)
    key = content_key(key, made.tolist()) if len(made) else key
    return "".join(c for c in key.lower() if c.isalnum())[:4].ljust(4, "0")
