"""Results: the finding in a sentence, every augmenter with its interval, and what to distrust."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import charts, loading, made_view, state, widgets, words
from gelda import report as reports
from gelda import report_text, runs

REFERENCE = "logit-adjustment"
LEADING = ("tail", "uar", "unseen", "overall")
TABLE = ("tail", "uar", "unseen", "overall", "head", "medium", "worst", "macro_f1")


def view(run: runs.RunState, head: Any) -> None:
    """The whole page; `head` is the place of the headline beside the run picker."""
    report = loading.report_of(run.path)
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
    state.publish()


def closing(run: runs.RunState, report: dict[str, Any]) -> None:
    """What was made, gain by class size, confusion, the generator's health, notes, exports, the time."""
    made_view.view(run)
    left, right = st.columns([0.56, 0.44], gap="large")
    if gains(report, "gelda")["group"].ne("").any():
        with left:
            _gain(report)
        with right:
            _confusion(report)
        _generator(report)
        left, right = st.columns([0.56, 0.44], gap="large")
        with left:
            _notes(run, report)
        with right:
            _seconds(run, report)
    else:  # scarcity is of cells or of a subdomain: no class has a size to plot against
        with left:
            _confusion(report)
        with right:
            _notes(run, report)
            _seconds(run, report)


def _finding(report: dict[str, Any]) -> str:
    own = differences(report, ("tail", "unseen"))
    return charts.forest_title(own[own["method"] == "gelda"], "logit adjustment")


def title_of(method: str) -> str:
    return reports.METHOD_TITLES.get(method, method)


def methods_of(report: dict[str, Any]) -> list[str]:
    """Methods in the order of the registry, unknown ones last."""
    known = [m for m in reports.METHOD_TITLES if m in report["methods"]]
    return known + [m for m in report["methods"] if m not in known]


def _leading(report: dict[str, Any]) -> None:
    own = report["methods"].get("gelda") or next(iter(report["methods"].values()))
    pairs = report["paired_to_la"].get("gelda", {})
    shown = [m for m in ("tail", "uar", "unseen") if own.get(m)]
    for column, metric in zip(st.columns(len(shown), gap="large"), shown, strict=True):
        with column:
            score = own[metric]
            unit = f"%  (interval {words.interval(score['ci95'])})"
            how = f"{words.MEANINGS[metric].capitalize()}. {words.difference(pairs.get(metric))}."
            widgets.figure_block(f"{words.METRICS[metric]}, GeLDA", words.number(score["mean"]), unit, how)


def _table(report: dict[str, Any]) -> None:
    st.subheader("Every method, on the same adapter, layer and seeds")
    metrics = [m for m in TABLE if any(m in scores for scores in report["methods"].values())]
    head = "".join(f"<th>{words.METRICS.get(m, m)}</th>" for m in metrics)
    rows = []
    for method in methods_of(report):
        cells = "".join(_cell(report, method, metric) for metric in metrics)
        own = ' class="own"' if method == "gelda" else ""
        rows.append(f"<tr{own}><td>{words.safe(title_of(method))}</td>{cells}</tr>")
    st.html(
        f'<div class="scroll"><table class="numbers"><thead><tr><th>percent</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    widgets.note(
        "Large: mean over seeds. Small: paired difference to logit adjustment with its 95 % interval; "
        "grey where the interval holds zero, which is inside the noise."
    )


def _cell(report: dict[str, Any], method: str, metric: str) -> str:
    score = report["methods"][method].get(metric)
    pair = report["paired_to_la"].get(method, {}).get(metric)
    if not score:
        return "<td>–</td>"
    small = "reference" if method == REFERENCE else ""
    sure = method == REFERENCE
    if pair:
        sure = words.certain(pair["ci95"])
        small = f"{words.number(pair['mean'], signed=True)} ({words.interval(pair['ci95'], signed=True)})"
    faint = "" if sure or not pair else ' style="opacity:.75"'
    strong = "<b>", "</b>"
    difference = f"{strong[0]}{small}{strong[1]}" if pair and sure else small
    return f"<td>{words.number(score['mean'])}<br><small{faint}>{difference}</small></td>"


def differences(report: dict[str, Any], metrics: tuple[str, ...] = LEADING) -> pd.DataFrame:
    """Paired differences to logit adjustment as rows: metric, method, title, mean, low, high."""
    rows = []
    for metric in metrics:
        for method in methods_of(report):
            pair = report["paired_to_la"].get(method, {}).get(metric)
            if pair and pair.get("mean") is not None and None not in pair["ci95"]:
                low, high = pair["ci95"]
                rows.append((metric, method, title_of(method), pair["mean"], low, high))
    return pd.DataFrame(rows, columns=["metric", "method", "title", "mean", "low", "high"])


def _forest(report: dict[str, Any]) -> None:
    frame = differences(report)
    if frame.empty:
        return
    show(charts.forest(frame, st.context.theme.type), "differences")


def show(figure: Any, name: str, on_select: Any = "ignore") -> None:
    """A chart with its export button and its title for screen readers."""
    st.plotly_chart(
        figure,
        theme=None,
        config=charts.config(name),
        key=f"chart-{name}",
        alt=words.plain(figure.layout.title.text),
        on_select=on_select,
        selection_mode="points",
    )


def gains(report: dict[str, Any], method: str) -> pd.DataFrame:
    """Gain in recall over logit adjustment, one row a class and seed."""
    rows = [
        (
            e["seed"],
            report["class_names"][e["class"]],
            e["count"],
            e["group"],
            e["recall"][method] - e["recall"][REFERENCE],
        )
        for e in report.get("per_class", [])
        if e["recall"].get(method) is not None and e["recall"].get(REFERENCE) is not None and e["count"] > 0
    ]
    return pd.DataFrame(rows, columns=["seed", "class_name", "count", "group", "gain"])


def _gain(report: dict[str, Any]) -> None:
    frame = gains(report, "gelda")
    show(
        charts.gain_by_size(frame, st.context.theme.type, title_of("gelda"), "logit adjustment"),
        "gain-by-size",
    )


def _confusion(report: dict[str, Any]) -> None:
    known = [m for m in methods_of(report) if m in report.get("confusion", {})]
    if not known:
        return
    holder = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state.bind("method", "gelda" if "gelda" in known else known[0], known)
        st.selectbox("Method", known, key="method", format_func=title_of, width=240)
        state.bind("against", False)
        method = state.value("method")
        st.toggle("Difference to logit adjustment", key="against", disabled=method == REFERENCE)
    used = np.sum([np.asarray(report["confusion"][m]) for m in known], 0)
    there = np.flatnonzero(used.sum(0) + used.sum(1))  # classes that were in play
    names = [report["class_names"][c] for c in there]
    against = state.value("against") and method != REFERENCE and REFERENCE in report["confusion"]
    counts = np.asarray(report["confusion"][method], dtype=float)[np.ix_(there, there)]
    reference = None
    if against:
        reference = np.asarray(report["confusion"][REFERENCE], dtype=float)[np.ix_(there, there)]
    title = (
        f"What {title_of(method)} says differently" if against
        else charts.confusion_title(counts, names, title_of(method))
    )  # fmt: skip
    with holder:
        show(
            charts.confusion(counts, names, title, st.context.theme.type, reference),
            "confusion",
        )


def health(generator: dict[str, Any], filtered: bool = True) -> list[tuple[str, str, str, str]]:
    """The generator's figures: name, value, what it stands beside, how to read it."""
    n = words.number

    def percent(key: str) -> str:
        return n(100 * generator[key], 0) if generator.get(key) is not None else "–"

    return [
        (
            "Variance ratio",
            n(generator.get("variance_ratio"), 2),
            f"rare classes {n(generator.get('variance_ratio_tail'), 2)}; real is 1",
            "Spread within a class, over that of held-out real latents. Under 1: they vary too little.",
        ),
        (
            "Fréchet distance",
            n(generator.get("frechet"), 1),
            f"real to real {n(generator.get('frechet_real'), 1)}; "
            f"a Gaussian {n(generator.get('frechet_gaussian'), 1)}",
            "How far the shapes of the synthetic and real clouds differ, class means removed. Real to real "
            "is as good as it gets; above the Gaussian, one covariance for all classes does better.",
        ),
        (
            "Memorisation",
            percent("memorisation"),
            f"% near a training latent; held-out real {percent('memorisation_real')} %",
            "Share of latents nearer to a training latent than 95 % of held-out real ones are. Well above "
            "the real figure: copies. Well below: they lie further out than real ones do.",
        ),
        (
            "Kept by the filter",
            percent("kept_share"),
            "% of synthetic latents",
            "The others of each cell scored lowest and were not trained on."
            if filtered
            else "This run uses no filter: every synthetic latent is trained on.",
        ),
    ]


def _filtered(report: dict[str, Any]) -> bool:
    return report.get("config", {}).get("sampling", {}).get("filter", "none") != "none"


def _generator(report: dict[str, Any]) -> None:
    if not report.get("generator"):
        return
    st.subheader("Are the synthetic latents healthy?")
    figures = health(report["generator"], _filtered(report))
    for column, (name, value, beside, how) in zip(
        st.columns(len(figures), gap="medium"), figures, strict=True
    ):
        with column:
            st.html(
                f'<div class="figure"><p class="what">{name}</p><p class="value">{value}</p>'
                f'<p class="how">{words.safe(beside)}</p><p class="how read">{how}</p></div>'
            )


def _notes(run: runs.RunState, report: dict[str, Any]) -> None:
    if report.get("notes"):
        st.subheader("What to keep in mind")
        st.markdown("\n".join(f"- {text}" for text in report["notes"]))
    st.subheader("Take it with you")
    _exports(run, report)


def _seconds(run: runs.RunState, report: dict[str, Any]) -> None:
    spent = {k: v for k, v in report.get("seconds", {}).items() if v and k != "total"}
    if spent:
        titles = {s.name: s.title for s in run.stages}
        frame = pd.DataFrame({"title": [titles.get(k, k) for k in spent], "seconds": list(spent.values())})
        show(charts.seconds(frame, st.context.theme.type), "seconds")


def _exports(run: runs.RunState, report: dict[str, Any]) -> None:
    with st.container(horizontal=True):
        for label, suffix, mime, make in (
            ("CSV", "csv", "text/csv", lambda: report_text.to_frame(report).to_csv(index=False)),
            ("Markdown", "md", "text/markdown", lambda: report_text.to_markdown(report)),
            ("LaTeX", "tex", "text/plain", lambda: report_text.to_latex(report)),
            ("JSON", "json", "application/json", lambda: json.dumps(report, indent=1)),
        ):
            st.download_button(label, make(), f"{run.id}.{suffix}", mime, on_click="ignore")
    widgets.note("Every chart saves as SVG: the camera at its upper right.")
