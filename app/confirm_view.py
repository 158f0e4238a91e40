"""Confirm: the test half, once. What was seen of it stays to be seen."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import editing, widgets, words
from gelda import confirm, edit_jobs, edit_text, edits, runs
from gelda.edits import Edits
from gelda.statistics import MIN_GROUPS


def looks(run: runs.RunState) -> list[dict[str, Any]]:
    """Every look at the run's test half that has figures."""
    return [look for look in confirm.confirmations(editing.kit_of(run)) if "test" in look]


def seen(run: runs.RunState, mine: Edits) -> dict[str, Any] | None:
    """The look at the test half that these steps had."""
    return next((look for look in looks(run) if look["state"] == _state(run, mine)), None)


def result(run: runs.RunState, mine: Edits) -> bool:
    """What came of confirming these steps; False where nobody has."""
    look = seen(run, mine)
    if look is not None:
        with st.container(border=True):
            _found(run, mine, look)
    return look is not None


def ask(run: runs.RunState, mine: Edits) -> None:
    """The offer to confirm these steps, or how far that is."""
    job = edit_jobs.status(run.id, mine.name)
    going = job.going and job.what == "confirm"
    if runs.readonly() and not going:
        return
    with st.container(border=True):
        if going:
            st.subheader("Confirming on the test half")
            editing.follow(run.id, mine.name, "It goes on if you leave.", "confirm_cancel")
        else:
            now = _state(run, mine)
            _offer(run, confirm.number_of(editing.kit_of(run), now), job, now)


def past(run: runs.RunState) -> None:
    """Every look at the test half so far."""
    st.subheader("Seen on the test half")
    _table(looks(run))


def _state(run: runs.RunState, mine: Edits) -> str:
    return edits.state_key(editing.kit_of(run), mine.active)


def _offer(run: runs.RunState, number: int, job: edit_jobs.Job, state: str) -> None:
    st.subheader("Is it real? Confirm on the test half")
    fresh = "that nothing here has looked at" if number == 1 else "of the test half"
    widgets.note(
        "You have been choosing by dev, so dev figures flatter the choice. Confirming freezes these steps "
        f"and measures them on items {fresh}. Every look is counted and cannot be taken back: the first one "
        "is a result."
    )
    if number > 1:
        widgets.warn(f"This would be look number {number}: it is no longer a result.")
    if job.what == "confirm" and job.message:
        widgets.warn(job.message)
    st.button("Confirm, once" if number == 1 else "Look again", on_click=editing.attempt,
              args=(lambda: edit_jobs.start(run.id, edits.DEFAULT, "confirm", state),))  # fmt: skip


def _found(run: runs.RunState, mine: Edits, look: dict[str, Any]) -> None:
    """Dev and test side by side, and what the look may be called."""
    main = look["main"]
    dev, test = look["dev"]["measures"][main], look["test"]["measures"][main]
    change = f"{words.number(test['mean'], signed=True)} points"
    if test.get("groups", look["groups"]["test"]) < MIN_GROUPS:
        said = f"On the test half, {change}: too few groups to tell"
    elif not words.certain(test["ci95"]):
        said = f"On the test half, {change}: inside the noise"
    elif look["number"] == 1 and dev["mean"] * test["mean"] > 0:
        said = f"Confirmed: {change} on the test half"
    else:  # the other way than on dev, or after somebody has looked
        said = f"On the test half, {change}"
    st.subheader(said)
    shown = [(words.measure(main, editing.kit_of(run).about["by_cell"]), dev, test)]
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
    sure = [c for c in look["test"]["classes"] if c.get("beyond")]
    classes = [f"{words.safe(c['name'])} {words.number(c['mean'], signed=True)}" for c in sure[:8]]
    beyond = (
        f" Classes that changed on test beyond the noise of all at once: {words.listed(classes)}."
        if classes
        else ""
    )
    widgets.note(f"<strong>{words.safe(look['standing'])}</strong>{beyond}")
    with st.container(key="quote"):
        st.code(edit_text.sentence(editing.kit_of(run), look, mine.active), language=None, wrap_lines=True)


def _table(seen: list[dict[str, Any]]) -> None:
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
