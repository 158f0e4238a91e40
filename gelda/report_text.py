"""The report as tables: Markdown, LaTeX, CSV."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gelda import report_folds, rounding
from gelda.report import MEASURES, SEEDS_ALONE, method_title


def to_csv(table: pd.DataFrame) -> str:
    """A table as CSV for spreadsheets. A text that begins with = + - or @ would be run as a formula where the
    file is opened: an apostrophe before it keeps it text, numbers stay as they are (OWASP, CSV injection).
    """

    def kept(value: Any) -> Any:
        formula = isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@"))
        return f"'{value}" if formula else value

    plain = table.rename(columns=kept)
    for place, kind in enumerate(table.dtypes):
        if pd.api.types.is_object_dtype(kind) or isinstance(kind, pd.StringDtype | pd.CategoricalDtype):
            values = [kept(value) for value in table.iloc[:, place]]
            plain.isetitem(place, pd.Series(values, table.index, object))
    return plain.to_csv(index=False, lineterminator="\n")


def to_frame(report: Mapping[str, Any]) -> pd.DataFrame:
    """One row a method and measure: mean, interval, paired difference to logit adjustment.

    Rows with a `subdomain` are of its test items alone; they are means over seeds, without an interval.
    """
    rows: list[dict[str, Any]] = []
    nothing = {"mean": None, "ci95": [None, None]}
    for method, measures in report["methods"].items():
        own = {"method": method, "seeds": len(report["seeds"])}
        for measure, value in measures.items():
            paired = report["paired_to_la"].get(method, {}).get(measure, nothing)
            difference = dict(zip(DIFFERENCE, [paired["mean"], *paired["ci95"]], strict=True))
            low, high = value["ci95"]
            figures = {"mean": value["mean"], "low": low, "high": high}
            rows.append({**own, "subdomain": "", "measure": measure, **figures, **difference})
        for subdomain, figures in report.get("subdomain_figures", {}).get(method, {}).items():
            for measure, mean in figures.items():
                rows.append({**own, "subdomain": subdomain, "measure": measure, "mean": mean})
    columns = ["method", "subdomain", "measure", "mean", "low", "high", *DIFFERENCE, "seeds"]
    return pd.DataFrame(rows, columns=columns)


DIFFERENCE = ("minus_logit_adjustment", "minus_low", "minus_high")
TABLE = ("tail", "uar", "unseen", "overall")
MORE = ("head", "medium", *SEEDS_ALONE)

Table = tuple[str, list[str], list[list[str]]]  # what it shows, names of its columns, rows of text


def tables(report: Mapping[str, Any]) -> list[Table]:
    """Every table of a report as text: the leading measures, the others, and UAR of each subdomain."""
    titles = {m: method_title(m) for m in report["methods"]}
    found: list[Table] = []
    head = ["method", *[MEASURES[m] for m in TABLE], "tail − logit adj.", "unseen − logit adj."]
    found.append(("Percent, means over seeds", head, [_cells(report, method) for method in titles]))
    more = [m for m in MORE if any(_told(report, method, m) != "–" for method in titles)]
    rows = [[title, *[_told(report, m, measure) for measure in more]] for m, title in titles.items()]
    found.append(("Further measures, percent", ["method", *[MEASURES[m] for m in more]], rows))
    figures = report.get("subdomain_figures", {})
    tested = [s for s in report["subdomain_names"] if any(s in figures.get(m, {}) for m in titles)]
    if len(tested) > 1:
        for measure, name in SUBDOMAIN.items():
            rows = [
                [title, *[_figure(figures.get(m, {}).get(s, {}).get(measure)) for s in tested]]
                for m, title in titles.items()
            ]
            found.append((f"{name} by subdomain, percent", ["method", *tested], rows))
    return found


SUBDOMAIN = {"uar": "UAR", "overall": "Accuracy", "macro_f1": "Macro F1"}


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; names come from files, so bars are escaped and lines joined."""
    told = [[" ".join(text.replace("|", r"\|").splitlines()) for text in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in told]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def to_markdown(report: Mapping[str, Any]) -> str:
    """The comparison as Markdown tables with its notes."""
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
    for title, head, rows in tables(report):
        lines += [f"{title}:", "", *markdown_table(head, rows), ""]
    lines += [*report_folds.to_markdown(report), ""] if report.get("folds") else []
    return "\n".join([*lines, *[f"- {note}" for note in report["notes"]]]) + "\n"


def to_latex(report: Mapping[str, Any]) -> str:
    """The comparison as booktabs tables, one below the other."""
    lines: list[str | None] = []
    for title, head, rows in tables(report):
        lines += [
            "" if lines else None,
            f"% {title} (needs the package booktabs)",
            r"\begin{tabular}{l" + "r" * (len(head) - 1) + "}",
        ]
        lines += [r"\toprule", _latex_row(head), r"\midrule", *map(_latex_row, rows)]
        lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(line for line in lines if line is not None) + "\n"


MATHS = {"<": "$<$", ">": "$>$", "|": "$|$", "τ": r"$\tau$"}


def _latex_row(cells: Sequence[str]) -> str:
    escaped = []
    for cell in cells:
        text = re.sub(r"([&%$#_{}])", r"\\\1", cell.replace("\\", r"\textbackslash "))
        text = re.sub(r"[<>|τ]", lambda sign: MATHS[sign[0]], text)  # < is ¡ in LaTeX's first font
        text = text.replace("~", r"\textasciitilde{}").replace("^", r"\textasciicircum{}")
        escaped.append(re.sub(r"−|(?<!\w)-(?=\d)", "$-$", text).replace("–", "--"))
    return " & ".join(escaped) + r" \\"


def interval_text(value: Mapping[str, Any], signed: bool = False) -> str:
    """ "62.3 [60.1, 64.5]", or the mean alone where there is no interval."""
    mean, (low, high) = value["mean"], value["ci95"]
    if mean is None or not np.isfinite(mean):
        return "–"
    text = rounding.number(mean, signed=signed)
    if low is None or not np.isfinite(low):
        return text
    return f"{text} [{', '.join(rounding.ends(low, high, signed))}]"


def _cells(report: Mapping[str, Any], method: str) -> list[str]:
    paired = report["paired_to_la"].get(method)
    differences = [interval_text(paired[m], signed=True) if paired else "–" for m in ("tail", "unseen")]
    means = [_told(report, method, m) for m in TABLE]
    return [method_title(method), *means, *differences]


def _told(report: Mapping[str, Any], method: str, measure: str) -> str:
    """A mean without its interval; a dash where a report has no such measure."""
    return _figure((report["methods"][method].get(measure) or {}).get("mean"))


def _figure(value: float | None) -> str:
    return interval_text({"mean": value, "ci95": [None, None]})
