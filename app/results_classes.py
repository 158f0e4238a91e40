"""Results class by class: gain against class size, confusion, the largest changes; then by subdomain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import charts, state, widgets, words
from app.figures import show
from gelda import contrast, semantic_tables
from gelda.report import BASELINE, METHOD_TITLES, OURS, method_title
from gelda.report_text import SUBDOMAIN
from gelda.verdicts import FEWEST_SEEDS

MOST = 20  # classes that a table or a matrix shows at once: the rest is found by name


def methods_of(report: dict[str, Any]) -> list[str]:
    """Methods in the order of the registry, unknown ones last."""
    known = [m for m in METHOD_TITLES if m in report["methods"]]
    return known + [m for m in report["methods"] if m not in known]


def view(report: dict[str, Any]) -> None:
    """Two methods, chosen once, and what lies between them in every class and subdomain."""
    known = methods_of(report)
    st.header("Class by class")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state.bind("method", OURS if OURS in known else known[0], known, "method")
        st.selectbox("Method", known, key="method", format_func=method_title, width=260)
        state.bind("minus", BASELINE if BASELINE in known else known[0], known, "method")
        st.selectbox("Beside", known, key="minus", format_func=method_title, width=260)
        state.bind("against", False)
        method, minus = state.value("method"), state.value("minus")
        shown = method in report.get("confusion", {}) and method != minus
        st.toggle("Confusion as a difference", key="against", disabled=not shown)
    sized = gains(report, method, minus)["group"].ne("").any() and method != minus
    left, right = st.columns([0.54, 0.46], gap="large")
    with left:
        (_gain if sized else _changes)(report, method, minus)
    with right:
        _confusion(report, method, minus)
    if sized:
        left, right = st.columns([0.54, 0.46], gap="large")
        with left:
            _changes(report, method, minus)
    with right if sized else st.container():
        _subdomains(report)


def gains(report: dict[str, Any], method: str, reference: str = BASELINE) -> pd.DataFrame:
    """Gain in recall over another method, one row a class and seed."""
    rows = [
        (
            e["seed"],
            report["class_names"][e["class"]],
            e["count"],
            e["group"],
            e["recall"][method] - e["recall"][reference],
        )
        for e in report.get("per_class", [])
        if e["recall"].get(method) is not None and e["recall"].get(reference) is not None and e["count"] > 0
    ]
    return pd.DataFrame(rows, columns=["seed", "class_name", "count", "group", "gain"])


def _gain(report: dict[str, Any], method: str, minus: str) -> None:
    frame = gains(report, method, minus)
    figure = charts.gain_by_size(frame, st.context.theme.type, method_title(method), in_words(minus))
    show(figure, "gain-by-size")


def in_words(method: str) -> str:
    """A method's title inside a sentence: acronyms and GeLDA keep their capitals."""
    title = method_title(method)
    return title[0].lower() + title[1:] if title[1:2].islower() and method != OURS else title


def _confusion(report: dict[str, Any], method: str, minus: str) -> None:
    kept = report.get("confusion", {})
    if method not in kept:
        if len(report["class_names"]) > 2:
            widgets.note("Which class is taken for which is not kept for this many classes.")
        return
    counts = np.asarray(kept[method], dtype=float)
    used = np.sum([np.asarray(table) for table in kept.values()], 0)
    there = np.flatnonzero(used.sum(0) + used.sum(1))  # classes that were in play
    names = report["class_names"]
    reference = np.asarray(kept[minus], dtype=float) if minus in kept and minus != method else None
    difference = state.value("against") and reference is not None
    picked = _picked(counts, reference if difference else None, there, names)
    few = [names[c] for c in picked]
    counts = counts[np.ix_(picked, picked)]
    title = (
        f"What {method_title(method)} says differently from {in_words(minus)}" if difference
        else charts.confusion_title(counts, few, method_title(method))
    )  # fmt: skip
    other = reference[np.ix_(picked, picked)] if difference and reference is not None else None
    show(charts.confusion(counts, few, title, st.context.theme.type, other), "confusion")


def _picked(
    counts: np.ndarray, reference: np.ndarray | None, there: np.ndarray, names: list[str]
) -> np.ndarray:
    """Ids of the classes in the matrix: all, or those asked for, else those with the most to see."""
    if len(there) <= MOST:
        return there
    share = np.nan_to_num(charts.row_percent(counts))
    if reference is not None:
        share = np.abs(share - np.nan_to_num(charts.row_percent(reference)))
    else:
        np.fill_diagonal(share, 0)
    weight = (share.max(0) + share.max(1))[there]
    first = np.sort(there[np.argsort(-weight, kind="stable")[:MOST]])
    state.bind("matrix", [], [names[c] for c in there], "class")
    asked = st.multiselect(
        "Classes in the matrix", [names[c] for c in there], key="matrix", max_selections=2 * MOST,
        placeholder=f"The {MOST} with most {'change' if reference is not None else 'confusion'}; "
        f"or any of {len(there)} by name",
    )  # fmt: skip
    return np.array([c for c in there if names[c] in set(asked)]) if len(asked) > 1 else first


def _changes(report: dict[str, Any], method: str, minus: str) -> None:
    """Recall of every class under both methods; the largest changes first."""
    if method == minus:
        widgets.note("Choose two different methods to see what changes from class to class.")
        return
    rows = contrast.by_class(report, minus, report, method)
    changes(rows, method_title(minus), method_title(method), "cls")


def changes(rows: pd.DataFrame, first: str, second: str, key: str) -> None:
    """A table of `contrast.by_class`, under a sentence on it; at most `MOST` rows, the others by name."""
    st.subheader(change_title(rows))
    said = chance(rows)  # of all of them, whichever are shown
    if len(rows) > MOST:
        state.bind(key, "")
        st.text_input(
            "Find a class", key=key, width=260, placeholder=f"The {MOST} largest changes; or a name"
        )
        asked = (state.value(key) or "").strip().casefold()
        rows = rows[rows["name"].str.casefold().str.contains(asked, regex=False)] if asked else rows
        if len(rows) > MOST:
            widgets.note(
                f"{MOST} of {words.count(len(rows), 'class', 'classes')}, the largest changes first."
            )
        if rows.empty:
            widgets.note("No class is called that.")
            return
    body = []
    for row in rows.head(MOST).itertuples():
        pair = {"mean": row.difference, "ci95": [row.low, row.high] if row.low == row.low else [None, None]}
        interval = f" <small>({words.interval(pair['ci95'], signed=True)})</small>" * (row.low == row.low)
        text = f"{words.number(row.difference, signed=True)}{interval}"
        told = f"<b>{text}</b>" if row.seeds >= FEWEST_SEEDS and words.certain(pair["ci95"]) else text
        cells = [words.number(row.count, 0), words.number(row.a), words.number(row.b), told]
        body.append(
            f"<tr><td><em>{words.safe(row.name)}</em></td>{''.join(f'<td>{c}</td>' for c in cells)}</tr>"
        )
    head = "".join(f"<th>{words.safe(t)}</th>" for t in ("training items", first, second, "difference"))
    widgets.table("recall, percent", head, body)
    if said:
        widgets.note(said)


def change_title(rows: pd.DataFrame) -> str:
    """How many classes gain and lose, where that is more than looking at so many of them explains."""
    if len(rows) and (rows["difference"].abs() < contrast.ROUNDING).all():
        return "No class changed"
    rows = counted(rows)
    if rows["low"].isna().all():
        return "The largest changes, class by class"
    up, down = contrast.standing_out(rows)
    if up or down:
        parts = [f"{words.count(n, 'class', 'classes')} {verb}{'s' * (n == 1)}" for n, verb in
                 ((up, "gain"), (down, "lose")) if n]  # fmt: skip
        return f"{words.listed(parts)}, all {words.thousands(len(rows))} counted"
    if not alone(rows):
        return "No class changes beyond its interval"
    return f"No class stands out once all {words.thousands(len(rows))} are counted"


def counted(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows, without the intervals that rest on too few seeds to call anything a change."""
    return rows.assign(**{end: rows[end].where(rows["seeds"] >= FEWEST_SEEDS) for end in ("low", "high")})


def alone(rows: pd.DataFrame) -> int:
    """Classes whose own interval excludes zero."""
    return int(((rows["low"] > 0) | (rows["high"] < 0)).sum())


def chance(rows: pd.DataFrame) -> str:
    """What bold means in the table, and how many classes have it by chance; nothing without intervals."""
    if rows["low"].isna().all():
        return ""
    rows = counted(rows)
    there = int(rows["low"].notna().sum())
    if not there:
        return f"Intervals are over seeds; with fewer than {FEWEST_SEEDS} none is called a change."
    expected = words.number(there / 20, 0 if there >= 20 else 1)
    return (
        f"Bold: the class’s own 95 % interval over seeds excludes zero. {words.thousands(alone(rows))} of "
        f"{words.thousands(there)} do; about {expected} would by chance. The heading counts those that "
        "remain when all are tested at once (Holm, 5 %)."
    )


def _subdomains(report: dict[str, Any]) -> None:
    """Every method in every subdomain: UAR, accuracy (WA) or macro F1."""
    figures = report.get("subdomain_figures", {})
    known = methods_of(report)
    tested = [s for s in report["subdomain_names"] if any(s in figures.get(m, {}) for m in known)]
    if len(tested) < 2:
        return
    st.subheader("Each method in each " + ("language" if _speech(report) else "subdomain"))
    state.bind("within", "uar", list(SUBDOMAIN))
    titles = {**SUBDOMAIN, "overall": "WA" if _speech(report) else "Accuracy"}
    st.segmented_control(
        "Measure by subdomain", list(SUBDOMAIN), key="within", required=True, format_func=titles.get,
        label_visibility="collapsed",
    )  # fmt: skip
    rows = []
    for method in known:
        own = ' class="own"' if method == OURS else ""
        values = [figures.get(method, {}).get(s, {}).get(state.value("within")) for s in tested]
        cells = "".join(f"<td>{words.number(v)}</td>" for v in values)
        rows.append(f"<tr{own}><td>{words.safe(method_title(method))}</td>{cells}</tr>")
    head = "".join(f"<th>{words.safe(s)}</th>" for s in tested)
    widgets.table("percent", head, rows)
    widgets.note("Means over seeds, without intervals: read them as a direction.")


def _speech(report: dict[str, Any]) -> bool:
    """Whether subdomains are languages, by their names: a report of ready latents tells nothing else."""
    known = semantic_tables.index("typology")
    return all(semantic_tables.find(name, known) is not None for name in report["subdomain_names"])
