"""The report as text: Markdown, LaTeX, CSV, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gelda import report_folds
from gelda.errors import UserError, nearest
from gelda.report import MEASURES, METHOD_TITLES


def to_frame(report: Mapping[str, Any]) -> pd.DataFrame:
    """One row a method and measure: mean, interval, paired difference to logit adjustment."""
    rows = []
    for method, measures in report["methods"].items():
        for measure, value in measures.items():
            paired = report["paired_to_la"].get(method, {}).get(measure, {"mean": None, "ci95": [None, None]})
            rows.append(
                {
                    "method": method,
                    "measure": measure,
                    "mean": value["mean"],
                    "low": value["ci95"][0],
                    "high": value["ci95"][1],
                    "minus_logit_adjustment": paired["mean"],
                    "minus_low": paired["ci95"][0],
                    "minus_high": paired["ci95"][1],
                    "seeds": len(report["seeds"]),
                }
            )
    return pd.DataFrame(rows)


TABLE = ("overall", "head", "medium", "tail", "uar", "unseen")


def to_markdown(report: Mapping[str, Any]) -> str:
    """The comparison as a Markdown table with its notes."""
    head = ["method", *[MEASURES[m] for m in TABLE], "tail − logit adj.", "unseen − logit adj."]
    remark = [report["remark"], ""] if report.get("remark") else []
    lines = [
        f"# {report['name']} ({report['run']})",
        "",
        report["headline"],
        "",
        *remark,
        report["setting"],
        "",
    ]
    lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for method in report["methods"]:
        lines.append("| " + " | ".join(_cells(report, method)) + " |")
    lines += report_folds.to_markdown(report)
    lines += ["", *[f"- {note}" for note in report["notes"]]]
    return "\n".join(lines) + "\n"


def to_latex(report: Mapping[str, Any]) -> str:
    """The comparison as a booktabs table."""
    head = ["Method", *[MEASURES[m] for m in TABLE], r"$\Delta$ tail", r"$\Delta$ unseen"]
    lines = [
        r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    for method in report["methods"]:
        lines.append(" & ".join(_cells(report, method)).replace("−", "$-$").replace("%", r"\%") + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


FORMATS = ("md", "csv", "latex", "json")


def render(report: Mapping[str, Any], form: str) -> str:
    """The report as text in one of FORMATS."""
    import json

    if form == "md":
        return to_markdown(report)
    if form == "csv":
        return to_frame(report).to_csv(index=False)
    if form == "latex":
        return to_latex(report)
    if form == "json":
        return json.dumps(report, indent=1) + "\n"
    raise UserError(f"There is no report format '{form}'.{nearest(form, FORMATS)}")


def interval_text(value: Mapping[str, Any], signed: bool = False) -> str:
    """ "62.3 [60.1, 64.5]", or the mean alone where there is no interval."""
    mean, (low, high) = value["mean"], value["ci95"]
    if mean is None or not np.isfinite(mean):
        return "–"
    form = "{:+.1f}" if signed else "{:.1f}"
    if low is None or not np.isfinite(low):
        return form.format(mean)
    return f"{form.format(mean)} [{form.format(low)}, {form.format(high)}]"


def _cells(report: Mapping[str, Any], method: str) -> list[str]:
    paired = report["paired_to_la"].get(method)
    differences = [interval_text(paired[m], signed=True) if paired else "–" for m in ("tail", "unseen")]
    means = [interval_text({**report["methods"][method][m], "ci95": [None, None]}) for m in TABLE]
    return [METHOD_TITLES.get(method, method), *means, *differences]
