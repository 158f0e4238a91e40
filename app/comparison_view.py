"""Results of `gelda compare`: every method by kind, GeLDA minus each of them, and what validation chose."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import (
    comparison,
    comparison_charts,
    figures,
    folds_view,
    loading,
    results_view,
    state,
    widgets,
    words,
)
from gelda import runs, verdicts
from gelda.report import OURS, method_title

ORDERS = {"kind": "By kind", "best": "Best first"}


def view(run: runs.RunState, head: Any) -> None:
    """The whole page; `head` is the place of the headline beside the run picker."""
    report = loading.report_of(run.path)
    figures.bind()
    with head:
        st.title(comparison.finding(report))
        widgets.lead(words.safe(words.minus(report.get("headline") or report["name"])))
    widgets.note(words.safe(report.get("setting", "")))
    widgets.caution(report)
    if comparison.uncounted(report):
        widgets.note(f"<strong>{words.safe(comparison.uncounted(report))}</strong>")
    _leading(report)
    paired = comparison.comparable(report) if OURS in report["methods"] else []
    main = verdicts.main_measure(report)
    shown = paired or comparison.measures(report)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state.bind("measure", main if main in shown else shown[0], shown)
        st.segmented_control(
            "Measure", shown, key="measure", required=True,
            format_func=lambda m: comparison.measure_title(report, m),
        )  # fmt: skip
        state.bind("order", "kind", list(ORDERS))
        st.segmented_control("Order", list(ORDERS), key="order", required=True, format_func=ORDERS.get)
    measure, by_kind = state.value("measure"), state.value("order") == "kind"
    if paired:
        left, right = st.columns([0.58, 0.42], gap="large")
        with left:
            forest(report, measure, by_kind)
        with right:
            _controls(report, paired)
    _table(report, measure, by_kind, bool(paired))
    folds_view.show(report)
    _selection(report)
    results_view.closing(run, report)
    with head:
        widgets.absent()
    state.publish()


def _leading(report: dict[str, Any]) -> None:
    own = report["methods"].get(OURS)
    measures = [m for m in comparison.comparable(report) if own and own[m].get("mean") is not None][:4]
    for column, measure in zip(st.columns(len(measures), gap="large") if measures else [], measures,
                               strict=True):  # fmt: skip
        with column:
            score = own[measure] if own else {}
            line = comparison.verdict_line(report, measure)
            widgets.figure_block(
                f"{comparison.measure_title(report, measure)}, GeLDA",
                words.number(score["mean"]),
                words.percent(score["ci95"]),
                line[:1].upper() + line[1:],
            )
    if measures:
        widgets.note(
            "Baselines are all methods but GeLDA, its paper form and its two controls; the best one has the "
            "highest mean here. Ahead of every baseline: each paired 95 % interval lies above zero."
        )


def forest(report: dict[str, Any], measure: str, by_kind: bool, name: str = "comparison") -> None:
    """GeLDA minus every other method on one measure."""
    frame = comparison.differences(report, measure, by_kind)
    if frame.empty:
        return
    title = f"GeLDA minus each method, {comparison.measure_title(report, measure)}"
    enough = verdicts.counts(report, measure)
    figures.show(comparison_charts.differences(frame, st.context.theme.type, title, enough=enough), name)


def _controls(report: dict[str, Any], measures: list[str]) -> None:
    """GeLDA minus its controls: what the semantic vectors add."""
    there = [m for m in comparison.CONTROLS if m in report["paired"]]
    if comparison.one_form(report):
        widgets.note("Validation gave GeLDA the form and weight of the paper’s: the two are one method here.")
        there.remove(comparison.PAPER)
    if set(there) <= {comparison.PAPER}:
        return
    st.subheader("What the semantics add")
    shown = [m for m in ("unseen", *measures) if m in measures]
    shown = list(dict.fromkeys(shown))[:2]
    head = "".join(f"<th>{words.safe(comparison.measure_title(report, m))}</th>" for m in shown)
    rows = []
    for method in there:
        cells = "".join(_difference(report, method, m, "<br>") for m in shown)
        rows.append(f"<tr><td>GeLDA − {words.safe(_short(method))}</td>{cells}</tr>")
    widgets.table("points", head, rows)
    decisive = "unseen" in measures
    widgets.note(
        "The two controls have the same form and weight; only the semantic vectors are left out, or given to "
        "the wrong names. "
        + ("It is in cells never seen that this decides." if decisive else "This cut has no cell never seen, "
           "where alone it would decide.")
    )  # fmt: skip


def _short(method: str) -> str:
    """ "without semantics": a control's title beside GeLDA's own name."""
    title = method_title(method).removeprefix("GeLDA").lstrip(", ")
    return title or method


def _difference(report: dict[str, Any], method: str, measure: str, gap: str = " ") -> str:
    pair = report["paired"].get(method, {}).get(measure)
    if not pair or pair.get("mean") is None:
        return "<td>–</td>"
    text = words.number(pair["mean"], signed=True)
    if None not in pair["ci95"]:
        text += f"{gap}<small>({words.interval(pair['ci95'], signed=True)})</small>"
    sure = verdicts.counts(report, measure) and words.certain(pair["ci95"])
    return f"<td>{f'<b>{text}</b>' if sure else text}</td>"


def _table(report: dict[str, Any], measure: str, by_kind: bool, paired: bool) -> None:
    st.subheader("Every method, on the same latents, layer and seeds")
    measures = comparison.measures(report)
    best = {m: verdicts.clear_best(report, m) for m in measures}
    other = bool(report.get("under_other_loss"))
    extra = ["GeLDA − method"] * paired + ["other loss"] * other
    heads = [*(words.safe(comparison.measure_title(report, m)) for m in measures), *extra]
    rows = []
    for kind, methods in comparison.ordered(report, measure, by_kind):
        if kind:
            rows.append(
                f'<tr class="kind"><th colspan="{1 + len(heads)}">{words.safe(kind.capitalize())}</th></tr>'
            )
        for method in methods:
            cells = [_mean(report, method, m, best[m] == method) for m in measures]
            if paired:
                cells.append("<td>–</td>" if method == OURS else _difference(report, method, measure))
            if other:
                cells.append(f"<td>{words.number(comparison.other_mean(report, method, measure))}</td>")
            own = ' class="own"' if method == OURS else ""
            rows.append(f"<tr{own}><td>{words.safe(method_title(method))}</td>{''.join(cells)}</tr>")
    head = "".join(f"<th>{text}</th>" for text in heads)
    widgets.table("percent, mean over seeds", head, rows)
    marked = [m for m in measures if best[m]]
    said = (
        "Underlined: the best of a column, where the intervals allow one method to be called that. "
        if marked
        else "No method is marked as the best of a column: the intervals do not allow it. "
    )
    name = words.safe(comparison.measure_title(report, measure))
    if paired:
        enough = f"{verdicts.FEWEST_SEEDS} seeds and 8 test groups or more"
        said += f"GeLDA − method: {name}, bold where the interval of {enough} excludes zero. "
    if other:
        said += (
            f"Other loss: {name} of the same arm trained with {comparison.other_loss(report)}; losses and "
            "heads have their own."
        )
    widgets.note(said)


def _mean(report: dict[str, Any], method: str, measure: str, best: bool) -> str:
    text = words.number((report["methods"][method].get(measure) or {}).get("mean"))
    return f'<td class="best">{text}</td>' if best else f"<td>{text}</td>"


def _selection(report: dict[str, Any]) -> None:
    """Layer, τ and GeLDA's form in every seed; the scores behind a method's choice."""
    choices = comparison.choices(report)
    if not choices:
        return
    st.subheader("What validation chose")
    left, right = st.columns([0.5, 0.5], gap="large")
    ours = [m for m in ("gelda", "gelda-paper") if m in report["methods"]]
    with left:
        head = "".join(f"<th>{words.safe(t)}</th>" for t in ("layer", "τ", *map(method_title, ours)))
        rows = []
        for title, choice in choices.items():
            cells = [choice["fm_layer"], f"{choice['tau']:g}"]
            cells += [comparison.chosen(choice, m) or "–" for m in ours]
            rows.append(
                f"<tr><td>{title}</td>{''.join(f'<td class=wrap>{words.safe(c)}</td>' for c in cells)}</tr>"
            )
        widgets.table("", head, rows)
        widgets.note(
            "Chosen on validation that reads no test label; how, the notes say. GeLDA’s two controls take "
            "the form that GeLDA was given."
        )
    names = comparison.tuned(report)
    if names:
        with right:
            default = OURS if OURS in names else names[0]
            state.bind("tuned", default, names)
            st.selectbox("Validation scores of", names, key="tuned", format_func=_tuned_title, width=300)
            _scores(report, state.value("tuned"))


def _tuned_title(name: str) -> str:
    return "Layer and τ" if name == comparison.LAYER else method_title(name)


def _scores(report: dict[str, Any], name: str) -> None:
    frame = comparison.scores(report, name)
    picked = {title: comparison.chosen(c, name) for title, c in comparison.choices(report).items()}
    head = "".join(f"<th>{title}</th>" for title in frame.columns)
    rows = []
    for setting, values in frame.iterrows():
        cells = "".join(
            f'<td class="best">{words.number(v, 3)}</td>' if picked[title] == setting
            else f"<td>{words.number(v, 3)}</td>"
            for title, v in values.items()
        )  # fmt: skip
        rows.append(f"<tr><td>{words.safe(setting)}</td>{cells}</tr>")
    widgets.table("log-loss", head, rows)
    several = any(comparison.VOTE in str(row) for row in frame.index)
    widgets.note(
        "Underlined: what was taken. Lower is better."
        + " Of the layers, the one with the lowest mean was taken; τ is logit adjustment’s best there."
        * several
    )
