"""A run's list of edits as a page sees it: cached reads, the points with what steps dropped and made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import loading, state
from gelda import columns, edit_figures, edit_jobs, edits, kit, runs
from gelda.artifacts import content_key, read_arrays
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


def shown(run: runs.RunState, points: pd.DataFrame, more: MadePoints | None) -> pd.DataFrame:
    """The points as the steps in force leave them, those that steps made last; a new table if there are any.

    `kept` is off for what a head does not learn from, `dropped` on for what is out by a step alone; `step` is
    the number of the step that made a latent, 0 of the run's own points.
    """
    mine = _in_force(run)
    if mine is None:
        return points
    own = kit_of(run)
    key = f"{edits.state_key(own, mine.active)} {more.key if more else ''}"
    return _shown(run.path, key, own, _applied(run, mine), points, more)


@st.cache_resource(max_entries=3, show_spinner=False)  # of a large bank, a table is some 50 MB
def _shown(
    run: Path, key: str, _own: Kit, _applied: edits.Applied, _points: pd.DataFrame, _more: MadePoints | None
) -> pd.DataFrame:
    used = edits.used(_applied)[: len(_own.table)]
    point = _own.table["point"].to_numpy()
    about = _own.synthetic & (point >= 0)
    kept = _points["kept"].to_numpy(dtype=bool, copy=True)
    kept[point[about]] = used[about]
    table = _points.assign(kept=kept, dropped=_points["kept"].to_numpy(bool) & ~kept, step=0)
    return table if _more is None else columns.filled(pd.concat([table, _more.points], ignore_index=True))


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
    """Latents that steps made: points like all others, in the rows from `first` on."""

    first: int  # how many points the run itself has
    points: pd.DataFrame  # [M] rows, with the columns of the run's points as `shown` has them
    near: np.ndarray  # [M, 8] rows of the nearest training points
    distance: np.ndarray  # [M, 8]
    around: np.ndarray  # [M, 8] rows of the nearest real points, which place them on a map
    latents: np.ndarray  # [M, D] standardised, of the layer that latents are generated at
    key: str  # names them and their steps, whatever was dropped: for what is found in all points and kept


def made(run: runs.RunState, points: pd.DataFrame) -> MadePoints | None:
    """What the steps in force made, as far as it is there; points: the run's own."""
    mine = _in_force(run)
    if mine is None or not any(isinstance(step, edits.Sampled) for step in mine.active):
        return None
    own, applied = kit_of(run), _applied(run, mine)
    # a latent's row must not depend on which files there are: behind one that is missing, none is shown
    files = list(takewhile(Path.is_file, (one.file(own) for one in applied.made)))
    key = f"{edits.state_key(own, mine.active)}-{len(files)}"
    return _made(run.path, key, own, applied, mine, files, points) if files else None


@st.cache_resource(max_entries=8, show_spinner=False)
def _made(run: Path, key: str, _own: Kit, _applied: edits.Applied, _mine: Edits, _files: Sequence[Path],
          _points: pd.DataFrame) -> MadePoints:  # fmt: skip
    number = {step.key(): k for k, step in enumerate(_mine.active, 1)}
    start, parts = len(_own.table), []
    for one, _ in zip(_applied.made, _files, strict=False):
        count = sum(n for *_, n in one.order) * max(1, int(_own.table["level"].max()))
        rows = _applied.rows.iloc[start : start + count]
        kept = _applied.factor[start : start + count] > 0
        start += count
        part = _points.iloc[:0].reindex(range(count))  # nothing, in every column of the run's points
        known = {name: rows[name].to_numpy() for name in part.columns.intersection(rows.columns)}
        about = {"method": _own.about["arm"], "uri": "", "kept": kept, "dropped": ~kept}
        parts.append(part.assign(**known | about, step=number[one.step.key()]))
    table = pd.concat(parts, ignore_index=True)
    if "predicted" in table:  # nobody has asked a head about them
        table["predicted"] = table["predicted"].fillna(-1).astype(np.int32)
    found = [read_arrays(file) for file in _files]
    name = content_key([file.stem for file in _files], table["step"].unique().tolist())
    arrays = (np.concatenate([f[name] for f in found]) for name in ("near", "distance", "around", "z"))
    return MadePoints(len(_points), table, *arrays, name)


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


def selected_ids(run: runs.RunState, points: pd.DataFrame, rows: np.ndarray) -> tuple[str, ...]:
    """Ids of the selected synthetic latents that the edited arm has and uses, those that steps made too."""
    part = points.iloc[rows]
    own = kit_of(run)
    there = part["id"].isin(set(own.table["id"][own.synthetic])) & (part["origin"] == "synthetic")
    if "step" in part:
        there = there | (part["step"] > 0)
    return tuple(part["id"][there & part["kept"]].astype(str))
