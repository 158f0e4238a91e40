"""The line below the map: search, how picks join, what is selected, and keeping it under a name."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from app import explore_filters, search, selecting, state, widgets, words
from app.explored import Explored
from gelda import projection, runs, selections
from gelda.errors import UserError


def view(explored: Explored) -> None:
    """One row for every panel below it: the selection is theirs all."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="picks"):
        st.text_input(
            "Search", key="find", placeholder=_example(explored), icon=":material/search:",
            help=f"An id or its start, a class, or a class and where it is{_step(explored)}. Press Enter.",
        )  # fmt: skip
        st.segmented_control(
            "What is picked next will", list(selecting.MODES), key="join", default="replace", required=True,
            format_func=selecting.MODES.get,
            help="Replace: a selection of its own. Add: together with what is selected. Keep common: only "
            "what both hold. Remove: taken out of what is selected. Shift and click adds or takes out one "
            "point.",
        )  # fmt: skip
        _keeping(explored)
        st.button(
            "Clear",
            on_click=state.select,
            args=(explored.run.id, [], ""),
            disabled=not len(explored.selected),
        )
    if st.session_state.get("find"):
        _found(explored, st.session_state["find"])
    held = state.selection(explored.run.id)
    if held.problem:
        widgets.warn(held.problem)
    if st.session_state.get("_kept_problem"):
        widgets.warn(st.session_state.pop("_kept_problem"))


def _example(explored: Explored) -> str:
    """What may be typed, in the words of this run."""
    joint = " " if explored.axis == "condition" else " in "  # "nine inverted", "sadness in Polish"
    where = f"{joint}{explored.subdomains[-1]}" if len(explored.subdomains) > 1 else ""
    return f"{explored.classes[-1]}{where}, or an id"


def _step(explored: Explored) -> str:
    """What else may be typed where steps of the edits made latents."""
    if explored.made is None:
        return ""
    step = int(explored.made.points["step"].iloc[-1])
    return f"; \u201cstep {step}\u201d is what that step of the edits made"


def _found(explored: Explored, text: str) -> None:
    among = f"{explored.run.path} {explored.key}"
    found = _search(text, among, explored.points, explored.classes, explored.subdomains)
    rows = found.rows[explore_filters.offered(explored.points)[found.rows]]
    hidden = int((~explored.visible[rows]).sum())
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(rows):
            mode = selecting.mode()
            said = {
                "replace": "Select {}",
                "add": "Add {}",
                "common": "Keep common with {}",
                "remove": "Remove {}",
            }[mode]
            what = words.count(len(rows), "point")
            st.button(
                said.format("it" if len(rows) == 1 else f"these {what}"), type="secondary",
                on_click=selecting.pick, args=(explored.run.id, rows, "search"),
            )  # fmt: skip
        more = f", {words.thousands(hidden)} of them hidden by the filters" if hidden else ""
        held_out = len(found.rows) - len(rows)
        more += f" (and {words.count(held_out, 'held-out item')}, not offered)" if held_out else ""
        widgets.note(f"{words.safe(found.said)}{more}.")


@st.cache_data(max_entries=16, show_spinner=False)
def _search(
    text: str, among: str, _points: pd.DataFrame, classes: list[str], subdomains: list[str]
) -> search.Found:
    return search.find(text, _points, classes, subdomains)


def _keeping(explored: Explored) -> None:
    """Kept selections to open, rename and delete, and the one in view to keep."""
    run = explored.run
    kept = selections.listed(run.id)
    if runs.readonly() and not kept:
        return
    with st.popover(
        f"Kept selections ({len(kept)})" if kept else "Keep as…",
        disabled=not (kept or len(explored.selected)),
    ):
        if not runs.readonly():
            _keep_form(explored)
        for one in kept:
            _kept_row(explored, one)


def _keep_form(explored: Explored) -> None:
    run, rows = explored.run, explored.selected
    if not len(rows):
        widgets.note("Select points to keep them under a name.")
        return

    def keep() -> None:
        name = st.session_state["keep_name"].strip()
        try:
            ids = explored.points["id"].iloc[rows]
            selections.keep(run.id, name, ids, projection.points_key(run.path))
            selecting.select(run.id, rows, "name", name)
            st.session_state["keep_name"] = ""
        except UserError as error:
            st.session_state["_kept_problem"] = str(error)

    with st.container(horizontal=True, vertical_alignment="bottom"):
        what = words.count(len(rows), "selected point")
        st.text_input(f"Keep the {what} as", key="keep_name", placeholder="A name", width=240)
        st.button("Keep", on_click=keep, type="primary")
    if len(rows) > selecting.IN_LINK and not state.selection(run.id).name:
        widgets.note(f"A link holds up to {selecting.IN_LINK} points; more of them need a name to be in it.")


def _kept_row(explored: Explored, kept: selections.Kept) -> None:
    run, points = explored.run, explored.points
    own = f"{run.id}.{kept.name}"  # not its place in the list, which changes

    def attempt(act: Callable[[], None]) -> None:
        try:
            act()
        except UserError as error:
            st.session_state["_kept_problem"] = str(error)

    def reopen() -> None:
        rows = selections.rows(kept, points)
        if selecting.mode() == "replace":
            selecting.select(run.id, rows, "name", kept.name, selecting.lacking(kept, len(rows)))
        else:
            selecting.pick(run.id, rows, "name")

    def rename() -> None:
        new = st.session_state[f"rename.{own}"].strip()
        st.session_state[f"rename.{own}"] = kept.name  # a name that is refused must not stand for this one
        if new and new != kept.name:
            selections.rename(run.id, kept.name, new)
            held = state.selection(run.id)
            if held.name == kept.name:
                state.select(run.id, held.rows, "name", new, made=held.made)

    def delete() -> None:
        selections.delete(run.id, kept.name)
        held = state.selection(run.id)
        if held.name == kept.name:
            state.select(run.id, held.rows, held.how, made=held.made)

    with st.container(horizontal=True, vertical_alignment="center", key=f"kept-{own}"):
        if runs.readonly():
            st.markdown(words.escaped(kept.name))
        else:
            st.session_state.setdefault(f"rename.{own}", kept.name)
            st.text_input(
                "Name", key=f"rename.{own}", label_visibility="collapsed", width=200,
                on_change=attempt, args=(rename,),
            )  # fmt: skip
        widgets.note(f"{words.count(len(kept.ids), 'point')}, {words.ago(kept.kept)}")
        st.button("Open", key=f"reopen.{own}", on_click=attempt, args=(reopen,))
        if not runs.readonly():
            st.button("Delete", key=f"forget.{own}", on_click=attempt, args=(delete,))
