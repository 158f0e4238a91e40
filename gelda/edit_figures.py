"""What edits did: paired differences of refitted heads on dev items, step by step; with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda import __version__
from gelda import edits as editing
from gelda.artifacts import FORMAT, content_key, read_arrays
from gelda.edits import Edits
from gelda.kit import Kit
from gelda.report import SeedResult, paired
from gelda.statistics import MIN_GROUPS, cluster_interval, countable, grouped_mean_variance, told_apart

HEADS = 5  # heads a state, from as many seeds
SAID = (
    "Intervals (95 %) are paired: the same items and the same head seeds before and after, two-way over head "
    "seeds and groups of items. Generator, latents and split are this run's: the intervals speak of no other."
)
Predicted = Sequence[NDArray[np.int16]]  # one a head seed, [M] each


def piece(kit: Kit, steps: Sequence[Any], place: int) -> Path:
    """The file of what head number `place` says of the dev items after `steps`."""
    key = content_key("head", __version__, editing.state_key(kit, steps))  # two releases may train otherwise
    return editing.folder(kit.run.name) / "refits" / key / f"head-{place}.safetensors"


def pending(kit: Kit, steps: Sequence[Any]) -> list[tuple[Sequence[Any], int]]:
    """(steps, head number) still to be trained: the start, then each step in force, in order."""
    states = [steps[:k] for k in range(len(steps) + 1)]
    return [(s, h) for s in states for h in range(HEADS) if not piece(kit, s, h).is_file()]


def predictions(kit: Kit, steps: Sequence[Any]) -> list[NDArray[np.int16]] | None:
    """Predictions of every head after `steps`; None while one is missing."""
    files = [piece(kit, steps, place) for place in range(HEADS)]
    if not all(file.is_file() for file in files):
        return None
    return [read_arrays(file)["predicted"] for file in files]


def dev_items(kit: Kit) -> pd.DataFrame:
    """Dev items, in the order of predictions."""
    return kit.table.iloc[kit.rows("dev")]


def difference(kit: Kit, before: Predicted, after: Predicted, items: pd.DataFrame) -> dict[str, Any]:
    """After − before in points: every measure of PAIRED, and every class's recall, with intervals.

    No interval (NaN) where a figure's items lie in fewer than MIN_GROUPS groups: it would not hold. `beyond`
    of a class: its change lies beyond chance though every class with an interval is looked at (Holm, 5 %).
    """
    results = [
        kit.result(k, {"before": b, "after": a}, items)
        for k, (b, a) in enumerate(zip(before, after, strict=True))
    ]
    changes = paired(results, "after", "before")
    groups = {name: len(np.unique(results[0].group[results[0].mask(name)])) for name in changes}
    measures = {
        name: {
            "mean": change["mean"],
            "ci95": change["ci95"] if groups[name] >= MIN_GROUPS else [float("nan")] * 2,
            "groups": groups[name],
            "before": _level(results, name, "before"),
            "after": _level(results, name, "after"),
        }
        for name, change in changes.items()
        if np.isfinite(change["mean"])
    }
    return {"measures": measures, "classes": _by_class(kit, results)}


def history(kit: Kit, edits: Edits) -> dict[str, Any]:
    """Every step in force, its difference to the start and to the step before, where heads are trained."""
    items = dev_items(kit)
    states = [predictions(kit, edits.active[:k]) for k in range(edits.at + 1)]
    start, steps, weights = states[0], [], inherited(kit, edits.active)
    for k, step in enumerate(edits.active, 1):
        now, last = states[k], states[k - 1]
        entry: dict[str, Any] = {"step": k, "kind": step.kind, "title": title(step)}
        if weights[k - 1]:
            entry["weight"] = weights[k - 1]
        if start is not None and last is not None and now is not None:
            entry["to_start"] = difference(kit, start, now, items)
            entry["to_previous"] = difference(kit, last, now, items)["measures"]
        steps.append(entry)
    return {
        "format": FORMAT,
        "run": kit.run.name,
        "edits": edits.name,
        "state": editing.state_key(kit, edits.active),
        "main": kit.main,
        "heads": HEADS,
        "dev": {"items": len(items), "groups": int(items["group"].nunique())},
        "steps": steps,
        "note": SAID,
    }


def touched(kit: Kit, steps: Sequence[Any]) -> list[int]:
    """Numbers of the classes whose latents the steps drop, weigh or make; all of them for a weight of all."""
    rows, names = editing.applied(kit, steps).rows, set[str]()
    for step in steps:
        ids, classes, cells = (getattr(step, field, ()) for field in ("ids", "classes", "cells"))
        if not (ids or classes or cells):
            return list(range(len(kit.classes)))
        names.update(classes, (c for c, _ in cells))
        names.update(kit.classes[c] for c in rows.loc[rows["id"].isin(set(ids)), "label"].unique())
    return sorted(kit.classes.index(name) for name in names)


def title(step: Any) -> str:
    """A step in words: a person's own title, or what it does."""
    if step.title:
        return step.title
    where = _where(step)
    if step.kind == "weight":
        return f"Weight × {step.factor:g} for {where or 'all synthetic latents'}"
    if step.kind == "resample":
        return f"Resample {where}{_settings(step)}"
    if step.kind == "add":
        each = "each of " * (len(step.cells) > 1)
        return f"Make {step.count} more for {each}{where}{_settings(step)}"
    return f"{'Drop' if step.kind == 'drop' else 'Keep'} {where}"


def inherited(kit: Kit, steps: Sequence[Any]) -> list[str]:
    """Of each step, what the latents that it makes count where that is not 1, as those before did; or ""."""
    counts = {one.step.key(): sorted({*one.counts}) for one in editing.applied(kit, steps).made}
    found = []
    for own in (counts.get(step.key(), []) for step in steps):
        said = " to ".join(f"{count:.3g}" for count in dict.fromkeys(own[:1] + own[-1:]))
        found.append("" if own in ([], [1.0]) else f"each counts {said} times, as those before")
    return found


def _where(step: Any) -> str:
    parts = []
    if getattr(step, "ids", ()):
        count = len(step.ids)
        parts.append(f"{count} latent{'s' * (count != 1)}")
    if getattr(step, "classes", ()):
        parts.append(", ".join(step.classes))
    cells = getattr(step, "cells", ())
    if len(cells) > 3:
        parts.append(f"{len(cells)} cells")
    elif cells:
        parts.append(", ".join(f"{c} {s}" for c, s in cells))
    return " and ".join(parts)


def _settings(step: Any) -> str:
    named = (("guidance_class", "class guidance"), ("guidance_subdomain", "condition guidance"))
    said = [f"{words} {getattr(step, n):g}" for n, words in named if getattr(step, n) is not None]
    return f" ({', '.join(said)})" if said else ""


def _level(results: Sequence[SeedResult], measure: str, state: str) -> float:
    """The measure itself in percent, mean over head seeds."""
    hits = [(r, (r.predicted[state] == r.true).astype(float)) for r in results]
    return float(np.mean([grouped_mean_variance(*r.parts(measure, h))[0] for r, h in hits]))


def _by_class(kit: Kit, results: Sequence[SeedResult]) -> list[dict[str, Any]]:
    """Recall of every class with a dev item: change, interval, and the two levels in percent."""
    found: list[dict[str, Any]] = []
    for c, name in enumerate(kit.classes):
        own = np.flatnonzero(results[0].true == c)
        if not len(own):
            continue
        one, group = np.zeros(len(own), int), results[0].group[own]
        hits: Mapping[str, list[NDArray[np.floating]]] = {
            state: [100.0 * (r.predicted[state][own] == c) for r in results] for state in ("before", "after")
        }
        values = [a - b for a, b in zip(hits["after"], hits["before"], strict=True)]
        change = cluster_interval(values, [one] * len(values), [group] * len(values))
        levels = {state: float(np.mean(values)) for state, values in hits.items()}
        about = {
            "class": c,
            "name": name,
            "items": len(own),
            "groups": len(np.unique(group)),
            "beyond": False,
        }
        found.append({**about, **change.as_json(), "p": change.p, **levels})
    for row in found:
        if not countable(row):
            row |= {"ci95": [float("nan")] * 2, "p": float("nan")}
    told = [row for row in found if countable(row)]
    for row, sign in zip(told, told_apart(told, [len(results)] * len(told)), strict=True):
        row["beyond"] = bool(sign)
    return found
