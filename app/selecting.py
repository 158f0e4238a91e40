"""How a selection comes about: picks that join the one before, and its short form in the URL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app import state
from gelda import projection, runs, selections
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


def combined(held: Iterable[int], picked: Iterable[int], mode: str) -> list[int]:
    """Rows held and rows picked, joined as `JOINED` says; in order, once each, unless they are replaced."""
    before, now = np.asarray(list(held), np.int64), np.asarray(list(picked), np.int64)
    return JOINED[mode](before, now).tolist()


def mode() -> str:
    """How the next pick joins the selection, as the control below the map says."""
    return state.value("join") or "replace"


def pick(run: str, rows: Iterable[int], how: str, joined: str = "", made: Iterable[str] = ()) -> None:
    """Join rows, and ids of latents that edits made, as the control says or as `joined` does."""
    held, by = state.selection(run), joined or mode()
    ids = np.asarray(JOINED[by](np.asarray(held.made, str), np.asarray(list(made), str)), str)
    state.select(run, combined(held.rows, rows, by), how, made=ids.tolist())


def opened(run: runs.RunState, points: pd.DataFrame) -> np.ndarray:
    """The selected rows, taken from the URL where it names others than are held; binds `sel`."""
    state.bind("sel", "")
    wanted = state.value("sel")
    if wanted and wanted != st.session_state.get(_ADDRESS):
        try:
            if wanted.startswith("~"):
                state.select(run.id, _decoded(run, wanted, len(points)), "link")
            else:
                kept = selections.load(run.id, wanted)
                state.select(run.id, selections.rows(kept, points), "name", wanted)
        except UserError as error:
            state.select(run.id, [], "", problem=str(error))
    held = state.selection(run.id)
    st.session_state[_ADDRESS] = held.name or code(run, held.rows)
    state.put("sel", st.session_state[_ADDRESS])
    rows = np.asarray(held.rows, np.int64)
    return rows[rows < len(points)]  # a run that was made again may have fewer


def code(run: runs.RunState, rows: Sequence[int]) -> str:
    """Rows as a link has them, "~1ef7.a-f.2s"; "" where they are none or too many.

    In base 36, neighbours as ranges; the first part says of which points they are the rows.
    """
    if not 0 < len(rows) <= IN_LINK:
        return ""
    ordered = np.unique(np.asarray(rows, np.int64))
    parts = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    ends = [
        [np.base_repr(row, 36).lower() for row in sorted({int(part[0]), int(part[-1])})] for part in parts
    ]
    return f"~{_stamp(run)}.{'.'.join(map('-'.join, ends))}"


def _decoded(run: runs.RunState, text: str, count: int) -> list[int]:
    found = _LINK.fullmatch(text)
    ends = [[int(end, 36) for end in part.split("-")] for part in found[2][1:].split(".")] if found else []
    if not found or sum(1 + part[-1] - part[0] for part in ends) > IN_LINK or any(p[-1] < p[0] for p in ends):
        raise UserError("The selection in this link cannot be read: part of the address is missing.")
    rows = [row for part in ends for row in range(part[0], part[-1] + 1)]
    if found[1] != _stamp(run) or max(rows) >= count:
        raise UserError(
            "The selection in this link is of other points: of another run, or this one was made again since."
        )
    return rows


def _stamp(run: runs.RunState) -> str:
    return "".join(c for c in projection.points_key(run.path).lower() if c.isalnum())[:4].ljust(4, "0")
