"""A run's list of edits as a page sees it: cached reads, the points with what was dropped, and steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import loading, state
from gelda import edit_figures, edit_jobs, edits, kit, runs
from gelda.artifacts import read_arrays
from gelda.edits import Edits, Step
from gelda.errors import UserError
from gelda.kit import Kit

PROBLEM = "_edit_problem"  # why the last click did nothing


def kit_of(run: runs.RunState) -> Kit:
    """The run's kit; a UserError where it has none that fits."""
    return _kit(run.path, loading.stamp(run.path / "kit.json"), loading.stamp(run.path / "points.json"))


@st.cache_resource(max_entries=4, show_spinner=False)
def _kit(run: Path, stamp: int, points: int) -> Kit:
    return kit.load(run)


def current(run: runs.RunState) -> Edits:
    """The run's list of edits, as it lies on disk."""
    return _current(run.path, loading.stamp(edits.path_of(run.id, edits.DEFAULT)), kit_of(run))


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs={Kit: lambda own: own.key})
def _current(run: Path, stamp: int, own: Kit) -> Edits:
    return edits.load(own)


def _applied(run: runs.RunState, mine: Edits) -> edits.Applied:
    """What a head learns from after the steps in force."""
    own = kit_of(run)
    return _after(run.path, edits.state_key(own, mine.active), own, mine)


@st.cache_resource(max_entries=8, show_spinner=False)
def _after(run: Path, state_key: str, _own: Kit, _mine: Edits) -> edits.Applied:
    return edits.applied(_own, _mine.active)


def shown(run: runs.RunState, points: pd.DataFrame) -> pd.DataFrame:
    """The points, with `kept` off for what the steps in force leave out; a new table where there are any."""
    mine = _in_force(run)
    if mine is None:
        return points
    own = kit_of(run)
    return _shown(run.path, edits.state_key(own, mine.active), own, _applied(run, mine), points)


@st.cache_resource(max_entries=8, show_spinner=False)
def _shown(
    run: Path, state_key: str, _own: Kit, _applied: edits.Applied, _points: pd.DataFrame
) -> pd.DataFrame:
    used = edits.used(_applied)[: len(_own.table)]
    point = _own.table["point"].to_numpy()
    about = _own.synthetic & (point >= 0)
    kept = _points["kept"].to_numpy(dtype=bool, copy=True)
    kept[point[about]] = used[about]
    return _points.assign(kept=kept)


def counted(run: runs.RunState, meta: dict[str, Any]) -> dict[str, Any]:
    """The run's meta with the synthetic counts of the grid as the steps in force leave them."""
    mine = _in_force(run)
    if mine is None:
        return meta
    applied = _applied(run, mine)
    counts = np.zeros_like(np.asarray(meta["synthetic"]))
    own = applied.rows[edits.used(applied)]
    np.add.at(counts, (own["label"].to_numpy(np.int64), own["subdomain"].to_numpy(np.int64)), 1)
    return {**meta, "synthetic": counts.tolist()}


@dataclass(frozen=True)
class MadePoints:
    """Latents that steps made, as the map shows them beside the run's points; `around` places them."""

    points: pd.DataFrame  # [M] rows, with the columns of the run's points
    near: np.ndarray  # [M, 8] rows of the nearest training points
    distance: np.ndarray  # [M, 8]
    around: np.ndarray  # [M, 8] rows of the nearest real points

    def selected(self, run: str) -> np.ndarray:
        """Which of them a person has selected, ``[M]``."""
        return self.points["id"].isin(state.selection(run).made).to_numpy()


def made(run: runs.RunState, points: pd.DataFrame) -> MadePoints | None:
    """What the steps in force made, as far as it is there."""
    mine = _in_force(run)
    own = kit_of(run) if mine is not None else None
    if mine is None or own is None or not any(isinstance(step, edits.Sampled) for step in mine.active):
        return None
    applied = _applied(run, mine)
    start, parts, found = len(own.table), [], []
    for one in applied.made:
        count = sum(n for *_, n in one.order) * max(1, int(own.table["level"].max()))
        rows, file = slice(start, start + count), one.file(own)
        start += count
        if file.is_file():
            frame = applied.rows.iloc[rows].reindex(columns=points.columns)
            parts.append(frame.assign(method=own.about["arm"], uri="", kept=applied.factor[rows] > 0))
            found.append(read_arrays(file))
    if not parts:
        return None
    table = pd.concat(parts, ignore_index=True)
    if "predicted" in table:  # nobody has asked a head about them
        table["predicted"] = table["predicted"].fillna(-1).astype(np.int32)
    arrays = (np.concatenate([f[name] for f in found]) for name in ("near", "distance", "around"))
    return MadePoints(table, *arrays)


def _in_force(run: runs.RunState) -> Edits | None:
    """The run's list where it has steps in force that can be read."""
    if not kit.exists(run.path) or not edits.path_of(run.id, edits.DEFAULT).is_file():
        return None
    try:
        mine = current(run)
    except UserError:  # the panel says what is wrong with the list
        return None
    return mine if mine.active else None


def history(run: runs.RunState, mine: Edits) -> dict[str, Any]:
    """What the steps in force did, as far as heads are trained; counted once a state."""
    own = kit_of(run)
    missing = len(edit_figures.pending(own, mine.active))
    titles = tuple(edit_figures.title(step) for step in mine.active)
    return _history(run.path, edits.state_key(own, mine.active), missing, titles, own, mine)


@st.cache_resource(max_entries=32, show_spinner=False)
def _history(
    run: Path, state_key: str, missing: int, titles: tuple[str, ...], _own: Kit, _mine: Edits
) -> dict[str, Any]:
    return edit_figures.history(_own, _mine)


def one_class(run: runs.RunState, mine: Edits, classes: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The change of the one class that the steps in force are about; None where they are about several."""
    about = edit_figures.touched(kit_of(run), mine.active)
    return next((c for c in classes if [c["class"]] == about), None)


def push(run: runs.RunState, step: Step) -> None:
    """Put a step at the end of the list and train the heads again."""
    own = kit_of(run)

    def checked(mine: Edits) -> Edits:
        edits.check(step, own, mine.active)
        return mine.push(step)

    _change(run, checked)


def move(run: runs.RunState, back: bool) -> None:
    """Undo or redo one step; figures that are there already come back at once."""
    _change(run, Edits.undo if back else Edits.redo)


def rename(run: runs.RunState, number: int, title: str) -> None:
    edits.change(kit_of(run), edits.DEFAULT, lambda mine: mine.renamed(number, title))


def train(run: runs.RunState) -> None:
    """Train what is missing of the heads, in the background."""
    edit_jobs.start(run.id, edits.DEFAULT)


def again(run: runs.RunState, job: edit_jobs.Job, key: str) -> None:
    """The button that trains what is missing of the heads."""
    if not runs.readonly():
        label = "Go on" if job.state in ("interrupted", "cancelled") else "Refit"
        st.button(label, type="primary", key=key, on_click=attempt, args=(lambda: train(run),))


@st.fragment(run_every=0.5)
def follow(run_id: str, name: str, said: str, key: str) -> None:
    """How far a job of the list is; draws the page again at its end. said: {head} stands for the head.

    key: of the button that cancels a refit.
    """
    job = edit_jobs.status(run_id, name)
    if not job.going:
        st.rerun()
    head = f"head {min(int(job.done) + 1, job.total)} of {job.total}" if job.total else "starting"
    share = job.done / job.total if job.total else 0.0
    text = said.format(head=head)
    st.progress(min(1.0, share), text=text[:1].upper() + text[1:])
    if job.what == "refit" and not runs.readonly():
        st.button("Stopping" if job.stopping else "Cancel", key=key, disabled=job.stopping,
                  help="It stops at its next step. The heads that are trained stay.",
                  on_click=attempt, args=(lambda: edit_jobs.cancel(run_id, name),))  # fmt: skip


def _change(run: runs.RunState, how: Callable[[Edits], Edits]) -> None:
    mine = edits.change(kit_of(run), edits.DEFAULT, how)
    if mine.active and edit_figures.pending(kit_of(run), mine.active):
        train(run)


def attempt(act: Callable[[], None]) -> None:
    """What a click does; a refusal is kept to be said on the page."""
    if state.along():
        return
    try:
        act()
    except UserError as error:
        st.session_state[PROBLEM] = str(error)


def selected_ids(
    run: runs.RunState, points: pd.DataFrame, rows: np.ndarray, more: MadePoints | None
) -> tuple[str, ...]:
    """Ids of the selected synthetic latents that the edited arm has and uses, those that steps made last."""
    part = points.iloc[rows]
    own = kit_of(run)
    there = part["id"].isin(set(own.table["id"][own.synthetic])) & (part["origin"] == "synthetic")
    ids = tuple(part["id"][there & part["kept"]].astype(str))
    return ids if more is None else (*ids, *more.points["id"][more.selected(run.id) & more.points["kept"]])
