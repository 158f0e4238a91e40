"""What a comparison may claim: GeLDA against every baseline, as modest as the paired intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gelda.augmenters import AUGMENTERS
from gelda.report import OURS, PAIRED, SEEDS_ALONE
from gelda.report_text import interval_text
from gelda.statistics import Interval, ahead_of_every, countable

FEWEST_SEEDS = 5
PAPER = "gelda-paper"
EVERY, BEST, INSIDE, BEHIND, UNKNOWN = "every", "best", "inside", "behind", "unknown"


@dataclass(frozen=True)
class Verdict:
    """GeLDA beside the baselines on one measure.

    standing: EVERY (ahead of every baseline: all paired intervals lie above zero), BEST (ahead of the best
    one only), INSIDE (its interval to the best one includes zero), BEHIND (below the best one) or UNKNOWN
    (no interval). best: the baseline of the highest mean; difference: ours − best. first: whether no
    baseline's mean is higher. counted: whether it may count (enough test groups of the measure, and seeds).
    """

    measure: str
    standing: str
    best: str
    difference: Interval
    first: bool
    counted: bool
    unsettled: tuple[str, ...] = ()  # baselines whose paired interval includes zero


def baselines(report: Mapping[str, Any]) -> list[str]:
    """Methods of a report that are not GeLDA in one of its forms, nor a control of it."""
    return [m for m in report["methods"] if m not in AUGMENTERS or not AUGMENTERS[m].generative]


def main_measure(report: Mapping[str, Any]) -> str:
    """What a row is judged by: the tail of a long tail, UAR of a transfer to a subdomain."""
    return "tail" if report.get("config", {}).get("protocol", "longtail") == "longtail" else "uar"


def counts(report: Mapping[str, Any], measure: str | None = None) -> bool:
    """Whether a claim may be made at all on a measure, or the main one: 8 test groups and 5 seeds or more."""
    return grouped(report, measure or main_measure(report)) and enough(report)


def grouped(report: Mapping[str, Any], measure: str) -> bool:
    """Whether the report's test items, and those of the measure, lie in the groups that a claim needs."""
    figure = next(iter(report["methods"].values())).get(measure) or {}  # of every method the same items
    return bool(report.get("countable", True)) and countable(figure)


def enough(report: Mapping[str, Any]) -> bool:
    """Whether a report or a study has the seeds that a claim needs."""
    return len(report["seeds"]) >= FEWEST_SEEDS


def interval(value: Mapping[str, Any] | None) -> Interval:
    """A report's {"mean", "ci95"} as an Interval; NaN where there is none."""
    numbers = [None] * 3 if not value else [value["mean"], *value["ci95"]]
    return Interval(*(float("nan") if n is None else float(n) for n in numbers))


def paired(report: Mapping[str, Any], method: str, measure: str) -> Interval:
    """ours − method on a measure."""
    return interval(report["paired"].get(method, {}).get(measure))


def verdict(report: Mapping[str, Any], measure: str) -> Verdict | None:
    """How GeLDA stands on a measure; None where the report lacks it, the measure or any baseline."""
    others = [m for m in baselines(report) if np.isfinite(_mean(report, m, measure))]
    ours = _mean(report, OURS, measure) if OURS in report["methods"] else float("nan")
    if not others or not np.isfinite(ours):
        return None
    best = max(others, key=lambda m: _mean(report, m, measure))
    pairs = {m: paired(report, m, measure) for m in others}
    gap = pairs[best]
    if not np.isfinite(gap.low):
        standing = UNKNOWN
    elif ahead_of_every(pairs.values()):
        standing = EVERY
    elif gap.low > 0:
        standing = BEST
    else:
        standing = INSIDE if gap.high >= 0 else BEHIND
    unsettled = tuple(m for m, pair in pairs.items() if not pair.low > 0 and not pair.high < 0)
    first = ours >= _mean(report, best, measure)
    return Verdict(measure, standing, best, gap, first, counts(report, measure), unsettled)


def sentence(found: Verdict, titles: Mapping[str, str]) -> str:
    """ "inside the interval of the best baseline, SMOTE (−0.4 [−2.1, +1.3])", without a subject."""
    name = titles.get(found.best, found.best)
    text = interval_text(found.difference.as_json(), signed=True)
    if found.standing == EVERY:
        return f"ahead of every baseline; of the best one, {name}, by {text}"
    if found.standing == BEST:
        some = _listed([titles.get(m, m) for m in found.unsettled])
        return f"ahead of the best baseline, {name} ({text}), and not told apart from {some}"
    if found.standing == INSIDE:
        return f"inside the interval of the best baseline, {name} ({text})"
    if found.standing == BEHIND:
        return f"behind {name} by {interval_text(_turned(found.difference).as_json())}"
    return f"at {text} to the best baseline, {name}, without an interval"


def clear_best(report: Mapping[str, Any], measure: str) -> str | None:
    """The one method that the intervals allow to be called best on a measure; None where they do not.

    GeLDA: every paired interval to the others lies above zero. Another method: its own interval lies above
    every other's, for its paired differences to all others are not in the report. The two controls are left
    out, and so are measures whose interval is over seeds alone (worst class, macro F1 …).
    """
    if not counts(report, measure) or measure in SEEDS_ALONE:
        return None
    methods = [m for m in report["methods"] if m in (OURS, PAPER) or m in baselines(report)]
    found = {m: interval(report["methods"][m].get(measure)) for m in methods}
    found = {m: i for m, i in found.items() if np.isfinite(i.mean)}
    if len(found) < 2:
        return None
    top = max(found, key=lambda m: found[m].mean)
    if top == OURS and measure in PAIRED:
        clear = ahead_of_every(paired(report, m, measure) for m in found if m != OURS)
    else:
        clear = all(found[top].low > i.high for m, i in found.items() if m != top)
    return top if clear else None


def _mean(report: Mapping[str, Any], method: str, measure: str) -> float:
    return interval(report["methods"][method].get(measure)).mean


def _turned(one: Interval) -> Interval:
    return Interval(-one.mean, -one.high, -one.low)


def _listed(names: Sequence[str], most: int = 3) -> str:
    if len(names) > most:
        return f"{len(names)} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
