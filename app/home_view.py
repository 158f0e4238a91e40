"""Home: three sentences, one picture, two numbers, three ways on, and the runs of this workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app import comparison, comparison_view, explore_view, form, loading, state, widgets, words
from app import map as latent_map
from gelda import jobs, runs, verdicts
from gelda.config import resolve_config
from gelda.datasets.digits import CONDITIONS
from gelda.errors import UserError

PAGES = Path(__file__).resolve().parent.parent / "pages"
SHOWN = 8  # runs in the list before "older runs"
RECENT = 100  # runs read at all: a workspace may hold thousands
WHAT = (
    "Some classes have too few real samples to learn from. GeLDA trains a small diffusion model on the "
    "<em>latents</em> of a foundation model, makes synthetic latents for the scarce classes and conditions, "
    "and retrains only the layers after them. Here you can see what it made, and whether it helped."
)


def view() -> None:
    """The whole page."""
    run = loading.first_run(st.query_params.get("run"))
    if run is not None:
        state.carry("run", run.id)
    words_column, picture = st.columns([0.42, 0.58], gap="large")
    with words_column:
        with st.container(key="hero"):
            st.title("Synthetic latents for classes with too few samples", anchor=False)
        widgets.lead(WHAT)
        if run is not None:
            (_compared if run.comparison else _two_numbers)(run)
            widgets.remark(loading.report_of(run.path))
    with picture:
        if run is None:
            _nothing_yet()
        elif run.comparison:
            report = loading.report_of(run.path)
            comparison_view.forest(report, verdicts.main_measure(report), by_kind=False, name="home")
        else:
            _picture(run)
    _ways_on(run)
    _runs()


def _two_numbers(run: runs.RunState) -> None:
    """What happened to the rare classes, and in the cells never seen."""
    report = loading.report_of(run.path)
    own = report["methods"].get("gelda", {})
    pairs = report["paired_to_la"].get("gelda", {})
    left, right = st.columns(2, gap="medium")
    for column, metric in ((left, "tail"), (right, "unseen")):
        score = own.get(metric)
        if not score or score.get("mean") is None:
            continue
        with column:
            widgets.figure_block(
                words.METRICS[metric],
                words.number(score["mean"]),
                "% right",
                f"{words.difference(pairs.get(metric))}.",
            )


def _compared(run: runs.RunState) -> None:
    """A comparison's finding, and GeLDA's figure on its main measure."""
    report = loading.report_of(run.path)
    main = verdicts.main_measure(report)
    score = report["methods"].get("gelda", {}).get(main)
    st.subheader(comparison.finding(report))
    widgets.note(words.safe(report["setting"]))
    if score:
        name = f"{comparison.measure_title(report, main)}, GeLDA"
        line = comparison.verdict_line(report, main)
        widgets.figure_block(name, words.number(score["mean"]), "% right", line[:1].upper() + line[1:])


def _picture(run: runs.RunState) -> None:
    meta = loading.meta(run.path)
    maps = [m for m in loading.maps(run.path) if m.state == "done" and m.scope_kind == "all"]
    if not maps:
        widgets.note("This run has no map yet.")
        return
    info = next((m for m in maps if m.has_synthetic), maps[0])
    points = loading.points(run.path)
    layout = explore_view.layout_of(
        run, info, points, points["kept"].to_numpy(dtype=bool), np.empty(0, dtype=np.int64), meta, "class"
    )
    latent_map.draw(layout, key="home_map", height=500, run=run.path)
    setting = loading.report_of(run.path).get("setting", "")
    shown = words.count(info.shown, "point")
    widgets.note(
        f"{words.safe(setting)} {shown}: filled discs are latents of real images, training and held out; "
        "open diamonds are synthetic. Hover to see the handwriting behind a point."
    )


def _nothing_yet() -> None:
    with st.container(border=True, height=420, vertical_alignment="center", horizontal_alignment="center"):
        st.markdown("**Nothing has been run in this workspace yet.**")
        widgets.note(
            "The demo reads 1 797 handwritten digits under five writing conditions, hides some of them, and "
            "tells what synthetic latents give back. It runs offline in about two minutes."
        )


def _ways_on(run: runs.RunState | None) -> None:
    first, second, third, fourth = st.columns(4, gap="large")
    query = {"run": run.id} if run else None
    with first:
        st.subheader("Look closer")
        widgets.note("The map, layer by layer: pick points, see what each synthetic latent is near to.")
        mapped = run is not None and run.mapped
        st.page_link(PAGES / "explore.py", label="Open Explore", query_params=query, disabled=not mapped)
    with second:
        st.subheader("Is it real?")
        widgets.note("Every method side by side, with intervals, and where the gain ends.")
        st.page_link(PAGES / "results.py", label="Open Results", query_params=query, disabled=run is None)
    with third:
        st.subheader("Run the demo yourself")
        if runs.readonly():
            widgets.note("This server is for looking only (GELDA_READONLY is set): it starts no jobs.")
            return
        widgets.note("Handwritten digits from end to end, offline, about two minutes on two processor cores.")
        going = _going()
        if going:
            widgets.note("A run is going; follow it below.")
        with st.container(horizontal=True):
            pressed = st.button("Run the demo", type="primary", disabled=going)
            with st.popover("Settings"):
                several = {"data.empty_subdomains": CONDITIONS}
                changed = form.settings(form.DEMO_FIELDS, resolve_config(), several)
        if pressed:
            _attempt(lambda: jobs.start_demo("digits", **changed))
        told = (
            "Five emotions in six languages of synthetic speech (espeak-ng), each language left out in turn; "
            "about four minutes."
        )
        if st.button("Or the demo of synthetic speech", type="tertiary", disabled=going, help=told):
            _attempt(lambda: jobs.start_demo("speech"))
    with fourth:
        _new_comparison(going)


def _new_comparison(going: bool) -> None:
    st.subheader("Your own latents")
    widgets.note("Every method on an .npz of latents from any encoder: minutes to hours, in the background.")
    with st.popover("New comparison"):
        values = form.comparison()
        wrong = form.problem(values)
        if wrong:
            st.warning(wrong)
        idle = going or bool(wrong) or not values["bank"]
        if st.button("Compare", type="primary", disabled=idle, key="compare.start"):
            with st.spinner("Reading the latents"):
                _attempt(jobs.start_comparison, values)
        widgets.note(
            "The file holds z_&lt;layer&gt;, y, class_names and, for a transfer, subdomain and "
            "subdomain_names. More settings: <code>gelda compare --help</code>."
        )


def _going() -> bool:
    return any(r.status in widgets.ALIVE for r in runs.list_runs(limit=RECENT))


def _attempt(act: Any, *arguments: Any) -> None:
    """Do something to a run and draw the page again; a refusal becomes a sentence."""
    try:
        act(*arguments)
    except UserError as error:
        st.warning(str(error))
    else:
        st.rerun()


def _runs() -> None:
    alive = _going()
    st.fragment(_list, run_every=1 if alive else None)(alive)


def _list(was_alive: bool) -> None:
    """Recent runs; while one is alive this part alone is drawn again every second."""
    found = [*runs.list_runs(limit=RECENT), *runs.shipped_runs()]
    if was_alive and not any(r.status in widgets.ALIVE for r in found):
        st.rerun()
    if not found:
        return
    st.header("Runs")
    for run in found[:SHOWN]:
        _row(run)
    if len(found) > SHOWN:
        with st.expander(f"{len(found) - SHOWN} older runs"):
            for run in found[SHOWN:]:
                _row(run)


def _row(run: runs.RunState) -> None:
    with st.container(border=True):
        text, actions = st.columns([0.72, 0.28], vertical_alignment="center", gap="medium")
        when = "ships with the product" if run.shipped else words.ago(run.created)
        parts = (_kind(run), words.STATUS.get(run.status, run.status), when, run.id)
        facts = " · ".join(words.safe(part) for part in parts if part)
        said = words.minus(run.error or (run.headline if run.status == "done" else None) or "")
        with text:
            st.html(f"<strong>{words.safe(run.name)}</strong><p class='note'>{facts}</p>{words.safe(said)}")
        with actions, st.container(horizontal=True, horizontal_alignment="right"):
            _actions(run)
        if run.status in widgets.ALIVE:
            widgets.progress(run)


def _kind(run: runs.RunState) -> str:
    """What a run is where it is no demo: which comparison, or an extraction."""
    if run.extraction:
        return "extraction of latents"
    if not run.comparison:
        return ""
    try:
        config = loading.spec(run.path)
    except UserError:
        return "comparison of methods"
    return f"comparison of methods on {Path(config['bank']).stem}: {comparison.what(config)}"


def _actions(run: runs.RunState) -> None:
    if run.status == "done":
        if run.extraction:
            return
        if run.mapped:
            st.page_link(PAGES / "explore.py", label="Explore", query_params={"run": run.id})
        st.page_link(PAGES / "results.py", label="Results", query_params={"run": run.id})
    elif runs.readonly() or run.status == "broken":
        return
    elif run.status in widgets.ALIVE:
        if st.button("Cancel", key=f"cancel-{run.id}"):
            _attempt(jobs.cancel, run.id)
    elif st.button("Resume", key=f"resume-{run.id}", help="Finished stages are kept."):
        _attempt(jobs.resume, run.id)
