"""The edit panel: drop, weigh or make synthetic latents, see on dev what it does to the head, and confirm."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import streamlit as st

from app import charts as figures
from app import confirm_view, edit_charts, edit_steps, editing, state, suggesting, widgets, words
from app.explored import Explored
from gelda import edit_figures, edit_jobs, edits, kit, runs
from gelda.edits import Edits
from gelda.errors import UserError
from gelda.statistics import MIN_GROUPS

LEADING = ("tail", "unseen", "uar", "overall")


def view(explored: Explored) -> None:
    """The whole panel for one run."""
    run = explored.run
    state.bind("edit_cell", "")
    if not kit.exists(run.path):
        _without_kit(run)
        return
    try:
        mine = editing.current(run)
    except UserError as error:
        _unusable(run, error)
        return
    job = edit_jobs.status(run.id, mine.name)
    missing = bool(mine.active) and bool(edit_figures.pending(editing.kit_of(run), mine.active))
    ready = bool(mine.active) and not missing
    found = ready and confirm_view.result(run, mine)
    left, right = st.container(key="edit-parts").columns([0.57, 0.43], gap="large")
    with left:
        _outcome(run, mine, job, missing, found)
    with right:
        if runs.readonly():
            widgets.note("This server is for looking only: steps cannot be made here.")
        else:
            edit_steps.actions(explored)
            with st.container(horizontal=True):
                suggesting.buttons(explored, "edit_suggest")
        problem = st.session_state.pop(editing.PROBLEM, "")
        if problem:
            widgets.warn(problem)
        _history(run, mine)
        if ready and not found:
            confirm_view.ask(run, mine)
    if len(confirm_view.looks(run)) > found:  # beside the one that is shown
        confirm_view.past(run)


def _without_kit(run: runs.RunState) -> None:
    st.subheader("This run keeps nothing to train its head again")
    widgets.note(
        "It was finished before runs kept that. Finish it once more: what it has computed is reused, and its "
        "figures stay as they are."
    )
    if not runs.readonly() and not run.shipped:
        from app.run_list import attempt
        from gelda import jobs

        if st.button("Finish it once more", type="primary"):
            attempt(jobs.resume, run.id)


def _unusable(run: runs.RunState, problem: UserError) -> None:
    """A list that was made on other latents, by an earlier version or before the run was made anew; or a
    damaged one. It is kept, but must not stand in the way."""
    st.subheader("The steps that were made here belong to other latents, or cannot be read")
    widgets.warn(problem)
    if not runs.readonly():
        if st.button("Set them aside, and begin anew", type="primary"):
            with suppress(UserError):  # another window has done it
                edits.set_aside(run.id)
            st.rerun()
        place = words.safe(str(edits.folder(run.id)))
        widgets.note(
            f"The file stays in {place} under another name, and how often the test half was looked at is "
            "still counted."
        )


def _outcome(run: runs.RunState, mine: Edits, job: edit_jobs.Job, missing: bool, confirmed: bool) -> None:
    """What the steps did, in one sentence, three figures and every class; or how it is getting on.

    confirmed: the main figures stand above, beside those of the test half.
    """
    if not mine.active:
        st.subheader("Drop what does not help, and see what it does")
        widgets.note(
            "Select synthetic latents (lasso, box, search, or a suggestion), then drop them, "
            "let them count less, or make others. The layers after them are trained again, five times "
            "without and five times with your steps, from the same seeds, and compared on dev items: a "
            "matter of seconds. The test half stays shut until you confirm."
        )
        return
    if missing:
        _waiting(run, mine, job)
        return
    own = editing.kit_of(run)
    found = editing.history(run, mine)
    total = found["steps"][-1]["to_start"]
    main, by_cell = found["main"], own.about["by_cell"]
    few = total["measures"][main]["groups"] < MIN_GROUPS
    st.subheader(words.escaped(headline(mine, total["measures"], main, few, by_cell)))
    names = [main, *[m for m in LEADING if m != main and m in total["measures"]]]
    shown = [(words.measure(m, by_cell), total["measures"][m]) for m in names]
    own_class = editing.one_class(run, mine, total["classes"])
    if own_class:
        shown.insert(1, (f"Recall of {own_class['name']}", own_class))
    if confirmed:
        shown = shown[2 if own_class else 1 :]
    for place, (title, change) in zip(st.columns(max(1, len(shown[:3])), gap="medium"), shown, strict=False):
        with place:
            _figure(change, title)
    with st.container(key="edit-classes"):
        st.plotly_chart(
            edit_charts.by_class(total["classes"], st.context.theme.type), theme=None,
            config=figures.config("edit-classes"), key="edit_classes",
        )  # fmt: skip
    dev = found["dev"]
    groups = f" of {words.thousands(dev['groups'])} groups" if dev["groups"] < dev["items"] else ""
    widgets.note(f"On {words.thousands(dev['items'])} dev items{groups}. {found['note']}")


def headline(
    mine: Edits, measures: dict[str, Any], main: str, few: bool = False, by_cell: bool = False
) -> str:
    """The finding in one sentence, never more than interval and number of groups (`few`) allow."""
    change = measures[main]
    rare = "rare cells" if by_cell else "rare classes"
    what = {"tail": rare, "uar": "mean recall"}.get(main, main)
    does = edit_figures.title(mine.active[0]) if len(mine.active) == 1 else f"{len(mine.active)} steps"
    noise = "" if words.certain(change["ci95"]) else ", inside the noise"
    noise = ", on too few groups to tell" if few else noise
    return f"{does}: {what} {words.number(change['mean'], signed=True)} points on dev{noise}"


def _figure(change: dict[str, Any], title: str) -> None:
    how = f"{words.interval(change['ci95'], signed=True)} (95 %)"
    if change["groups"] < MIN_GROUPS:
        how = "too few groups for an interval"
    elif change["ci95"] == [0, 0]:
        how = "every head is right about the very same items as before"
    elif not words.certain(change["ci95"]):
        how += ", inside the noise"
    how += f". From {words.number(change['before'])} to {words.number(change['after'])}\u00a0%."
    widgets.figure_block(f"{title}, on dev", words.number(change["mean"], signed=True), "points", how)


def _waiting(run: runs.RunState, mine: Edits, job: edit_jobs.Job) -> None:
    """Heads are being trained: how far, and what to do where that stopped."""
    if job.going:
        st.subheader("Training the heads again")
        editing.follow(run.id, mine.name, "{head}. It goes on if you leave.", "edit_cancel")
        return
    st.subheader("The heads are not trained for these steps yet")
    if job.message:
        widgets.warn(job.message)
    editing.again(run, job, "edit_refit")


def _history(run: runs.RunState, mine: Edits) -> None:
    """The steps with what each did, undo and redo, names, and the file that does it all again."""
    if not mine.steps:
        return
    found = editing.history(run, mine)
    main = found["main"]
    rows = ['<tr><td class="faint">Start</td><td></td><td></td></tr>']
    for number, step in enumerate(mine.steps):
        title = words.safe(edit_figures.title(step))
        if number >= mine.at:
            rows.append(f'<tr><td class="faint wrap"><s>{title}</s></td><td></td><td></td></tr>')
            continue
        entry = found["steps"][number]
        weight = f"<br><small>{words.safe(entry['weight'])}</small>" if "weight" in entry else ""
        rows.append(
            f'<tr><td class="wrap">{number + 1}. {title}{weight}</td>'
            f"<td>{_change((entry.get('to_previous') or {}).get(main))}</td>"
            f"<td>{_change((entry.get('to_start') or {'measures': {}})['measures'].get(main))}</td></tr>"
        )
    measure = words.measure(main, editing.kit_of(run).about["by_cell"])
    st.markdown(f"**Steps** ({measure}, points on dev)")
    widgets.table("", "<th>by this step</th><th>since the start</th>", rows)
    with st.container(horizontal=True):
        if not runs.readonly():
            move = editing.attempt
            st.button("Undo", on_click=move, args=(lambda: editing.move(run, True),), disabled=not mine.at)
            st.button("Redo", on_click=move, args=(lambda: editing.move(run, False),),
                      disabled=mine.at == len(mine.steps))  # fmt: skip
            edit_steps.rename(run, mine)
        file = f"{run.id}-{mine.name}.json"
        with st.popover("Again, elsewhere"):
            widgets.note("The list of steps, and the command that does the same with the same figures.")
            text = json.dumps(mine.as_json(), indent=1)
            st.download_button("Edits file", text, file, "application/json", on_click="ignore")
            st.code(f"gelda run --from {run.id} --edits {file}", language="bash", wrap_lines=True)


def _change(pair: dict[str, Any] | None) -> str:
    if pair is None or not np.isfinite(pair["mean"]):
        return "–"
    text = words.number(pair["mean"], signed=True)
    return f"{text} <small>{words.interval(pair['ci95'], signed=True)}</small>"
