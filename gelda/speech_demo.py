"""`gelda demo speech`: synthetic speech, every language left out in turn, what each method recovers of its emotions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from gelda import compare, compare_runs, encoders, extraction_runs, runs
from gelda.artifacts import FORMAT, content_key
from gelda.compare_config import CompareConfig, resolve_compare
from gelda.config import merged
from gelda.datasets import get
from gelda.extract_config import ExtractConfig, resolve_extract
from gelda.metrics import separability
from gelda.ready import ReadyBank, open_bank
from gelda.report import METHOD_TITLES, load_report
from gelda.runs import RunState

NAME = "speech"
ENCODER = "random-whisper"
KEPT = "neutral"
CEILING = "in-language"
METHODS = (
    "ce",
    "logit-adjustment",
    "residual-transfer",
    "mean-shift",
    "subdomain-norm",
    "gelda-paper",
    "gelda",
)
Watch = Callable[[RunState], AbstractContextManager[Any]]  # shows a run's progress: a listener, or None


def extraction() -> ExtractConfig:
    """The demo's clips through its encoder; the bank's name says that they are synthetic, and what it depends on."""
    key = content_key(encoders.get(ENCODER).revision(), get(NAME).manifest().key())[:8]
    folder = runs.home() / "banks" / f"synthetic-speech-{ENCODER}-{key}"
    values = {"path": NAME, "encoder": ENCODER, "out": str(folder)}
    return extraction_runs.resolved(resolve_extract(values))


def comparisons(
    bank: ReadyBank, path: str, values: Mapping[str, Any], preset: str
) -> dict[str, CompareConfig]:
    """The comparison of each language left out, checked; the first gets a map, for the app to open on."""
    own = {"bank": path, "protocol": "zero-shot", "keep": KEPT, "methods": METHODS}
    made = {}
    for place, language in enumerate(bank.items.subdomain_names):
        fixed = {**own, "target": language, "map": place == 0}
        made[language] = resolve_compare(merged(fixed, dict(values)), preset)
        compare.check(made[language], bank)
    return made


def prepared() -> RunState:
    """The run that the demo starts with, new or found again."""
    state = extraction_runs.prepared(extraction())
    runs.forget_cancel(state.path)
    return state


def run(values: Mapping[str, Any], preset: str, watch: Watch) -> dict[str, Any]:
    """Encode, then compare in each language, each an ordinary run that is found again; the summary."""
    config, state = extraction(), prepared()
    with watch(state) as listener:
        extraction_runs.execute(config, state, listener)
    bank = open_bank(config.out)
    bank = replace(bank, load=cache(bank.load))
    reports = {}
    for language, settings in comparisons(bank, config.out, values, preset).items():
        state, done = compare_runs.prepared(settings, bank)
        if done:
            reports[language] = load_report(state.path)
            continue
        runs.forget_cancel(state.path)
        with watch(state) as listener:
            reports[language] = compare.execute(settings, bank, state, listener)
    return summary(bank, reports)


def summary(bank: ReadyBank, reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """UAR in % with its interval of each method, by language and as the mean over languages.

    ahead: GeLDA − mean shift, paired. in_language: a linear probe that has labels of the language itself, on the
    layer of the comparison, speakers held out: a ceiling, no method of the setting. The interval of a mean over
    languages takes those of the languages, whose test items differ, as independent.
    """
    methods = list(next(iter(reports.values()))["methods"])
    scores = {m: {lang: _plain(r["methods"][m]["uar"]) for lang, r in reports.items()} for m in methods}
    paired = {lang: r["paired"].get("mean-shift", {}).get("uar") for lang, r in reports.items()}
    ahead = {lang: _plain(value) for lang, value in paired.items() if value}
    ceiling = {lang: in_language(bank, lang, r) for lang, r in reports.items()}
    return {
        "format": FORMAT,
        "demo": NAME,
        "title": get(NAME).title,
        "caveat": get(NAME).caveat,
        "notes": list(next(iter(reports.values()))["notes"]),
        "runs": {lang: r["run"] for lang, r in reports.items()},
        "uar": {m: {**by, "mean": _mean(list(by.values()))} for m, by in scores.items()},
        "ahead": {**ahead, "mean": _mean(list(ahead.values()))} if ahead else {},
        CEILING: {**ceiling, "mean": float(np.mean(list(ceiling.values())))},
        "seconds": round(sum(sum(r["seconds"].values()) for r in reports.values()), 1),
    }


def in_language(bank: ReadyBank, language: str, report: Mapping[str, Any]) -> float:
    """UAR in % of a probe trained on half of the language's own speakers and tested on the others."""
    layer = next(iter(report["config"]["selection"].values()))["fm_layer"]
    items = bank.items
    own = np.flatnonzero(items.subdomain == items.subdomain_names.index(language))
    z = bank.load(layer).numpy()[own]
    found = separability(z, items.label[own], items.group[own], folds=2, seed=0)
    return 100 * found["uar"]


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"mean": value["mean"], "ci95": list(value["ci95"])}


def _mean(values: list[dict[str, Any]]) -> dict[str, Any]:
    mean = float(np.mean([v["mean"] for v in values]))
    half = [(v["ci95"][1] - v["ci95"][0]) / 2 if None not in v["ci95"] else math.nan for v in values]
    width = float(np.sqrt(np.sum(np.square(half)))) / len(values)
    return {"mean": mean, "ci95": [mean - width, mean + width]}


def rows(found: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The table's rows: a method's title and "52.3 ± 4.1" for every language and the mean."""
    made = [(METHOD_TITLES.get(m, m), [_cell(v) for v in by.values()]) for m, by in found["uar"].items()]
    return [*made, ("In-language (ceiling)", [f"{value:.1f}" for value in found[CEILING].values()])]


def _cell(value: Mapping[str, Any], signed: bool = False) -> str:
    low, high = value["ci95"]
    text = f"{value['mean']:{'+' if signed else ''}.1f}"
    return text if low is None or math.isnan(low) else f"{text} ± {(high - low) / 2:.1f}"


def headline(found: Mapping[str, Any]) -> str:
    """GeLDA beside mean shift over all languages."""
    if not found["ahead"]:
        return "No comparison of GeLDA with mean shift was asked for."
    mean = found["ahead"]["mean"]
    low, high = mean["ci95"]
    noise = "" if low > 0 or high < 0 else ", inside the noise"
    return (
        f"GeLDA against mean shift, mean over {len(found['ahead']) - 1} languages: {_cell(mean, True)} points of "
        f"UAR (95 %{noise})."
    )
