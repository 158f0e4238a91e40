"""Ablate: a study's finding, its differences and effects, its table as it fills, and studies to start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import comparison_charts, figures, grid_form, loading, run_list, state, study_charts, widgets, words
from gelda import jobs, runs, studies, study_text
from gelda.config import resolve_config
from gelda.errors import UserError
from gelda.statistics import countable, told_apart
from gelda.study_result import PLACES, main_measure
from gelda.verdicts import FEWEST_SEEDS, enough

ACROSS = 3  # ready-made studies in a row
STATES = {"waiting": "waiting", "running": "running now", "failed": "failed"}
BEGUN = "_study_begun"  # set where a click has started a study, which stands at the top of the page
TO_TOP = """document.querySelector('[data-testid="stMain"]')?.scrollTo({ top: 0 });"""
SAID = "_study_said"  # what kept a study from starting, until the page is drawn again


def view() -> None:
    """The whole page."""
    figures.bind()
    found = _found()
    shown = None
    if found:
        state.bind("study", next(iter(found)), list(found), "study")
        head, pick = st.columns([0.68, 0.32], gap="large")
        titles = words.distinct({name: _title(study) for name, study in found.items()})
        pick.selectbox("Study", list(titles), key=state.key("study"), format_func=titles.get)
        shown = found[state.value("study")]
        with head:
            _finding(shown)
        place = head
    else:
        st.title("Which setting matters?")
        place = st.container()
    if st.session_state.get(SAID):
        widgets.warn(st.session_state.pop(SAID))
    if shown is not None:
        _study(shown)
    _offers()
    with place:
        widgets.absent("this study")
    if st.session_state.pop(BEGUN, False):
        st.html(f"<script>{TO_TOP}</script>", unsafe_allow_javascript=True)
    state.publish()


def _found() -> dict[str, runs.RunState | Path]:
    """Studies of this workspace, newest first, then those that ship, by the name in the address."""
    own = [run for run in runs.list_runs(limit=run_list.RECENT) if run.study]
    return {**{run.id: run for run in own}, **studies.shipped()}


def _result(shown: runs.RunState | Path) -> dict[str, Any] | None:
    folder = shown.path if isinstance(shown, runs.RunState) else shown
    return loading.study(folder) if (folder / studies.RESULT).is_file() else None


def _title(shown: runs.RunState | Path) -> str:
    if isinstance(shown, Path):
        return f"{loading.study(shown)['title']} · ships with the product"
    when = words.STATUS[shown.status] if shown.status != "done" else words.ago(shown.created)
    return f"{shown.name} · {when}"


def _finding(shown: runs.RunState | Path) -> None:
    result = _result(shown)
    if result is None or not result["measures"]:
        st.title("This study has no finished setting yet")
        return
    measure = main_measure(result["measures"])
    st.title(words.escaped(finding(result, measure)))
    widgets.lead(words.safe(result["question"]))
    if isinstance(shown, runs.RunState) and shown.error:
        widgets.warn(shown.error)


def finding(result: dict[str, Any], measure: str) -> str:
    """What can be told apart from the reference, and no more."""
    pairs = [c["paired"][measure] for c in result["cells"] if "paired" in c]
    reference = next(c["title"] for c in result["cells"] if c["name"] == result["reference"])
    where = PLACES.get(measure, "overall")
    if not pairs:
        return f"Nothing to compare with “{reference}” yet"
    if not enough(result):
        seeds = words.count(len(result["seeds"]), "seed")
        return f"{seeds} {'is' if len(result['seeds']) == 1 else 'are'} too few to tell settings apart"
    signs = told_apart(pairs, [len(result["seeds"])] * len(pairs))
    ahead, behind = signs.count(1), signs.count(-1)
    if not ahead and not behind:
        return f"No setting can be told apart from “{reference}” {where}"
    some = f"{ahead or behind} of {len(pairs)} settings {'is' if (ahead or behind) == 1 else 'are'}"
    if ahead and behind:
        return f"{some} ahead of “{reference}” {where}, {behind} behind it"
    return f"{some} {'ahead of' if ahead else 'behind'} “{reference}” {where}"


def _study(shown: runs.RunState | Path) -> None:
    result = _result(shown)
    if isinstance(shown, runs.RunState) and shown.status != "done":
        done = sum(c["state"] == "done" for c in result["cells"]) if result else 0
        alive = shown.status in widgets.ALIVE
        st.fragment(_progress, run_every=1 if alive else None)(shown.path, done, alive)
    if result is None or not result["measures"]:
        return
    seeds = words.count(len(result["seeds"]), "seed")
    widgets.note(
        f"Accuracy on dev items, {seeds}, the same in every setting. Test items are not read: what is picked "
        "here can still be tested."
    )
    measures = [m for m in ("unseen", "tail", "uar", "overall") if m in result["measures"]]
    state.bind("measure", main_measure(measures), measures)
    st.segmented_control(
        "Measure", measures, key="measure", required=True, format_func=lambda m: words.METRICS[m]
    )
    _forest(result, state.value("measure"))
    lines = study_charts.lines(result, state.value("measure"), st.context.theme.type)
    if lines is not None:
        figures.show(lines, "settings")
    _table(result, measures)
    left, right = st.columns([0.6, 0.4], gap="large")
    with left:
        st.subheader("What to keep in mind")
        widgets.bullets([words.minus(note) for note in result["notes"]])
    with right:
        st.subheader("Take it with you")
        with st.container(horizontal=True):
            for label, form, mime in (
                ("CSV", "csv", "text/csv"),
                ("Markdown", "md", "text/markdown"),
                ("JSON", "json", "application/json"),
            ):
                text = study_text.render(result, form)
                st.download_button(label, text, f"study-{result['study']}.{form}", mime, on_click="ignore")
        figures.form_picker()
        widgets.note(f"Made by <code>{words.safe(result['command'])}</code>.")


def _progress(path: Path, done: int, was_alive: bool) -> None:
    """Every setting with its bar; the page is drawn again when one more is finished."""
    run = runs.read_state(path)
    finished = sum(stage.state in ("done", "reused", "failed") for stage in run.stages)
    if was_alive and (run.status not in widgets.ALIVE or finished > done):
        fresh = _result(run)
        if run.status not in widgets.ALIVE or (fresh and _done(fresh) > done):
            st.rerun()
    widgets.progress(run)
    with st.container(horizontal=True):
        run_list.controls(run)


def _done(result: dict[str, Any]) -> int:
    return sum(c["state"] == "done" for c in result["cells"])


def _forest(result: dict[str, Any], measure: str) -> None:
    """Settings beside the reference, then main effects and interactions, on one axis."""
    reference = next(c["title"] for c in result["cells"] if c["name"] == result["reference"])
    beside = f"settings, beside “{words.safe(reference)}”"
    kinds = {"setting": beside, "main": "main effects", "interaction": "interactions"}
    rows = [
        {
            "kind": kinds[row["kind"]],
            "title": words.safe(row["title"]),
            **{k: row[f"difference_{k}"] for k in ("mean", "low", "high")},
        }
        for row in study_text.rows(result)
        if row["measure"] == measure and row["difference_low"] is not None
    ]
    if not rows:
        return
    told = enough(result) and all(countable(c["paired"][measure]) for c in result["cells"] if "paired" in c)
    figure = comparison_charts.differences(
        pd.DataFrame(rows), st.context.theme.type, f"What each setting changes: {words.METRICS[measure]}",
        ours="it", axis="points; right of zero it raises the accuracy", prefix="",
        enough=told,
    )  # fmt: skip
    figures.show(figure, "study")


def _table(result: dict[str, Any], measures: list[str]) -> None:
    """Every setting: its accuracy, the paired difference below it, how its latents vary, its state."""
    head = "".join(f"<th>{words.METRICS[m]}</th>" for m in measures)
    told = enough(result)
    rows = []
    for cell in result["cells"]:
        name = words.safe(cell["title"])
        own = ' class="own"' if cell["name"] == result["reference"] else ""
        if cell["state"] != "done":
            said = words.safe(cell["error"] or STATES[cell["state"]])
            rows.append(
                f'<tr><td>{name}</td><td class="faint" colspan="{len(measures) + 1}">{said}</td></tr>'
            )
            continue
        cells = "".join(_figure(cell, m, result["reference"], told) for m in measures)
        ratio = words.number(cell["health"].get("variance_ratio"), 2)
        rows.append(f"<tr{own}><td>{name}</td>{cells}<td>{ratio}</td></tr>")
    widgets.table("percent", f"{head}<th>Variance ratio</th>", rows)
    widgets.note(
        f"Small: paired difference with its 95 % interval{', bold where it excludes zero' * told}. "
        "Variance ratio: spread of synthetic latents within a class beside that of held-out real ones; 1 is "
        "right."
    )


def _figure(cell: dict[str, Any], measure: str, reference: str, told: bool) -> str:
    mean = words.number(cell["figures"][measure]["mean"])
    if cell["name"] == reference:
        return f"<td>{mean}<br><small>the reference</small></td>"
    pair = cell.get("paired", {}).get(measure)
    if pair is None or pair["mean"] is None:
        return f"<td>{mean}</td>"
    text = f"{words.number(pair['mean'], signed=True)} ({words.interval(pair['ci95'], signed=True)})"
    text = f"<b>{text}</b>" if told and countable(pair) and words.certain(pair["ci95"]) else text
    return f"<td>{mean}<br><small>{text}</small></td>"


def _offers() -> None:
    """Ready-made studies, each a question, what it takes and a button; then a grid of one's own."""
    st.header("Ask another question")
    readonly = runs.readonly()
    if readonly:
        widgets.note("This server is for looking only (GELDA_READONLY is set): it starts no studies.")
    else:
        widgets.note(
            "On the handwritten digits, offline, one setting after another; a study that stops goes on where "
            "it was."
        )
    preset, seeds = os.environ.get("GELDA_DEMO_PRESET") or "digits", FEWEST_SEEDS
    if not readonly:
        seeds = st.number_input(
            "Seeds", 1, 50, FEWEST_SEEDS, key="study_seeds", width=160, help=grid_form.NOTED
        )
    if seeds < FEWEST_SEEDS:
        widgets.note(grid_form.NOTED)
    base = resolve_config({"seeds": int(seeds)}, preset)
    every = list(studies.STUDIES.values())
    for first in range(0, len(every), ACROSS):
        row = every[first : first + ACROSS]
        for column, study in zip(st.columns(ACROSS, gap="large"), row, strict=False):
            takes = studies.shape(study, base)
            with column:
                st.subheader(study.title)
                widgets.note(words.safe(study.question))
                widgets.note(
                    f"{takes['cells']} settings, {words.thousands(takes['runs'])} runs; about "
                    f"{words.duration(round(takes['seconds'], -1))} on an idle core."
                )
        if not readonly:
            for column, study in zip(st.columns(ACROSS, gap="large"), row, strict=False):
                column.button("Run", key=f"study-{study.name}", on_click=_start,
                              args=(study.name, preset))  # fmt: skip
    if not readonly:
        grid_form.view(base, lambda grid: _start(grid, preset))
        run_list.waits()


def _start(asked: str | dict[str, Any], preset: str) -> None:
    if state.along():
        return
    try:
        state.put("study", jobs.start_study(asked, int(st.session_state["study_seeds"]), preset))
        st.session_state[BEGUN] = True
    except UserError as error:
        st.session_state[SAID] = str(error)
