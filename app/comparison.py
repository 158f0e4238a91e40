"""A comparison's report as frames and sentences for pages; nothing is drawn here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from app import words
from gelda import verdicts
from gelda.augmenters import AUGMENTERS, KINDS
from gelda.report import METHOD_TITLES, OURS, PAIRED, method_title

PAPER = "gelda-paper"
CONTROLS = ("gelda-uncond", "gelda-shuffled", PAPER)
LONG_TAIL = (
    "tail",
    "uar",
    "unseen",
    "overall",
    "head",
    "medium",
    "worst",
    "macro_f1",
    "harmonic",
    "geometric",
)
TRANSFER = (
    "uar",
    "unseen",
    "overall",
    "worst",
    "macro_f1",
    "harmonic",
    "geometric",
)  # its scarce cells are all that is tested
PLACES = {
    "tail": "the rare classes",
    "uar": "UAR",
    "unseen": "cells never seen",
    "overall": "all items",
}
VOTE = "mean vote"  # of several layers, the one where it is lowest is taken
LAYER = "layer"  # among the validation scores: the layer and τ, chosen before any method's own setting


def what(config: Mapping[str, Any]) -> str:
    """ "zero-shot, German keeps neutral only, 5 seeds": the protocol in words, from a spec."""
    protocol = config.get("protocol", "longtail")
    if protocol == "longtail":
        units = "cells" if config.get("cut") == "cell" else "classes"
        text = f"long tail over {units}, imbalance {config.get('imbalance', 100):g}"
        if config.get("cut") == "given":
            text = "long tail as the data have it"
    elif protocol == "zero-shot":
        text = f"zero-shot, {config.get('target')} keeps {config.get('keep')} only"
    else:
        text = f"few-shot, {config.get('target')} has {words.count(config.get('shots', 0), 'item')} a class"
    if config.get("unlabelled"):
        text += ", transductive"
    return f"{text}, {words.count(config.get('seeds', 0), 'seed')}"


def measures(report: Mapping[str, Any]) -> list[str]:
    """Measures that this protocol has, the main one first."""
    main = verdicts.main_measure(report)
    order = LONG_TAIL if main == "tail" else TRANSFER
    return [m for m in order if any(_mean(report, method, m) is not None for method in report["methods"])]


def comparable(report: Mapping[str, Any]) -> list[str]:
    """Measures with paired differences."""
    return [m for m in measures(report) if m in PAIRED]


def measure_title(report: Mapping[str, Any], measure: str) -> str:
    by_cell = report["config"].get("cut") == "cell" and verdicts.main_measure(report) == "tail"
    return words.measure(measure, by_cell)


def kind_of(method: str) -> str:
    return AUGMENTERS[method].kind if method in AUGMENTERS else "others"


def ordered(report: Mapping[str, Any], measure: str, by_kind: bool) -> list[tuple[str, list[str]]]:
    """Methods as (kind, methods) in the registry's order, or as one list, best first."""
    known = [m for m in METHOD_TITLES if m in report["methods"]]
    known += [m for m in report["methods"] if m not in known]
    if not by_kind:
        value = {m: _mean(report, m, measure) for m in known}
        return [("", sorted(known, key=lambda m: -np.inf if value[m] is None else value[m], reverse=True))]
    groups = [(kind, [m for m in known if kind_of(m) == kind]) for kind in (*KINDS, "others")]
    return [(kind, methods) for kind, methods in groups if methods]


def differences(report: Mapping[str, Any], measure: str, by_kind: bool) -> pd.DataFrame:
    """GeLDA − every other method: kind, method, title, mean, low, high, in the order of the table.

    Best first means here: the method that GeLDA is least ahead of stands on top.
    """
    rows = []
    for kind, methods in ordered(report, measure, by_kind):
        for method in methods:
            pair = verdicts.paired(report, method, measure)
            if method != OURS and np.isfinite(pair.mean):
                rows.append((kind, method, method_title(method), pair.mean, pair.low, pair.high))
    return pd.DataFrame(rows, columns=["kind", "method", "title", "mean", "low", "high"])


def place(report: Mapping[str, Any], measure: str) -> str:
    """ "the rare classes": a measure inside a sentence."""
    by_cell = report["config"].get("cut") == "cell" and verdicts.main_measure(report) == "tail"
    return "the rare cells" if by_cell and measure == "tail" else PLACES.get(measure, measure)


def finding(report: Mapping[str, Any]) -> str:
    """The row's verdict on its main measure, never more than the intervals and the test groups allow."""
    main = verdicts.main_measure(report)
    found = verdicts.verdict(report, main)
    if found is None:
        return f"{words.count(len(report['methods']), 'method')} on the same latents"
    where, best = place(report, main), method_title(found.best)
    behind = words.number(-found.difference.mean)
    said = {
        verdicts.EVERY: f"GeLDA is ahead of every baseline on {where}",
        verdicts.BEST: f"GeLDA is ahead of the best baseline on {where}, but not of every one",
        verdicts.INSIDE: f"GeLDA is inside the interval of the best baseline on {where}",
        verdicts.BEHIND: f"GeLDA is behind {best} by {behind} points on {where}",
        verdicts.UNKNOWN: f"GeLDA on {where}: {_few(report)} no verdict",
    }[found.standing]
    paper = verdicts.paired(report, verdicts.PAPER, main)
    if paper.high < 0:
        said += "; the paper’s form is ahead of it"
    return said if found.counted or found.standing == verdicts.UNKNOWN else f"{said}: shown, not counted"


def verdict_line(report: Mapping[str, Any], measure: str) -> str:
    """One sentence on a measure, with the best baseline and the interval."""
    found = verdicts.verdict(report, measure)
    return "" if found is None else words.minus(verdicts.sentence(found, METHOD_TITLES)) + "."


def _few(report: Mapping[str, Any]) -> str:
    return "one seed allows" if len(report["seeds"]) == 1 else f"{len(report['seeds'])} seeds allow"


def uncounted(report: Mapping[str, Any]) -> str:
    """Why a row, or some of its measures, may not count; nothing where all may."""
    why = "Shown and never counted as a win or a loss: fewer than 8 test groups"
    if not report.get("countable", True):
        return f"{why}."
    if not verdicts.enough(report):
        return f"Shown and not counted: a claim needs {verdicts.FEWEST_SEEDS} seeds."
    few = [place(report, m) for m in measures(report) if not verdicts.grouped(report, m)]
    return f"{why} on {words.listed(few)}." if few else ""


def other_loss(report: Mapping[str, Any]) -> str:
    """The loss of the second training of arms that name none."""
    return "cross-entropy" if report["config"].get("loss") != "ce" else "logit adjustment"


def other_mean(report: Mapping[str, Any], method: str, measure: str) -> float | None:
    """An arm's figure under the other loss."""
    return report.get("under_other_loss", {}).get(method, {}).get(measure, {}).get("mean")


def selection(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{seed: {"fm_layer", "tau", "settings", "scores"}}."""
    return report["config"].get("selection") or {}


def choices(report: Mapping[str, Any]) -> dict[str, Any]:
    """What validation chose, by the words of a table's column: a seed, or all seeds where they share it."""
    found = selection(report)
    first = next(iter(found.values()), None)
    if len(found) > 1 and all(choice == first for choice in found.values()):
        return {"all seeds": first}
    return {f"seed {seed}": choice for seed, choice in found.items()}


def one_form(report: Mapping[str, Any]) -> bool:
    """Whether GeLDA was given the very form and weight of the paper's, so that their figures are the same."""
    pairs = [p for p in report["paired"].get(PAPER, {}).values() if p and p.get("mean") is not None]
    return bool(pairs) and all(p["mean"] == 0 and not any(p["ci95"]) for p in pairs)


def tuned(report: Mapping[str, Any]) -> list[str]:
    """What validation chose something for: the layer with τ, then methods of more than one setting."""
    scored = {name for choice in selection(report).values() for name in choice["scores"]}
    return [LAYER, *(m for m in METHOD_TITLES if m in scored)] if scored else []


def chosen(choice: Mapping[str, Any], name: str) -> str:
    """The setting that a seed chose for a method, as it is written among the scores."""
    if name == LAYER:
        return f"{choice['fm_layer']}, τ {choice['tau']:g}"
    return describe(choice["settings"].get(name, {}))


def describe(setting: Mapping[str, Any]) -> str:
    """ "form plain, weight 0.3"."""
    return ", ".join(f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in setting.items())


def scores(report: Mapping[str, Any], name: str) -> pd.DataFrame:
    """Validation log-loss, one row a setting and one column a choice."""
    columns: dict[str, dict[str, float]] = {}
    for title, choice in choices(report).items():
        found = choice["scores"].get(name, {})
        if name == LAYER:
            found = {f"{layer}, τ {tau}": v for layer, values in found.items() for tau, v in values.items()}
            found |= {f"{layer}, {VOTE}": v for layer, v in choice["scores"].get("fm_layer", {}).items()}
        columns[title] = found
    return pd.DataFrame(columns)


def _mean(report: Mapping[str, Any], method: str, measure: str) -> float | None:
    value = report["methods"][method].get(measure) or {}
    mean = value.get("mean")
    return None if mean is None or mean != mean else mean
