"""Two runs side by side: measures, classes, the same points on two maps, and what was set otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import (
    explore_view,
    figures,
    loading,
    results_classes,
    run_list,
    run_names,
    state,
    versus,
    widgets,
    words,
)
from app import map as latent_map
from gelda import contrast, runs
from gelda.errors import UserError
from gelda.report import method_title
from gelda.verdicts import FEWEST_SEEDS

MOST_SETTINGS = 40


def picker(run: runs.RunState, place: Any) -> runs.RunState | None:
    """The other run of the page, from the URL; None where the page is about one run."""
    known = [*runs.list_runs(limit=run_list.RECENT), *runs.shipped_runs()]
    others = {r.id: r for r in known if r.status == "done" and r.reported and r.id != run.id}
    asked = st.query_params.get("other")
    if asked and asked != run.id and asked not in others and runs.exists(asked):
        try:
            found = runs.read_state(runs.find_run(asked))
            runs.require_report(found)
            loading.report_of(found.path)
            others[asked] = found
        except UserError as error:  # the run itself can be looked at all the same
            widgets.warn(error)
    state.bind("other", "", ["", *others], "run")
    titles = {"": "no other run", **run_names.titles(list(others.values()))}
    place.selectbox("Beside", list(titles), key="other", format_func=titles.get)
    return others.get(state.value("other"))


def view(run: runs.RunState, other: runs.RunState, head: Any) -> None:
    """The whole page."""
    a, b = loading.report_of(run.path), loading.report_of(other.path)
    try:
        contrast.comparable(a, b)
    except UserError as error:
        with head:
            st.title("These two runs have nothing in common")
            widgets.absent()
        widgets.warn(error)
        state.publish()
        return
    figures.bind()
    title = head.container()
    first, second = _methods(a, b)
    rows = _measures(a, first, b, second)
    with title:
        st.title(versus.finding(a, b, rows))
        widgets.lead(
            f"First: <em>{words.safe(a['name'])}</em> ({words.safe(run.id)}). Second: "
            f"<em>{words.safe(b['name'])}</em> ({words.safe(other.id)})."
        )
        widgets.note(versus.pairing(a, b))
    left, right = st.columns([0.5, 0.5], gap="large")
    with left:
        _measure_table(rows, versus.methods(a, b, first, second))
        _settings(a, b)
    with right:
        results_classes.changes(contrast.by_class(a, first, b, second), "first", "second", "cls")
    if run.mapped and other.mapped:
        _maps(run, other)
    with title:
        widgets.absent()
    state.publish()


def _methods(a: dict[str, Any], b: dict[str, Any]) -> tuple[str, str]:
    """A method of each run; GeLDA, or what a run is about, at first."""
    names = []
    with st.container(horizontal=True):
        for report, key, title in (
            (a, "first", "Method of the first"),
            (b, "second", "Method of the second"),
        ):
            known = results_classes.methods_of(report)
            state.bind(key, contrast.main_method(report), known, "method")
            st.selectbox(title, known, key=key, format_func=method_title, width=260)
            names.append(state.value(key))
    return names[0], names[1]


def _measures(a: dict[str, Any], first: str, b: dict[str, Any], second: str) -> pd.DataFrame:
    """`contrast.by_measure` in the order of the other pages, the leading measures first."""
    rows = contrast.by_measure(a, first, b, second)
    order = [m for m in words.METRICS if m in set(rows["measure"])]
    return rows.set_index("measure").loc[order].reset_index()


def _measure_table(rows: pd.DataFrame, method: str) -> None:
    st.subheader(f"{method}, measure by measure")
    body = []
    for row in rows.itertuples():
        low_high = [row.low, row.high] if row.low == row.low else [None, None]
        text = words.number(row.difference, signed=True)
        if row.low == row.low:
            text += f" <small>({words.interval(low_high, signed=True)})</small>"
        told = f"<b>{text}</b>" if row.seeds >= FEWEST_SEEDS and words.certain(low_high) else text
        cells = "".join(f"<td>{t}</td>" for t in (words.number(row.a), words.number(row.b), told))
        body.append(f"<tr><td>{words.METRICS[row.measure]}</td>{cells}</tr>")
    widgets.table("percent", "<th>first</th><th>second</th><th>second − first</th>", body)


def _settings(a: dict[str, Any], b: dict[str, Any]) -> None:
    found = contrast.settings(a, b)
    st.subheader(
        f"{words.count(len(found), 'setting')} differ{'s' * (len(found) == 1)}" if found
        else "No setting differs"
    )  # fmt: skip
    body = [
        f'<tr><td class=wrap title="{words.safe(name)}">{words.safe(versus.setting(name))}</td>'
        f"<td class=wrap>{words.safe(versus.choice(name, one))}</td>"
        f"<td class=wrap>{words.safe(versus.choice(name, two))}</td></tr>"
        for name, one, two in found[:MOST_SETTINGS]
    ]
    if body:
        widgets.table("setting", "<th>first</th><th>second</th>", body)
        if any("" in (one, two) for _, one, two in found[:MOST_SETTINGS]):
            widgets.note("A dash: that run has no such setting.")
    if len(found) > MOST_SETTINGS:
        widgets.note(f"The first {MOST_SETTINGS} of them; the cards of the runs have all.")


def _maps(run: runs.RunState, other: runs.RunState) -> None:
    """The same points on two maps, in one colouring; the second is turned and scaled to lie on the first."""
    layouts = [_layout(one) for one in (run, other)]
    if None in layouts:
        return
    first, second = layouts
    rows = versus.shared_rows(first.points, second.points)
    xy = versus.aligned(second.xy, first.xy, rows[1], rows[0])
    labels = latent_map.labels_at_modes(xy, second.colouring, second.visible)
    second = replace(second, xy=xy, labels=labels, view=f"{second.view}/beside/{first.view}")
    st.header("The same points, twice")
    for column, layout, one, key in zip(
        st.columns(2, gap="medium"), (first, second), (run, other), ("first_map", "second_map"), strict=True
    ):
        with column:
            widgets.note(f"<strong>{words.safe(one.name)}</strong> · {words.safe(one.id)}")
            latent_map.draw(layout, key=key, height=470, run=one.path)
    widgets.note(
        f"{words.count(len(rows[0]), 'real latent is', 'real latents are')} on both; by them the second map "
        "is turned, mirrored and scaled onto the first. What lies elsewhere then was placed otherwise by the "
        "run, or by the map: neighbours decide, not distances."
        if len(rows[0]) >= 3
        else "The two share no point, so each map lies as it was drawn."
    )


def _layout(run: runs.RunState) -> latent_map.Layout | None:
    maps = [m for m in loading.maps(run.path) if m.state == "done" and m.scope_kind == "all"]
    if not maps:
        return None
    info = next((m for m in maps if m.has_synthetic), maps[0])
    points = loading.points(run.path)
    shown = points["kept"].to_numpy(dtype=bool) & (points["split"] != "test").to_numpy()
    meta = loading.meta(run.path)
    return explore_view.layout_of(run, info, points, shown, np.empty(0, dtype=np.int64), meta, "class")
