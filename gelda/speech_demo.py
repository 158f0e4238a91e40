"""`gelda demo speech`: synthetic speech, every language left out in turn, and what each method recovers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from gelda import compare, compare_runs, encoders, extraction_runs, processes, recording, runs
from gelda import device as devices
from gelda.artifacts import FORMAT, content_key
from gelda.compare_config import CompareConfig, resolve_compare
from gelda.config import merged
from gelda.datasets import get
from gelda.extract_config import ExtractConfig, resolve_extract
from gelda.metrics import separability
from gelda.ready import ReadyBank, open_bank
from gelda.report import load_report
from gelda.report_text import interval_text
from gelda.runs import RunState

NAME = "speech"
ENCODER = "mini-speech"
LAYERS = "embed,2,4"
POOLING = "mean+std"  # in-language probes tell emotions better by both: range and pauses are deviations
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
WatchAll = Callable[[], AbstractContextManager[Callable[[Sequence[RunState]], None]]]


def extraction() -> ExtractConfig:
    """The clips through the encoder; the bank is named after what it depends on."""
    key = content_key(encoders.get(ENCODER).revision(), LAYERS, POOLING, get(NAME).manifest().key())[:8]
    folder = runs.home() / "banks" / f"synthetic-speech-{ENCODER}-{key}"
    values = {"path": NAME, "encoder": ENCODER, "out": str(folder), "layers": LAYERS, "pooling": POOLING}
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
    recording.forget_cancel(state.path)
    return state


def run(values: Mapping[str, Any], preset: str, watch: Watch, watch_all: WatchAll) -> dict[str, Any]:
    """Encode, then compare in each language, each an ordinary run that is found again; the summary.

    On the CPU as many languages at once as there are cores: one comparison of this size gains nothing by a
    second one. On a GPU one after the other.
    """
    config, state = extraction(), prepared()
    with watch(state) as listener:
        extraction_runs.execute(config, state, listener)
    bank = open_bank(config.out)
    bank = replace(bank, load=cache(bank.load))
    asked = comparisons(bank, config.out, values, preset)
    pending = [settings for settings in asked.values() if compare_runs.finished(settings, bank) is None]
    first = next(iter(asked.values()))
    at_once = min(len(pending), processes.cores()) if devices.resolve(first.device).type == "cpu" else 1
    if at_once > 1:
        with watch_all() as tell:
            processes.side_by_side([partial(_begun, settings, bank) for settings in pending], at_once, tell)
    else:
        for settings in pending:
            state, _ = _begun(settings, bank)
            with watch(state) as listener:
                compare.execute(settings, bank, state, listener)
    folder = runs.home() / "runs"
    return summary(
        bank, {language: load_report(folder / compare_runs.run_id(s, bank)) for language, s in asked.items()}
    )


def _begun(settings: CompareConfig, bank: ReadyBank) -> tuple[RunState, bool]:
    """A language's run, new or found again; one that lost its parent and is going on (True) is left alone."""
    path = runs.home() / "runs" / compare_runs.run_id(settings, bank)
    if path.is_dir() and (state := runs.read_state(path)).status in runs.ALIVE:
        return state, True
    state, _ = compare_runs.prepared(settings, bank)
    recording.forget_cancel(state.path)
    return state, False


def summary(bank: ReadyBank, reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """UAR in % with its interval of each method, by language and as the mean over languages.

    ahead: GeLDA − mean shift, paired. in-language: a linear probe that has labels of the language itself, on
    the layer of the comparison, speakers held out: a ceiling, and no method of the setting. The interval of a
    mean over languages takes those of the languages, whose test items differ, as independent.
    """
    methods = list(next(iter(reports.values()))["methods"])
    scores = {m: {lang: _plain(r["methods"][m]["uar"]) for lang, r in reports.items()} for m in methods}
    paired = {lang: r["paired"].get("mean-shift", {}).get("uar") for lang, r in reports.items()}
    ahead = {lang: _plain(value) for lang, value in paired.items() if value}
    ceiling = {lang: in_language(bank, lang, r) for lang, r in reports.items()}
    spread = {**ahead, "mean": _mean(list(ahead.values()))} if ahead else {}
    first, *others = (r["notes"] for r in reports.values())
    return {
        "format": FORMAT,
        "demo": NAME,
        "title": get(NAME).title,
        "caveat": get(NAME).caveat,
        "headline": headline(spread),
        "notes": [note for note in first if all(note in notes for notes in others)],
        "runs": {lang: r["run"] for lang, r in reports.items()},
        "uar": {m: {**by, "mean": _mean(list(by.values()))} for m, by in scores.items()},
        "ahead": spread,
        CEILING: {**ceiling, "mean": float(np.mean(list(ceiling.values())))},
        "seconds": round(sum(sum(r["seconds"].values()) for r in reports.values()), 1),
    }


def in_language(bank: ReadyBank, language: str, report: Mapping[str, Any]) -> float:
    """UAR in % of a probe trained on half of the language's own speakers and tested on the others."""
    layer = next(iter(report["config"]["selection"].values()))["fm_layer"]
    items = bank.items
    own = np.flatnonzero(items.subdomain == items.subdomain_names.index(language))
    z = bank.load(layer).numpy()[own]
    halves = [
        separability(z, items.label[own], items.group[own], folds=2, seed=seed)["uar"]
        for seed in report["seeds"]
    ]
    return 100 * float(np.mean(halves))


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"mean": value["mean"], "ci95": list(value["ci95"])}


def _mean(values: list[dict[str, Any]]) -> dict[str, Any]:
    mean = float(np.mean([v["mean"] for v in values]))
    ends = np.array([v["ci95"] for v in values], dtype=float)  # None, of too few seeds, becomes NaN
    half = float(np.sqrt(np.sum((ends[:, 1] - ends[:, 0]) ** 2))) / 2 / len(values)
    return {"mean": mean, "ci95": [mean - half, mean + half]}


def headline(ahead: Mapping[str, Any]) -> str:
    """GeLDA beside mean shift over all languages."""
    if not ahead:
        return "No comparison of GeLDA with mean shift was asked for."
    low, high = ahead["mean"]["ci95"]
    noise = ", inside the noise" if low <= 0 <= high else ""
    sure = f"95 % interval{noise}" if low == low else "too few seeds for an interval"
    return (
        f"GeLDA against mean shift, mean over {len(ahead) - 1} languages of synthetic speech: "
        f"{interval_text(ahead['mean'], signed=True)} points of UAR ({sure})."
    )
