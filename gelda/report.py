"""The report: every figure of a run with its interval and provenance; JSON, Markdown, LaTeX, CSV."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda import __version__, rounding
from gelda.artifacts import FORMAT, check_format, read_json
from gelda.augmenters import AUGMENTERS
from gelda.errors import UserError
from gelda.metrics import classification_figures, confusion, per_subdomain, recalls
from gelda.statistics import cluster_interval, countable, grouped_mean_variance, seed_interval

METHOD_TITLES = {name: spec.title for name, spec in AUGMENTERS.items()}
MEASURES = {
    "overall": "Overall accuracy",
    "head": "Head classes",
    "medium": "Medium classes",
    "tail": "Tail classes",
    "uar": "UAR",
    "unseen": "Unseen cells",
    "worst": "Worst class",
    "macro_f1": "Macro F1",
    "harmonic": "Harmonic mean recall",
    "geometric": "Geometric mean recall",
}
PAIRED = ("overall", "tail", "uar", "unseen")
SEEDS_ALONE = ("worst", "macro_f1", "harmonic", "geometric")  # no closed form for their items' variance
MOST_CONFUSED = 400  # classes: a larger table of confusions cannot be read, and takes 7 MB a method
BASELINE, OURS = "logit-adjustment", "gelda"


def method_title(name: str) -> str:
    """A method in words; a name that this release does not know stays as it is."""
    return METHOD_TITLES.get(name, name)


@dataclass(frozen=True)
class SeedResult:
    """Test predictions of one seed: true [N], subdomain [N], group [N], predicted {method: [N]}."""

    seed: int
    true: NDArray[np.integer]
    subdomain: NDArray[np.integer]
    group: NDArray[np.integer]
    predicted: Mapping[str, NDArray[np.integer]]
    train_counts: NDArray[np.integer]  # [C, S]
    groups: Mapping[str, Sequence[int]]
    empty: Sequence[tuple[int, int]]
    # where scarcity is of cells: {"tail": ((class, subdomain), …)} in place of `groups`
    cells: Mapping[str, Sequence[tuple[int, int]]] | None = None
    by_cell: bool = False  # the strata of a mean are cells, not classes

    def mask(self, measure: str) -> NDArray[np.bool_]:
        """Test items that a measure is taken over; none for a measure that this result does not have."""
        if measure in ("overall", "uar"):
            return np.ones(len(self.true), bool)
        if self.cells is not None or measure == "unseen":
            wanted = self.empty if measure == "unseen" else (self.cells or {}).get(measure, ())
            cells = {(int(c), int(s)) for c, s in wanted}
            return np.array(
                [(int(c), int(s)) in cells for c, s in zip(self.true, self.subdomain, strict=True)], bool
            )
        return np.isin(self.true, self.groups.get(measure, ()))

    def parts(
        self, measure: str, values: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[Any], NDArray[Any]]:
        """Values (percent), strata and groups of the items that a measure is taken over.

        `overall` weighs items alike, every other measure weighs classes (or cells) alike.
        """
        keep = self.mask(measure)
        strata = self.true * (1 + int(self.subdomain.max())) + self.subdomain if self.by_cell else self.true
        flat = measure == "overall"
        return (
            100 * values[keep],
            np.zeros(keep.sum(), int) if flat else strata[keep],
            self.group[keep],
        )


def build(
    results: Sequence[SeedResult],
    *,
    class_names: Sequence[str],
    subdomain_names: Sequence[str],
    health: Sequence[Mapping[str, float]],
    notes: Sequence[str],
    config: Mapping[str, Any],
    seconds: Mapping[str, float],
    run: str,
    name: str,
    demo: str,
    setting: str,
) -> dict[str, Any]:
    """The report as one JSON document (design.md, "Commands"); accuracies in percent."""
    methods = list(results[0].predicted)
    classes = len(class_names)
    report: dict[str, Any] = {
        "format": FORMAT,
        "run": run,
        "name": name,
        "demo": demo,
        "setting": setting,
        "class_names": list(class_names),
        "subdomain_names": list(subdomain_names),
        "seeds": [r.seed for r in results],
        "methods": {m: _method(results, m, classes) for m in methods},
        "paired": {m: paired(results, OURS, m) for m in methods if m != OURS and OURS in methods},
        "paired_to_la": {
            m: paired(results, m, BASELINE) for m in methods if m != BASELINE and BASELINE in methods
        },
        "per_class": _per_class(results, methods, classes),
        "confusion": {
            m: np.sum([confusion(r.true, r.predicted[m], classes) for r in results], 0).tolist()
            for m in (methods if classes <= MOST_CONFUSED else ())
        },
        "per_subdomain": {
            m: [
                _nanmean([_share((r.predicted[m] == r.true)[r.subdomain == s]) for r in results])
                for s in range(len(subdomain_names))
            ]
            for m in methods
        },
        "subdomain_figures": {m: _by_subdomain(results, m, subdomain_names, classes) for m in methods},
        "generator": {key: _nanmean([h.get(key) for h in health]) for key in (health[0] if health else {})},
        "notes": list(notes),
        "seconds": dict(seconds),
        "config": dict(config),
        "versions": versions(),
    }
    if len(results) < 5:
        report["notes"].insert(
            0,
            f"{len(results)} seeds are too few to call one method better than another."
            if len(results) > 1
            else "One seed is too few to call one method better than another.",
        )
    report["headline"] = headline(report)
    return report


def method_table(results: Sequence[SeedResult], classes: int) -> dict[str, Any]:
    """`methods` of the report for other results of the same seeds."""
    return {m: _method(results, m, classes) for m in results[0].predicted}


def headline(report: Mapping[str, Any]) -> str:
    """What happened to the tail, in the unseen cells and overall, as modest as the intervals."""
    ours = report["paired_to_la"].get(OURS)
    if ours is None:
        return "This run has no comparison of GeLDA with logit adjustment."
    parts = []
    config = report.get("config", {})
    transfer = config.get("protocol", "longtail") != "longtail"  # its tail is the scarce subdomain as a whole
    first = ("uar", "in UAR") if transfer else ("tail", f"in tail {_units(config)}")
    named = (first, ("unseen", "in cells never seen in training"), ("overall", "overall"))
    for measure, words in named:
        mean, (low, high) = ours[measure]["mean"], ours[measure]["ci95"]
        if not np.isfinite(mean):
            continue
        text = f"{rounding.number(mean, signed=True)} points {words}"
        if not np.isfinite(low):
            text += (
                " (one seed, no interval)"
                if len(ours[measure]["seeds"]) == 1
                else " (two seeds: no interval)"
            )
        else:
            noise = "" if low > 0 or high < 0 else ", inside the noise"
            if not countable(ours[measure]):
                noise += f", {ours[measure]['groups']} test groups: shown, not counted"
            text += f" (95 % interval {' to '.join(rounding.ends(low, high, signed=True))}{noise})"
        parts.append(text)
    return f"GeLDA against logit adjustment: {'; '.join(parts)}."


def _units(config: Mapping[str, Any]) -> str:
    """What is scarce in a long tail."""
    return "cells" if config.get("cut") == "cell" else "classes"


def load_report(path: Path) -> dict[str, Any]:
    """The report of a run folder; an unfinished run is a sentence."""
    file = Path(path) / "report.json"
    if not file.is_file():
        raise UserError(f"The run {Path(path).name} has no report yet: let it finish or resume it.")
    report = read_json(file)
    check_format(report, file)
    return report


def versions() -> dict[str, str]:
    """Versions of Python and of the packages whose numbers a result depends on.

    GeLDA's own is that of the code: of an editable install the metadata keep the version of its first day.
    """
    names = ("torch", "diffusers", "timm", "scikit-learn", "imbalanced-learn", "umap-learn", "numpy")
    found = {"python": platform.python_version(), "gelda": __version__}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _method(results: Sequence[SeedResult], method: str, classes: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for measure in ("overall", "head", "medium", "tail", "uar", "unseen"):
        hits = [(r.predicted[method] == r.true).astype(float) for r in results]
        value[measure] = _interval(results, measure, hits)
    every = [classification_figures(r.true, r.predicted[method], classes) for r in results]
    for measure in SEEDS_ALONE:
        values = [100 * figures[measure] for figures in every]
        value[measure] = {**seed_interval(values, [0.0], 0.0).as_json(), "seeds": values}
    return value


def _by_subdomain(
    results: Sequence[SeedResult], method: str, names: Sequence[str], classes: int
) -> dict[str, dict[str, float]]:
    """overall (WA), uar and macro_f1 in percent, means over seeds, of every subdomain that is tested."""
    every = [per_subdomain(r.true, r.predicted[method], r.subdomain, classes) for r in results]
    return {
        name: {
            k: 100 * _nanmean([one[s][k] for one in every if s in one])
            for k in ("overall", "uar", "macro_f1")
        }
        for s, name in enumerate(names)
        if any(s in one for one in every)
    }


def paired(results: Sequence[SeedResult], a: str, b: str) -> dict[str, Any]:
    """PAIRED differences a − b of two methods on the same items of every seed, with their intervals."""
    return contrast(results, {a: 1.0, b: -1.0})


def contrast(results: Sequence[SeedResult], coefficients: Mapping[str, float]) -> dict[str, Any]:
    """Σ coefficient · hits of methods, paired by seed and item, in points with 95 % intervals and their p."""
    values = [
        np.sum([c * (r.predicted[m] == r.true) for m, c in coefficients.items()], axis=0, dtype=float)
        for r in results
    ]
    return {measure: _interval(results, measure, values, tested=True) for measure in PAIRED}


def _interval(
    results: Sequence[SeedResult], measure: str, values: Sequence[NDArray], tested: bool = False
) -> dict[str, Any]:
    """The two-way (seed, group of test items) interval of a measure over per-item values of every seed;
    `tested`: with the p that it is zero. groups: of test items, in the seed that tests it on fewest."""
    parts = [r.parts(measure, v) for r, v in zip(results, values, strict=True)]
    if any(len(p[0]) == 0 for p in parts):
        parts = [p for p in parts if len(p[0])]  # a seed's cut may leave no unseen cell
    if not parts:
        return {"mean": float("nan"), "ci95": [float("nan"), float("nan")], "seeds": [], "groups": 0}
    seeds = [grouped_mean_variance(*p)[0] for p in parts]
    more = {"seeds": seeds, "groups": min(len(np.unique(group)) for _, _, group in parts)}
    found = cluster_interval(*zip(*parts, strict=True))
    return {**found.as_json(), **({"p": found.p} if tested else {}), **more}


def _share(hits: NDArray[np.bool_]) -> float:
    """Percent of hits; NaN where nothing was tested."""
    return 100 * float(hits.mean()) if len(hits) else float("nan")


def _nanmean(values: Sequence[float | None]) -> float:
    """Mean of what is there: a figure can be missing in a seed, and null in a file that is read again."""
    there = [float(v) for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(there)) if there else float("nan")


def _per_class(results: Sequence[SeedResult], methods: Sequence[str], classes: int) -> list[dict[str, Any]]:
    rows = []
    for r in results:
        found = {m: recalls(r.true, r.predicted[m], classes) for m in methods}
        for c in range(classes):
            rows.append(
                {
                    "seed": r.seed,
                    "class": c,
                    "count": int(r.train_counts[c].sum()),
                    "group": next((name for name, members in r.groups.items() if c in members), ""),
                    "recall": {m: 100 * float(found[m][c]) for m in methods},
                }
            )
    return rows
