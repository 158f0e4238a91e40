"""A study's result: figures of every setting, paired differences, main effects and interactions, in words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda import report, rounding
from gelda.artifacts import FORMAT, check_format, read_json
from gelda.config import RunConfig, flat
from gelda.errors import UserError
from gelda.report import PAIRED, SeedResult, contrast, method_table
from gelda.setting_words import setting
from gelda.statistics import told_apart
from gelda.studies import RESULT, SETTING, STUDIES, Study, level_title, titled
from gelda.verdicts import enough

PLACES = {"unseen": "in cells never seen", "tail": "in rare classes", "uar": "in UAR"}  # else overall


def result(
    study: Study, base: RunConfig, rows: Mapping[str, Any], found: Mapping[str, list[SeedResult]]
) -> dict[str, Any]:
    """The study as one JSON document: figures of every finished cell on dev items, paired differences to the
    reference, main effects and interactions; percent and points."""
    together = joined(found)
    figures = method_table(together, _classes(together)) if together else {}
    measures = [m for m in PAIRED if any(np.isfinite(figures[c][m]["mean"]) for c in figures)]
    cells = []
    for cell in study.cells:
        row = {"name": cell.name, "title": cell.title, "levels": dict(cell.levels), **rows[cell.name]}
        row["changes"] = dict(cell.settings) | ({"method": cell.method} if cell.method != SETTING else {})
        if cell.name in figures:
            row["figures"] = {m: figures[cell.name][m] for m in measures}
            if cell.name != study.reference and study.reference in figures:
                row["paired"] = _kept(contrast(together, {cell.name: 1.0, study.reference: -1.0}), measures)
        cells.append(row)
    ready = STUDIES.get(study.name)
    own = ready is None or [c.name for c in ready.cells] != [c.name for c in study.cells]
    what = "GRID.json" if own else f"--study {study.name}"
    value = {
        "format": FORMAT,
        "study": study.name,
        "title": study.title,
        "question": study.question,
        "reference": study.reference,
        "command": f"gelda ablate {what} --seeds {base.seeds}",
        "items": "dev",
        "seeds": [r.seed for r in together] or list(range(base.first_seed, base.first_seed + base.seeds)),
        "measures": measures,
        "cells": cells,
        "effects": effects(study, together, measures),
        "config": base.model_dump(mode="json"),
        "versions": report.versions(),
        "seconds": round(sum(row["seconds"] for row in rows.values()), 1),
    }
    return said_now(value)


def read_result(folder: Path) -> dict[str, Any]:
    """What a study found so far, see `result`; all that is said of its figures is said as it is today."""
    value = read_json(folder / RESULT)
    check_format(value, folder / RESULT)
    return said_now(value)


def said_now(value: Mapping[str, Any]) -> dict[str, Any]:
    """A result with the words of its settings, its headline and its notes made of its figures now.

    What older code stored has plain values, or dotted settings, in the titles of a grid, and an older rule in
    the headline.
    """
    cells = []
    said: dict[tuple[str, str], tuple[str, str]] = {}  # factor and level in words
    for cell in value["cells"]:
        changes = cell.get("changes", {})
        own = {
            (f, level): (setting(f) if f in flat(changes) else f, level_title(f, level, changes))
            for f, level in cell["levels"].items()
        }
        said |= own
        levels = dict(own.values())
        plain = ", ".join(f"{factor} {level}" for factor, level in cell["levels"].items())
        title = titled(levels) if levels and cell["title"] == plain else cell["title"]
        cells.append({**cell, "title": title, "levels": levels})
    effects = [{**one, "parts": [_worded(part, said) for part in one["parts"]]} for one in value["effects"]]
    told = {**value, "cells": cells, "effects": effects}
    return {**told, "headline": headline(told), "notes": notes(told)}


def _worded(part: Mapping[str, str], said: Mapping[tuple[str, str], tuple[str, str]]) -> dict[str, str]:
    """A part of an effect with its factor and both of its levels as `said` has them."""
    (factor, level), (_, zero) = (
        said.get((part["factor"], part[n]), (part["factor"], part[n])) for n in ("level", "zero")
    )
    return {"factor": factor, "level": level, "zero": zero}


def joined(found: Mapping[str, list[SeedResult]]) -> list[SeedResult]:
    """One result a seed, with the predictions of every finished cell under the cell's name."""
    together = []
    for same_seed in zip(*found.values(), strict=True):
        first = same_seed[0]
        predicted: dict[str, NDArray] = {}
        for name, one in zip(found, same_seed, strict=True):
            if not np.array_equal(one.true, first.true) or not np.array_equal(one.group, first.group):
                raise UserError(
                    f"The setting '{name}' is tested on other items than the first one: settings that change "
                    "which items are tested cannot be compared."
                )
            (predicted[name],) = one.predicted.values()
        together.append(
            SeedResult(
                first.seed, first.true, first.subdomain, first.group, predicted, first.train_counts,
                first.groups, first.empty,
            )
        )  # fmt: skip
    return together


def effects(study: Study, results: Sequence[SeedResult], measures: Sequence[str]) -> list[dict[str, Any]]:
    """Main effects and two-way interactions of a study's factors, none before all of its design is finished.

    None either of a single factor: its effects are the differences of its settings.
    Main: what a level does beside the factor's first level, as the mean over the levels of all others.
    Interaction: what two levels do together beyond the sum of what each does alone (their others' mean).
    """
    factors = study.factors()
    design = {tuple(c.levels.values()): c.name for c in study.cells if c.levels}
    there = set(results[0].predicted) if results else set()
    whole = len(design) == math.prod(map(len, factors.values())) and set(design.values()) <= there
    if len(factors) < 2 or not whole:
        return []
    found = []
    names = list(factors)
    for size in (1, 2):
        for chosen in itertools.combinations(range(len(names)), size):
            for levels in itertools.product(*[factors[names[i]][1:] for i in chosen]):
                weights = _coefficients(design, factors, dict(zip(chosen, levels, strict=True)))
                parts = [{"factor": names[i], "level": lev} for i, lev in zip(chosen, levels, strict=True)]
                zero = [factors[names[i]][0] for i in chosen]
                found.append(
                    {
                        "kind": "main" if size == 1 else "interaction",
                        "parts": [{**part, "zero": z} for part, z in zip(parts, zero, strict=True)],
                        "figures": _kept(contrast(results, weights), measures),
                    }
                )
    return found


def _coefficients(
    design: Mapping[tuple[str, ...], str], factors: Mapping[str, Sequence[str]], chosen: Mapping[int, str]
) -> dict[str, float]:
    """Weights of the design's cells: ± by the chosen levels and the first ones, the mean over all others."""
    names = list(factors)
    others = math.prod(len(factors[name]) for i, name in enumerate(names) if i not in chosen)
    weights = {}
    for levels, cell in design.items():
        sign = 1.0
        for i, level in chosen.items():
            sign *= 1.0 if levels[i] == level else -1.0 if levels[i] == factors[names[i]][0] else 0.0
        if sign:
            weights[cell] = sign / others
    return weights


def headline(value: Mapping[str, Any]) -> str:
    """What the study found on its decisive measure, as modest as its intervals and its number of seeds."""
    compared = [c for c in value["cells"] if "paired" in c]
    waiting = sum(c["state"] in ("waiting", "running") for c in value["cells"])
    reference, state = next(
        (c["title"], c["state"]) for c in value["cells"] if c["name"] == value["reference"]
    )
    if not compared and state == "failed":
        return f"Nothing to compare with: “{reference}” failed."
    if not compared:
        return "No two settings are finished yet."
    measure = main_measure(value["measures"])
    where = PLACES.get(measure, "overall")
    pairs = [cell["paired"][measure] for cell in compared]
    signs = told_apart(pairs, [len(value["seeds"])] * len(pairs))
    said = [f"{cell['title']} ({rounding.number(pair['mean'], signed=True)})"
            for cell, pair in zip(compared, pairs, strict=True)]  # fmt: skip
    ahead, behind = ([one for one, sign in zip(said, signs, strict=True) if sign == side] for side in (1, -1))
    if not enough(value):
        return f"{_seeds(len(value['seeds']))} too few to call one setting better than another."
    parts = [f"{said} {', '.join(names)}" for said, names in (("ahead", ahead), ("behind", behind)) if names]
    inside = len(compared) - len(ahead) - len(behind)
    if inside:
        parts.append(f"inside the noise {'all' if inside == len(compared) else inside} of {len(compared)}")
    text = f"Beside “{reference}” {where}: {'; '.join(parts)}."
    return f"{text} {waiting} still to come." if waiting else text


def main_measure(measures: Sequence[str]) -> str:
    """The measure that a study is about: where no real sample exists, else the rare classes."""
    return next((m for m in ("unseen", "tail", "uar") if m in measures), measures[0])


def notes(value: Mapping[str, Any]) -> list[str]:
    """What a reader of the figures must know."""
    said = [
        "Figures are of dev items, which no stage trains on; the test items of the same cuts are not read, "
        "so that a setting picked here can still be tested by a run of its own.",
        "Every setting has the same seeds and cuts, and whatever the study does not vary. Intervals: "
        "two-way over seeds and groups of dev items (statistics.cluster_interval). Each interval stands for "
        "itself: among 20 settings without any effect one is expected to exclude zero. What is called ahead "
        "or behind stays so when all settings are tested at once (Holm, 5 %).",
    ]
    if value["effects"]:
        said.append(
            "Main effect: a level beside the factor's first one, averaged over the other factor. "
            "Interaction: what two levels do together beyond the sum of what each does alone."
        )
    return said


def _seeds(count: int) -> str:
    return "One seed is" if count == 1 else f"{count} seeds are"


def _kept(table: Mapping[str, Any], measures: Sequence[str]) -> dict[str, Any]:
    return {m: {name: table[m].get(name) for name in ("mean", "ci95", "p", "groups")} for m in measures}


def mean(values: Sequence[float | None]) -> float:
    there = [v for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(there)) if there else float("nan")


def _classes(results: Sequence[SeedResult]) -> int:
    return results[0].train_counts.shape[0]
