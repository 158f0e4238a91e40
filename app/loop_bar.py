"""The line over the map: what can be done next with what is selected, and what the last step did."""

from __future__ import annotations

import streamlit as st

from app import (
    confirm_view,
    edit_steps,
    edit_view,
    editing,
    explore_panels,
    state,
    suggesting,
    widgets,
    words,
)
from app.explored import Explored
from gelda import edit_figures, edit_jobs, kit, runs
from gelda.edits import Edits
from gelda.errors import UserError
from gelda.statistics import MIN_GROUPS


def view(explored: Explored) -> None:
    """One line that always has its place, so that the map never moves."""
    run = explored.run
    with st.container(horizontal=True, vertical_alignment="center", key="loop"):
        mine, unusable = None, False
        try:
            mine = editing.current(run) if kit.exists(run.path) else None
        except UserError:
            unusable = True
        held = len(explored.selected)
        if held:
            _selected(explored, mine, held)
        elif unusable:
            widgets.note("The steps that were made here before do not fit this run any more.")
            st.button("What to do", key="loop_unusable", on_click=explore_panels.show, args=("edit",))
        elif mine is None:
            widgets.note(f"{_how(explored)} to read, hear or keep them.")
        elif mine.active:
            _edited(explored, mine)
        elif runs.readonly():
            widgets.note(f"{_how(explored)}. This server is for looking only.")
        else:
            begin = "Lasso" if explored.info is not None else "Search for"
            suggesting.buttons(explored, "loop_suggest", f"{begin} synthetic latents to drop them")


def _how(explored: Explored) -> str:
    """How points are selected now: without a map there is nothing to draw around."""
    if explored.info is None:
        return "No map has been made here yet. Search for points, or click a cell of the grid and select it,"
    return "Press Lasso or Box and draw around points"


def _selected(explored: Explored, mine: Edits | None, held: int) -> None:
    """What is selected, and the two things done with it most."""
    run = explored.run
    ids = ()
    if mine is not None and not runs.readonly():
        ids = editing.selected_ids(run, explored.points, explored.selected)
    st.html(f'<p class="said"><b>{_said(explored, held, len(ids))}</b></p>')
    if ids:
        st.button("Drop it" if len(ids) == 1 else "Drop them", type="primary", key="loop_drop",
                  help="Train the head again without them and see on dev what it does. Can be undone.",
                  on_click=editing.attempt, args=(lambda: _drop(explored, ids),))  # fmt: skip
        st.button("More…", key="loop_more", on_click=explore_panels.show, args=("edit",),
                  help="Weigh them, make their cells anew, or generate more.")  # fmt: skip
    st.button("Look at them", key="loop_look", on_click=explore_panels.show, args=("selection",))
    st.button("Their neighbours", key="loop_near", on_click=explore_panels.show, args=("neighbours",))


def _said(explored: Explored, held: int, used: int) -> str:
    """What is selected: how many points, how many synthetic ones, how many of these a head learns from."""
    synthetic = int(explored.synthetic[explored.selected].sum())
    dropped = f", {words.thousands(used)} in use" if 0 < used < synthetic else ""
    if synthetic == held:
        return f"{words.count(held, 'synthetic latent')} selected{dropped}"
    of_them = f": {words.thousands(synthetic)} synthetic{dropped}" if synthetic else ""
    return f"{words.count(held, 'point')} selected{of_them}"


def _drop(explored: Explored, ids: tuple[str, ...]) -> None:
    edit_steps.drop(explored.run, ids)
    state.put("panel", "edit")


def _edited(explored: Explored, mine: Edits) -> None:
    """How far the heads are, or what the steps did and where to go on."""
    run = explored.run
    own = editing.kit_of(run)
    if edit_figures.pending(own, mine.active):
        job = edit_jobs.status(run.id, mine.name)
        if job.going:
            said = "Training the heads without and with your steps: {head}"
            editing.follow(run.id, mine.name, said, "loop_cancel")
            return
        said = job.message or "The heads are not trained for these steps yet"
        st.html(f'<p class="said"><b>{words.safe(said)}</b></p>')
        editing.again(run, job, "loop_refit")
        return
    found = editing.history(run, mine)
    measures, main = found["steps"][-1]["to_start"]["measures"], found["main"]
    few = measures[main]["groups"] < MIN_GROUPS
    said = edit_view.headline(mine, measures, main, few, own.about["by_cell"])
    st.html(f'<p class="said"><b>{words.safe(said)}</b></p>')
    label = "All figures" if runs.readonly() or confirm_view.seen(run, mine) else "See and confirm"
    st.button(label, key="loop_figures", type="primary", on_click=explore_panels.show, args=("edit",))
    if not runs.readonly():
        st.button("Undo", key="loop_undo", on_click=editing.attempt, args=(lambda: editing.move(run, True),))
