"""Home: three sentences, one picture, two numbers, three ways on, and the runs of this workspace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from app import (
    comparison,
    comparison_view,
    explore_view,
    loading,
    run_list,
    state,
    widgets,
    words,
)
from app import map as latent_map
from gelda import jobs, runs, verdicts

PAGES = Path(__file__).resolve().parent.parent / "pages"
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
    run_list.view("Runs")


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
    with st.container(
        key="vacant", border=True, height=420, vertical_alignment="center", horizontal_alignment="center"
    ):
        st.markdown("**Nothing has been run in this workspace yet.**")
        widgets.note(
            "The demo reads 1 797 handwritten digits under five writing conditions, hides some of them, and "
            "tells what synthetic latents give back. It runs offline in about two minutes."
        )


def _ways_on(run: runs.RunState | None) -> None:
    first, second, third, fourth = st.container(key="ways").columns(4, gap="large")
    query = {"run": run.id} if run else None
    with first:
        st.subheader("Look closer")
        widgets.note("The map, layer by layer: pick points, see what each synthetic latent is near to.")
        mapped = run is not None and run.mapped
        with st.container(horizontal=True):
            st.page_link(PAGES / "explore.py", label="Open Explore", query_params=query, disabled=not mapped)
            st.page_link(PAGES / "learn.py", label="What guidance does")
    with second:
        st.subheader("Is it real?")
        widgets.note("Every method side by side, with intervals, and where the gain ends.")
        with st.container(horizontal=True):
            st.page_link(PAGES / "results.py", label="Open Results", query_params=query, disabled=run is None)
            st.page_link(PAGES / "ablate.py", label="Which settings matter")
    with third:
        _demo()
    with fourth:
        _own()


def _own() -> None:
    st.subheader("Make it yours")
    widgets.note("Your pictures, recordings or latents: see them, encode them, compare every method.")
    with st.container(horizontal=True):
        st.page_link(PAGES / "data.py", label="Open Data")
        own = {"preset": "own"}
        st.page_link(PAGES / "generate.py", label="Compare on latents you have", query_params=own)


def _demo() -> None:
    st.subheader("Run the demo yourself")
    if runs.readonly():
        widgets.note("This server is for looking only (GELDA_READONLY is set): it starts no jobs.")
        return
    widgets.note("Handwritten digits from end to end, offline, about two minutes on two processor cores.")
    run_list.waits()
    with st.container(horizontal=True):
        if st.button("Run the demo", type="secondary" if run_list.going() else "primary"):
            run_list.attempt(lambda: jobs.start_demo("digits"))
        st.page_link(PAGES / "generate.py", label="Change its settings")
    told = "Five emotions in six languages of synthetic speech (espeak-ng), each language left out in turn."
    if st.button("Or the demo of synthetic speech", type="tertiary", help=told):
        run_list.attempt(lambda: jobs.start_demo("speech"))
