"""Results: the finding in a sentence, every augmenter with its interval, and what to distrust."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import (
    charts,
    figures,
    forest_charts,
    loading,
    made_view,
    results_classes,
    results_exports,
    results_quality,
    state,
    widgets,
    words,
)
from app.figures import show
from app.results_classes import methods_of
from gelda import contrast, runs, verdicts
from gelda.report import method_title

REFERENCE = "logit-adjustment"
LEADING = ("tail", "uar", "unseen", "overall")
TABLE = (*LEADING, "head", "medium", "worst", "macro_f1", "harmonic", "geometric")


def view(run: runs.RunState, head: Any) -> None:
    """The whole page; `head` is the place of the headline beside the run picker."""
    report = loading.report_of(run.path)
    figures.bind()
    with head:
        st.title(_finding(report))
        widgets.lead(words.safe(words.minus(report.get("headline") or report["name"])))
    seeds = words.count(len(report["seeds"]), "seed")
    widgets.note(f"{words.safe(report.get('setting', ''))} The same {seeds} in every method.")
    widgets.remark(report)
    _leading(report)
    _table(report)
    _forest(report)
    closing(run, report)
    with head:
        widgets.absent()
    state.publish()


def closing(run: runs.RunState, report: dict[str, Any]) -> None:
    """What was made, classes, subdomains, the generator's health, notes, exports and the time."""
    made_view.view(run)
    results_classes.view(report)
    results_quality.view(report)
    left, right = st.columns([0.56, 0.44], gap="large")
    with left:
        if report.get("notes"):
            st.header("What to keep in mind")
            widgets.bullets([words.minus(text) for text in report["notes"]])
        results_exports.view(run, report)
    with right:
        _seconds(run, report)


def _finding(report: dict[str, Any]) -> str:
    if not verdicts.enough(report):
        seeds = words.count(len(report["seeds"]), "seed")
        return f"{seeds} {'is' if len(report['seeds']) == 1 else 'are'} too few to tell methods apart"
    told = tuple(m for m in ("tail", "unseen") if verdicts.counts(report, m))
    if not told:
        return "Too few test groups to tell methods apart"
    own = differences(report, told)
    return forest_charts.title(own[own["method"] == "gelda"], "logit adjustment")


def _leading(report: dict[str, Any]) -> None:
    own = report["methods"].get("gelda") or next(iter(report["methods"].values()))
    pairs = report["paired_to_la"].get("gelda", {})
    shown = [m for m in ("tail", "uar", "unseen") if own.get(m)]
    for column, metric in zip(st.columns(len(shown), gap="large"), shown, strict=True):
        with column:
            score = own[metric]
            how = f"{words.MEANINGS[metric].capitalize()}. {words.difference(pairs.get(metric))}."
            widgets.figure_block(
                f"{words.METRICS[metric]}, GeLDA",
                words.number(score["mean"]),
                words.percent(score["ci95"]),
                how,
            )


def _table(report: dict[str, Any]) -> None:
    st.subheader("Every method, on the same adapter, layer and seeds")
    metrics = [m for m in TABLE if any(m in scores for scores in report["methods"].values())]
    head = "".join(f"<th>{words.METRICS.get(m, m)}</th>" for m in metrics)
    rows = []
    for method in methods_of(report):
        pairs = _pairs(report, method)
        cells = "".join(_cell(report, method, metric, pairs.get(metric)) for metric in metrics)
        own = ' class="own"' if method == "gelda" else ""
        rows.append(f"<tr{own}><td>{words.safe(method_title(method))}</td>{cells}</tr>")
    st.html(
        f'<div class="scroll"><table class="numbers wide"><thead><tr><th>percent</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    widgets.note(
        "Large: mean over seeds. Small: paired difference to logit adjustment with its 95 % interval; "
        "grey where the interval holds zero, which is inside the noise. Where no interval is written, point "
        "at the difference: it is over seeds alone."
    )


def _pairs(report: dict[str, Any], method: str) -> dict[str, dict[str, Any]]:
    """Paired differences to logit adjustment by measure; `seeds` true: the interval is over seeds alone."""
    if method == REFERENCE or REFERENCE not in report["methods"]:
        return {}
    found = {}
    for row in contrast.by_measure(report, REFERENCE, report, method).itertuples():
        ends = [None if v != v else v for v in (row.low, row.high)]
        found[row.measure] = {"mean": row.difference, "ci95": ends, "seeds": True}
    return found | report["paired_to_la"].get(method, {})


def _cell(report: dict[str, Any], method: str, metric: str, pair: dict[str, Any] | None) -> str:
    score = report["methods"][method].get(metric)
    if not score:
        return "<td>–</td>"
    small, look = "reference" if method == REFERENCE else "", ""
    if pair and pair["mean"] == pair["mean"]:
        small, told = words.number(pair["mean"], signed=True), words.interval(pair["ci95"], signed=True)
        if None in pair["ci95"]:
            look = ' title="no interval"'
        elif pair.get("seeds") is True:
            look = f' title="95 % interval over seeds: {told}"'
        else:
            small = f"{small} ({told})"
        if verdicts.counts(report, metric) and words.certain(pair["ci95"]):
            small = f"<b>{small}</b>"
        else:
            look += ' style="opacity:.75"'
    return f"<td>{words.number(score['mean'])}<br><small{look}>{small}</small></td>"


def differences(report: dict[str, Any], metrics: tuple[str, ...] = LEADING) -> pd.DataFrame:
    """Paired differences to logit adjustment as rows: metric, method, title, mean, low, high."""
    rows = []
    for metric in metrics:
        for method in methods_of(report):
            pair = report["paired_to_la"].get(method, {}).get(metric)
            if pair and pair.get("mean") is not None and None not in pair["ci95"]:
                low, high = pair["ci95"]
                rows.append((metric, method, method_title(method), pair["mean"], low, high))
    return pd.DataFrame(rows, columns=["metric", "method", "title", "mean", "low", "high"])


def _forest(report: dict[str, Any]) -> None:
    frame = differences(report)
    if frame.empty:
        return
    enough = all(verdicts.counts(report, metric) for metric in frame["metric"].unique())
    figure = forest_charts.forest(frame, st.context.theme.type, enough=enough)
    show(figure, "differences")


def _seconds(run: runs.RunState, report: dict[str, Any]) -> None:
    spent = {k: v for k, v in report.get("seconds", {}).items() if v and k != "total"}
    if spent:
        titles = {s.name: s.title for s in run.stages}
        frame = pd.DataFrame({"title": [titles.get(k, k) for k in spent], "seconds": list(spent.values())})
        show(charts.seconds(frame, st.context.theme.type), "seconds")
