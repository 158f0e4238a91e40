"""The card of a run in Markdown: purpose, data, figures, limits, command; and all other forms."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gelda import contrast, verdicts
from gelda.compare_config import COMPARE_PRESETS, CompareConfig, resolve_compare
from gelda.config import PRESETS, RunConfig, resolve_config
from gelda.datasets import DATASETS
from gelda.errors import UserError, nearest
from gelda.report import BASELINE, MEASURES, OURS, PAIRED, method_title
from gelda.report_text import interval_text, markdown_table, tables, to_csv, to_frame, to_latex, to_markdown
from gelda.runs import COMPARISON
from gelda.statistics import INTERVAL_SEEDS

Report = Mapping[str, Any]
PURPOSES = {
    "longtail": "Whether synthetic latents help classes of few training samples, and at what cost to others.",
    "zero-shot": "Whether synthetic latents help where a subdomain has training samples of one class only.",
    "few-shot": "Whether synthetic latents help where a subdomain has a handful of training samples a class.",
}
# figure of the generator: name, whether more is better (None: neither), what its value means
HEALTH: dict[str, tuple[str, bool | None, str]] = {
    "variance_ratio": ("Variance within a class, over the real one", None, "1 is real; below, too little"),
    "variance_ratio_tail": ("The same, rare classes", None, "1 is real"),
    "frechet": ("Fréchet distance, class means removed", False, "how far the shapes of the clouds differ"),
    "precision": ("Precision", True, "share of synthetic latents that lie among real ones"),
    "recall": ("Recall", True, "share of real latents that lie among synthetic ones"),
    "density": ("Density", True, "how densely real latents surround the synthetic ones"),
    "coverage": ("Coverage", True, "share of real latents with a synthetic one near"),
    "mmd2": ("MMD²", False, "distance of the two distributions, 0 where they are one"),
    "c2st": ("Two-sample classifier", None, "accuracy of telling synthetic from real; 0.5 is a guess"),
    "tstr_accuracy": ("Train on synthetic, test on real: accuracy", True, "of a linear classifier"),
    "tstr_uar": ("Train on synthetic, test on real: UAR", True, "of a linear classifier"),
    "memorisation": ("Memorisation", None, "share nearer to training data than 95 % of held-out real ones"),
    "nearest_ratio": ("Distance to the nearest training latent", None, "over that of held-out real ones"),
}  # fmt: skip


def card(report: Report) -> str:
    """The whole card of a finished run, from its report alone."""
    parts = [
        [f"# {report['name']}", "", f"Run `{report['run']}`. {report['headline']}"],
        ["## Purpose", "", _purpose(report)],
        ["## Data", "", *_bullets(data(report))],
        ["## Figures", "", *_figures(report)],
        ["## The synthetic latents", "", *_health(report)] if report["generator"] else [],
        ["## Limits", "", *_bullets(limits(report))],
        ["## Settings", "", *_settings(report)],
        ["## Make it again", "", *_again(report)],
        ["## Versions and time", "", *_bullets(_made(report))],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def data(report: Report) -> list[str]:
    """Sentences on what was trained on and tested: source, sizes, cut, licence, caveat."""
    config = report["config"]
    found = [report["setting"]]
    name = config.get("data", {}).get("dataset", "")
    if name in DATASETS:
        spec = DATASETS[name]
        found += [f"{spec.title}: {spec.note}", spec.caveat, f"Licence: {spec.licence}."]
    elif "bank" in config:
        found.append("Latents that were brought along: their licence is not known to GeLDA.")
    counts = [entry["count"] for entry in report.get("per_class", []) if entry["count"]]
    if counts:
        found.append(f"A class has {min(counts)} to {max(counts)} training items.")
    return found


def limits(report: Report) -> list[str]:
    """What a reader must not conclude: no gain, losses elsewhere, a poor generator, few seeds, notes."""
    found = [report["remark"]] if report.get("remark") else []
    ours, baseline = report["methods"].get(OURS), report["methods"].get(BASELINE)
    for measure in PAIRED if ours else ():
        pair = report["paired_to_la"].get(OURS, {}).get(measure)
        interval = verdicts.interval(pair)
        if not np.isfinite(interval.low):
            continue
        text = interval_text(interval.as_json(), signed=True)
        if interval.high < 0:
            found.append(f"{MEASURES[measure]}: GeLDA is behind logit adjustment by {text} points.")
        elif interval.low <= 0:
            found.append(f"{MEASURES[measure]}: GeLDA is inside the noise beside logit adjustment ({text}).")
    pairs = contrast.by_measure(report, BASELINE, report, OURS) if ours and baseline else pd.DataFrame()
    for row in pairs.itertuples():
        if row.measure not in PAIRED and row.difference < 0:
            text = interval_text({"mean": row.difference, "ci95": [row.low, row.high]}, signed=True)
            found.append(f"{MEASURES[row.measure]}: {text} points to logit adjustment, over seeds alone.")
    verdict = verdicts.verdict(report, verdicts.main_measure(report))
    if verdict is not None and verdict.unsettled:
        names = ", ".join(method_title(m) for m in verdict.unsettled)
        found.append(f"On its main measure GeLDA is not told apart from: {names}.")
    if not verdicts.counts(report):
        found.append(f"Shown and not counted: a claim needs {verdicts.FEWEST_SEEDS} seeds and 8 test groups.")
    return found + _unhealthy(report["generator"]) + list(report["notes"])


def command(report: Report) -> list[str]:
    """The words of the command that makes the run again."""
    config = {k: v for k, v in report["config"].items() if k not in ("selection", "semantics", "dtype")}
    if report["demo"] == COMPARISON:
        known = {k: v for k, v in config.items() if k in CompareConfig.model_fields}
        bases = {
            name: resolve_compare({"bank": known["bank"], "protocol": known["protocol"]}, name).model_dump(
                mode="json"
            )
            for name in COMPARE_PRESETS
        }
        start = ["gelda", "compare", known["bank"], "--protocol", known["protocol"]]
    else:
        known = {k: v for k, v in config.items() if k in RunConfig.model_fields}
        bases = {name: resolve_config(preset=name).model_dump(mode="json") for name in PRESETS}
        start = ["gelda", "run"]
    changed = {name: _changed(known, base) for name, base in bases.items()}
    preset = min(changed, key=lambda name: len(changed[name]))
    words = [*start, "--preset", preset]
    for name, value in changed[preset].items():
        words += ["--set", f"{name}={json.dumps(value, ensure_ascii=False)}"]
    return words


def _changed(values: Mapping[str, Any], base: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted name: value} of what differs from a preset; older runs lack settings that came later."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            found |= _changed(value, base[key], f"{prefix}{key}.")
        elif value != base.get(key):
            found[f"{prefix}{key}"] = value
    return found


def _purpose(report: Report) -> str:
    methods = [method_title(m) for m in report["methods"]]
    seeds = len(report["seeds"])
    return (
        f"{PURPOSES[report['config'].get('protocol', 'longtail')]} {len(methods)} methods on the same "
        f"latents, layer and {seeds} seed{'s' * (seeds != 1)}: {', '.join(methods)}."
    )


def _figures(report: Report) -> list[str]:
    lines: list[str] = []
    for title, head, rows in tables(report):
        lines += [f"{title}:", "", *markdown_table(head, rows), ""]
    count = len(report["seeds"])
    seeds = (
        f"over {count} seeds"
        if count >= INTERVAL_SEEDS
        else f"{('one seed', 'two seeds')[count - 1]}, so none"
    )
    return [*lines, f"Brackets: paired differences to logit adjustment with 95 % intervals ({seeds})."]


def health_rows(generator: Mapping[str, Any]) -> list[tuple[str, float, float, float]]:
    """(key, synthetic, real against real, a Gaussian) of every figure that a report has, NaN for none."""

    def at(key: str) -> float:
        value = generator.get(key)
        return float("nan") if value is None else float(value)

    rows = [(key, at(key), at(f"{key}_real"), at(f"{key}_gaussian")) for key in HEALTH]
    return [row for row in rows if np.isfinite(row[1])]


def _health(report: Report) -> list[str]:
    rows = [
        [HEALTH[key][0], *(digits(v) for v in values), HEALTH[key][2]]
        for key, *values in health_rows(report["generator"])
    ]
    return markdown_table(["", "synthetic", "real against real", "a Gaussian", "meaning"], rows)


def _unhealthy(generator: Mapping[str, Any]) -> list[str]:
    """Figures in which a Gaussian around the class means does as well as the generator."""
    worse = []
    for key, made, _, gaussian in health_rows(generator):
        name, more, _ = HEALTH[key]
        if more is None or digits(made) == digits(gaussian) or not np.isfinite(gaussian):
            continue
        if made < gaussian if more else made > gaussian:
            worse.append(f"{name} {digits(made)} (the Gaussian {digits(gaussian)})")
    ratio = generator.get("variance_ratio")
    found = (
        [f"A Gaussian of one covariance does better than the generator in: {'; '.join(worse)}."]
        if worse
        else []
    )
    if ratio is not None and ratio == ratio and ratio < 0.7:
        found.append(f"Synthetic latents of a class vary {ratio:.2f} times as much as real ones: too little.")
    return found


def digits(value: float) -> str:
    """A figure of the generator with three places at most; a dash where there is none."""
    if value != value:
        return "–"
    return (
        f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.2f}"
        if abs(value) >= 0.01 or not value
        else f"{value:.1g}"
    )


def _settings(report: Report) -> list[str]:
    config = {k: v for k, v in report["config"].items() if k != "selection"}
    return ["```json", json.dumps(config, indent=1, ensure_ascii=False), "```"]


def _again(report: Report) -> list[str]:
    lines = ["```sh", shlex.join(command(report)), "```", ""]
    return [*lines, "The same seeds give the same figures with the same versions on the same kind of device."]


def _made(report: Report) -> list[str]:
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    spent = {k: v for k, v in report["seconds"].items() if v and k != "total"}
    stages = ", ".join(f"{name} {value:.0f} s" for name, value in spent.items())
    return [versions, f"{sum(spent.values()):.0f} s in all: {stages}."] if spent else [versions]


def _bullets(texts: Sequence[str]) -> list[str]:
    return [f"- {text}" for text in texts]


# A form of a report: its file's suffix, and the text of it.
FORMATS: dict[str, tuple[str, Callable[[Report], str]]] = {
    "md": ("md", to_markdown),
    "csv": ("csv", lambda report: to_csv(to_frame(report))),
    "latex": ("tex", to_latex),
    "json": ("json", lambda report: json.dumps(report, indent=1) + "\n"),
    "card": ("card.md", card),
}


def render(report: Report, form: str) -> str:
    """The report as text in one of FORMATS."""
    if form not in FORMATS:
        raise UserError(f"There is no report format '{form}'.{nearest(form, FORMATS)}")
    return FORMATS[form][1](report)
