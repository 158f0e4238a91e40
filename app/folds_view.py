"""A transfer by test fold: WA, UAR and macro F1 of every method over the folds, and fold by fold of one."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import comparison, state, widgets, words
from gelda import report_folds
from gelda.report import OURS, method_title

HEAD = "".join(f"<th>{text[:1].upper()}{text[1:]}</th>" for text in report_folds.FIGURES.values())


def show(report: dict[str, Any]) -> None:
    """Nothing where the report has no folds: a long tail, or a report
    from before there were any."""
    folds = report.get("folds")
    if not folds:
        return
    st.subheader(f"Fold by fold in {words.escaped(folds[0]['subdomain'])}")
    widgets.note(words.safe(report_folds.said(report["independence"])))
    methods = [m for _, group in comparison.ordered(report, "uar", False) for m in group]
    left, right = st.columns([0.58, 0.42], gap="large")
    with left:
        rows = []
        for method in methods:
            own = ' class="own"' if method == OURS else ""
            cells = "".join(_range(report, method, figure) for figure in report_folds.FIGURES)
            rows.append(f"<tr{own}><td>{words.safe(method_title(method))}</td>{cells}</tr>")
        widgets.table("percent, mean of the folds", HEAD, rows)
        widgets.note("Small: the lowest and the highest fold. WA weighs items alike, UAR classes.")
    with right:
        default = OURS if OURS in methods else methods[0]
        state.bind("fold_method", default, methods, "method")
        st.selectbox("Every fold of", methods, key="fold_method", format_func=method_title, width=300)
        chosen = state.value("fold_method")
        rows = []
        for fold in folds:
            figures = fold["figures"][chosen]
            cells = "".join(f"<td>{words.number(figures[name])}</td>" for name in report_folds.FIGURES)
            tested = f"{words.count(fold['groups'], 'group')}, {words.count(fold['items'], 'item')}"
            name = f"seed {fold['seed']}, fold {fold['fold']}<br><small>{tested}</small>"
            rows.append(f"<tr><td>{name}</td>{cells}</tr>")
        widgets.table("percent", HEAD, rows)


def _range(report: dict[str, Any], method: str, figure: str) -> str:
    mean, low, high = report_folds.spread(report, method, figure)
    return f"<td>{words.number(mean)}<br><small>{words.number(low)} to {words.number(high)}</small></td>"
