"""Confirm: the test half, once. What was seen of it stays to be seen."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import editing, widgets, words
from gelda import confirm, edit_jobs, edits, runs
from gelda.edits import Edits
from gelda.statistics import MIN_GROUPS


def looks(run: runs.RunState) -> list[dict[str, Any]]:
    """Every look at the run's test half that has figures."""
    return [look for look in confirm.confirmations(run.id) if "test" in look]


def view(run: runs.RunState, mine: Edits) -> None:
    """The offer to confirm these steps, or what came of it."""
    seen = confirm.confirmations(run.id)
    state = edits.state_key(editing.kit_of(run), mine.active)
    job = edit_jobs.status(run.id, mine.name)
    with st.container(border=True):
        mine_seen = next((look for look in seen if look["state"] == state), None)
        if job.going and job.what == "confirm":
            st.subheader("Confirming on the test half")
            _follow(run.id, mine.name)
        elif mine_seen is not None and "test" in mine_seen:
            _found(run, mine, mine_seen)
        elif not runs.readonly():
            _offer(run, len(seen) + (mine_seen is None), job, state)
        _table(looks(run))


def past(run: runs.RunState) -> None:
    """What was seen of the test half before, where there is nothing to confirm now."""
    with st.container(border=True):
        st.subheader("Seen on the test half")
        _table(looks(run))


def _offer(run: runs.RunState, number: int, job: edit_jobs.Job, state: str) -> None:
    st.subheader("Is it real? Confirm on the test half")
    widgets.note(
        "You have been choosing by dev, so dev figures flatter the choice. Confirming freezes these steps "
        "and measures them on items that nothing here has looked at. Every look is counted and cannot be "
        "taken back: the first one is a result."
    )
    if number > 1:
        st.warning(f"This would be look number {number}: it is no longer a result.")
    if job.what == "confirm" and job.message:
        st.warning(job.message)
    st.button("Confirm, once", on_click=editing.attempt,
              args=(lambda: edit_jobs.start(run.id, edits.DEFAULT, "confirm", state),))  # fmt: skip


def _found(run: runs.RunState, mine: Edits, look: dict[str, Any]) -> None:
    """Dev and test side by side, and what the look may be called."""
    main = look["main"]
    dev, test = look["dev"]["measures"][main], look["test"]["measures"][main]
    few = look["groups"]["test"] < MIN_GROUPS
    if few:
        said = f"On the test half, {words.number(test['mean'], signed=True)} points: too few groups to tell"
    elif words.certain(test["ci95"]):
        said = f"Confirmed: {words.number(test['mean'], signed=True)} points on the test half"
    else:
        said = f"On the test half, {words.number(test['mean'], signed=True)} points: inside the noise"
    st.subheader(said)
    shown = [(words.METRICS.get(main, main), dev, test)]
    of_class = [editing.one_class(run, mine, look[half]["classes"]) for half in ("dev", "test")]
    if all(of_class):
        shown.append((f"Recall of {of_class[0]['name']}", *of_class))
    pairs = [
        (title, half, pair)
        for title, *both in shown
        for half, pair in zip(("dev", "test"), both, strict=True)
    ]
    for place, (title, half, pair) in zip(st.columns(max(3, len(pairs))), pairs, strict=False):
        with place:
            widgets.figure_block(
                f"{title}, on {half}", words.number(pair["mean"], signed=True), "points",
                f"{words.interval(pair['ci95'], signed=True)} (95 %). From {words.number(pair['before'])} to "
                f"{words.number(pair['after'])}\u00a0%.",
            )  # fmt: skip
    sure = [c for c in look["test"]["classes"] if words.certain(c["ci95"])]
    classes = [f"{words.safe(c['name'])} {words.number(c['mean'], signed=True)}" for c in sure[:8]]
    beyond = f" Classes that changed beyond the noise on test: {words.listed(classes)}." if classes else ""
    widgets.note(f"<strong>{words.safe(look['standing'])}</strong>{beyond}")


def _table(seen: list[dict[str, Any]]) -> None:
    """Every look, where there was more than the one that is shown."""
    if len(seen) < 2:
        return
    rows = []
    for look in seen:
        main = look["main"]
        halves = [look[half]["measures"].get(main) for half in ("dev", "test")]
        cells = [
            f"{words.number(p['mean'], signed=True)} <small>{words.interval(p['ci95'], signed=True)}</small>"
            if p
            else "–"
            for p in halves
        ]
        what = words.safe("; ".join(look["titles"]))
        rows.append(
            f'<tr><td>{look["number"]}</td><td class="wrap">{what}</td><td>{cells[0]}</td><td>{cells[1]}</td>'
            f"<td>{words.ago(look['time'])}</td></tr>"
        )
    widgets.table("look", "<th>steps</th><th>dev</th><th>test</th><th></th>", rows)


@st.fragment(run_every=0.5)
def _follow(run_id: str, name: str) -> None:
    job = edit_jobs.status(run_id, name)
    if not job.going:
        st.rerun()
    st.progress(min(1.0, job.done / job.total if job.total else 0.0), text="It goes on if you leave.")
