"""A transfer by test fold: WA, UAR and macro F1 of each (as EmoBox reports them), and who is tested in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda.metrics import classification_figures
from gelda.protocols import Episode
from gelda.ready import ReadyBank
from gelda.report import OURS, method_title

FIGURES = {"overall": "WA", "uar": "UAR", "macro_f1": "macro F1"}
# shown fold by fold as text
SHOWN = ("ce", "logit-adjustment", "mean-shift", "subdomain-norm", "gelda-paper", OURS)


def by_fold(
    bank: ReadyBank, outcomes: Mapping[int, Mapping[str, Any]], methods: Sequence[str]
) -> list[dict[str, Any]]:
    """One entry a seed and fold: subdomain, items, groups and {method: FIGURES in percent}.

    outcomes: by seed the `episodes`, tested `rows` [M] in their order, and predicted ids [M] by method.
    """
    items, found = bank.items, []
    for seed, out in outcomes.items():
        end = 0
        for number, episode in enumerate(out["episodes"], 1):
            start, end = end, end + len(episode.test)
            true = items.label[episode.test]
            every = {m: out[m][start:end] for m in methods}
            figures = {
                m: classification_figures(true, predicted, len(items.class_names))
                for m, predicted in every.items()
            }
            found.append(
                {
                    "seed": seed,
                    "fold": number,
                    "subdomain": items.subdomain_names[episode.target],
                    "items": len(true),
                    "groups": len(np.unique(items.group[episode.test])),
                    "figures": {m: {k: 100 * f[k] for k in FIGURES} for m, f in figures.items()},
                }
            )
    return found


def independence(bank: ReadyBank, episodes: Sequence[Episode]) -> dict[str, int]:
    """Of the items and groups (speakers) tested: how many there are, how many items name no group, and how
    many groups are trained on in the very fold that tests them."""
    group = bank.items.group
    shared = sum(len(np.intersect1d(group[e.train], group[e.test])) for e in episodes)
    rows = np.unique(np.concatenate([e.test for e in episodes]))
    return {
        "items": len(rows),
        "groups": len(np.unique(group[rows])),
        "unnamed": int(_unnamed(bank)[rows].sum()),
        "shared": shared,
    }


def _unnamed(bank: ReadyBank) -> NDArray[np.bool_]:
    """Whether an item [N] names no group: readers then give it one of its own, under its id."""
    if not bank.items.grouped:
        return np.ones(len(bank.items), bool)
    values, counts = np.unique(bank.items.group, return_counts=True)
    alone = np.isin(bank.items.group, values[counts == 1])
    return alone & (bank.items.group.astype(str) == bank.ids)


def said(found: Mapping[str, int]) -> str:
    """Independence as a sentence."""
    if found["unnamed"]:
        none = found["unnamed"] == found["items"]
        who = "none" if none else str(found["unnamed"])
        return (
            f"Speaker independence is not known: {who} of the {found['items']} tested items "
            f"{'names a' if none else 'name no'} speaker (group), so a voice may be both trained on and "
            "tested, and figures may flatter."
        )
    if found["shared"]:
        return (
            f"Not speaker-independent: {found['shared']} groups are trained on in the fold that tests them."
        )
    return (
        f"Speaker-independent, checked: none of the {found['groups']} tested groups (speakers) is trained on "
        "in the fold that tests it."
    )


def spread(report: Mapping[str, Any], method: str, figure: str) -> tuple[float, float, float]:
    """Mean, lowest and highest of a figure over all folds of all seeds."""
    values = [fold["figures"][method][figure] for fold in report["folds"]]
    return float(np.mean(values)), min(values), max(values)


def to_markdown(report: Mapping[str, Any]) -> list[str]:
    """Two tables: every method over the folds, and fold by fold the UAR of a few; [] without folds."""
    if not report.get("folds"):
        return []
    lines = [f"## {report['folds'][0]['subdomain']}: test folds, mean (lowest to highest)", ""]
    lines += ["| method | " + " | ".join(FIGURES.values()) + " |", "|" + "---|" * (1 + len(FIGURES))]
    for method in report["methods"]:
        cells = ["{:.1f} ({:.1f} to {:.1f})".format(*spread(report, method, figure)) for figure in FIGURES]
        lines.append("| " + " | ".join([method_title(method), *cells]) + " |")
    few = [m for m in SHOWN if m in report["methods"]]
    lines += ["", "WA / UAR / macro F1 by fold:", ""]
    lines += ["| fold | groups | items | " + " | ".join(method_title(m) for m in few) + " |"]
    lines += ["|" + "---|" * (3 + len(few))]
    for fold in report["folds"]:
        own = [" / ".join(f"{fold['figures'][m][figure]:.1f}" for figure in FIGURES) for m in few]
        name = f"seed {fold['seed']}, fold {fold['fold']}"
        lines.append("| " + " | ".join([name, str(fold["groups"]), str(fold["items"]), *own]) + " |")
    return lines


def across(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """{figure: {method: {target: percent, …, "mean": percent}}} of one bank's targets, means over seeds."""
    methods = list(next(iter(reports.values()))["methods"])
    table: dict[str, dict[str, dict[str, float]]] = {}
    for figure in FIGURES:
        table[figure] = {}
        for m in methods:
            row = {target: float(r["methods"][m][figure]["mean"]) for target, r in reports.items()}
            table[figure][m] = {**row, "mean": float(np.mean(list(row.values())))}
    return table
