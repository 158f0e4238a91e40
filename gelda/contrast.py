"""Two methods measure by measure and class by class, in one report or in two, paired by seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gelda.config import flat
from gelda.errors import UserError
from gelda.report import BASELINE, MEASURES, OURS
from gelda.statistics import seed_interval, told_apart

Report = Mapping[str, Any]
# What a cut is made of: two runs that agree in all of these test the same items in the same seed.
CUT = (
    "data", "bank", "protocol", "imbalance", "cut", "shot_borders", "target", "keep", "shots", "classes",
    "unlabelled", "rotations",
)  # fmt: skip
ROUNDING = 1e-9  # points: differences closer than this are one number, which 40 − 30 and 20 − 10 need not be
UNTOLD = ("selection", "semantics", "dtype", "name", "device")  # of a report's config, no setting of a method


def by_measure(a: Report, method_a: str, b: Report, method_b: str) -> pd.DataFrame:
    """One row a measure: measure, a, b, difference (b − a, points), low, high, seeds.

    Where the two are `paired`, all figures are of the seeds that both have, with a t-interval over them; the
    items' own variance is not in the reports, so where every seed tests the same items it is too narrow, and
    where all differences are one number there is none. Else they are of all seeds of each, without intervals.
    NaN where a run has no such figure.
    """
    rows, pairs = [], paired(a, b)
    for measure in MEASURES:
        first, second = (
            _per_seed(report, report["methods"][method].get(measure))
            for report, method in ((a, method_a), (b, method_b))
        )
        if first or second:
            rows.append((measure, *_beside(first, second, pairs)))
    return pd.DataFrame(rows, columns=["measure", "a", "b", "difference", "low", "high", "seeds"])


def by_class(a: Report, method_a: str, b: Report, method_b: str) -> pd.DataFrame:
    """One row a class that both test: name, count, a, b, difference (b − a), low, high, seeds.

    As `by_measure`; count: training items of the class, the mean over the seeds of a that its figures are
    of. Classes are matched by name. The largest differences come first.
    """
    tables = [_recalls(report, method) for report, method in ((a, method_a), (b, method_b))]
    rows, pairs = [], paired(a, b)
    for name in tables[0].keys() & tables[1].keys():
        counts, first = tables[0][name]
        second = tables[1][name][1]
        own = {seed: count for seed, count in counts.items() if not pairs or seed in second}
        rows.append((name, _mean(own), *_beside(first, second, pairs)))
    names = ["name", "count", "a", "b", "difference", "low", "high", "seeds"]
    frame = pd.DataFrame(rows, columns=names)
    order = frame["difference"].abs().fillna(-1)
    return frame.assign(order=order).sort_values(["order", "name"], ascending=[False, True])[names]


def standing_out(rows: pd.DataFrame) -> tuple[int, int]:
    """Classes of `by_class` that gain and that lose where all are counted at once (t-tests, Holm, 5 %)."""
    found = [{"mean": row.difference, "ci95": (row.low, row.high)} for row in rows.itertuples()]
    signs = told_apart(found, rows["seeds"].tolist())
    return signs.count(1), signs.count(-1)


def paired(a: Report, b: Report) -> bool:
    """Whether a seed means the same items in both: what cuts the data agrees, and seeds are shared."""
    same = all(a["config"].get(key) == b["config"].get(key) for key in CUT)
    return same and a["class_names"] == b["class_names"] and bool(set(a["seeds"]) & set(b["seeds"]))


def comparable(a: Report, b: Report) -> None:
    """Raise where two reports have nothing that could be set side by side."""
    if a["run"] == b["run"]:
        raise UserError("A run cannot be compared with itself: choose another one.")
    if not set(a["class_names"]) & set(b["class_names"]):
        raise UserError(
            f"{a['name']} ({a['run']}) and {b['name']} ({b['run']}) share no class: choose two runs on the "
            "same classes."
        )


def main_method(report: Report) -> str:
    """GeLDA where a run has it, else logit adjustment, else what comes first."""
    return next((m for m in (OURS, BASELINE) if m in report["methods"]), next(iter(report["methods"])))


def settings(a: Report, b: Report) -> list[tuple[str, str, str]]:
    """Dotted settings in which two runs differ, with both values as text; "" where there is none."""
    first, second = (flat({k: v for k, v in r["config"].items() if k not in UNTOLD}) for r in (a, b))
    names = [*first, *(name for name in second if name not in first)]
    found = [(n, told(first.get(n, "")), told(second.get(n, ""))) for n in names]
    return [row for row in found if row[1] != row[2]]


def _per_seed(report: Report, value: Mapping[str, Any] | None) -> dict[int, float]:
    """{seed: figure} of one measure; none where some seeds lack it and so cannot be told apart."""
    found = (value or {}).get("seeds") or []
    if len(found) != len(report["seeds"]):
        return {}
    return {s: float(v) for s, v in zip(report["seeds"], found, strict=True) if v is not None and v == v}


def _recalls(report: Report, method: str) -> dict[str, tuple[dict[int, float], dict[int, float]]]:
    """{class name: ({seed: training items}, {seed: recall})} of the classes that are tested."""
    found: dict[str, tuple[dict[int, float], dict[int, float]]] = {}
    for entry in report.get("per_class", []):
        value = entry["recall"].get(method)
        if value is not None and value == value:
            counts, recalls = found.setdefault(report["class_names"][entry["class"]], ({}, {}))
            counts[entry["seed"]] = float(entry["count"])
            recalls[entry["seed"]] = float(value)
    return found


def _beside(
    first: Mapping[int, float], second: Mapping[int, float], pairs: bool
) -> tuple[float, float, float, float, float, int]:
    """Means of both, their difference and its interval, and the seeds that it rests on (0: no pairs)."""
    nothing = float("nan")
    if not pairs:
        return (_mean(first), _mean(second), _mean(second) - _mean(first), nothing, nothing, 0)
    shared = sorted(set(first) & set(second))
    differences = [second[s] - first[s] for s in shared]
    interval = seed_interval(differences, np.zeros(len(differences)), 0.0)
    same = np.ptp(differences) < ROUNDING if shared else True
    low, high = (nothing, nothing) if same else (interval.low, interval.high)
    a, b = (_mean({s: own[s] for s in shared}) for own in (first, second))
    return a, b, interval.mean, low, high, len(shared)


def _mean(values: Mapping[int, float]) -> float:
    return float(np.mean(list(values.values()))) if values else float("nan")


def told(value: Any) -> str:
    """A setting's value as text."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool) or value is None:
        return {True: "on", False: "off", None: "none"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
