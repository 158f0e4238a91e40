"""The report of a comparison: what was compared, what validation chose, and every figure by cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gelda import augmenters, protocols, report, report_folds, statistics
from gelda.arms import describe
from gelda.choices import Choice
from gelda.compare_config import CompareConfig
from gelda.finetune import fitting_methods
from gelda.protocols import Episode
from gelda.ready import ReadyBank
from gelda.report import SeedResult
from gelda.runs import RunState


def compared(
    config: CompareConfig,
    bank: ReadyBank,
    methods: Sequence[str],
    choices: Mapping[int, Choice],
    outcomes: Mapping[int, dict[str, Any]],
    health: Sequence[dict[str, float]],
    seconds: Mapping[str, float],
    state: RunState,
    semantics: Mapping[str, str],
    remarks: Sequence[str],
    dtype: str,
) -> dict[str, Any]:
    """The JSON document.

    outcomes: by seed the `episodes`, tested `rows` [M] and predicted ids [M] by arm. semantics: the sources
    that γ and κ were read from. remarks: further notes. dtype: in which generators and heads were trained.
    """
    items, seeds = bank.items, list(choices)

    def results(prefix: str) -> list[SeedResult]:
        found = []
        for seed in seeds:
            out = outcomes[seed]
            first, rows = out["episodes"][0], out["rows"]
            names = [k for k in out if k.startswith(prefix)] if prefix else methods
            found.append(
                SeedResult(
                    seed,
                    items.label[rows],
                    items.subdomain[rows],
                    np.unique(items.group, return_inverse=True)[1][rows],
                    {k.removeprefix(prefix): out[k] for k in names},
                    items.counts(first.train),
                    class_groups(first),
                    first.groups["unseen"],
                    cells=first.groups,
                    by_cell=first.by_cell,
                )
            )
        return found

    tested = len(np.unique(items.group[outcomes[seeds[0]]["rows"]]))
    result = report.build(
        results(""),
        class_names=items.class_names,
        subdomain_names=items.subdomain_names,
        health=list(health),
        notes=_notes(config, bank, choices, tested, outcomes[seeds[0]]["episodes"][0])
        + _sources(semantics)
        + list(remarks),
        config={
            **config.model_dump(mode="json"),
            "selection": selection(choices),
            "semantics": dict(semantics),
            "dtype": dtype,
        },
        seconds=dict(seconds),
        run=state.id,
        name=state.name,
        demo=state.demo,
        setting=setting(config, bank, outcomes[seeds[0]]["episodes"], tested),
    )
    other = [k for k in outcomes[seeds[0]] if k.startswith("other:")]
    if other:
        result["under_other_loss"] = report.method_table(results("other:"), len(items.class_names))
    result["countable"] = tested >= statistics.MIN_GROUPS
    if result["countable"]:
        result["notes"] += _few(result["methods"][methods[0]])
    result["caution"] = bank.note  # pages say it where the figures stand, not among the notes alone
    if config.protocol != "longtail":
        every = [episode for seed in seeds for episode in outcomes[seed]["episodes"]]
        found = report_folds.independence(bank, every)
        result |= {"folds": report_folds.by_fold(bank, outcomes, methods), "independence": found}
        result["notes"].append(report_folds.said(found))
    return result


def setting(config: CompareConfig, bank: ReadyBank, episodes: Sequence[Episode], tested: int) -> str:
    """One line: the bank, the protocol, classes, and how much is trained on and tested."""
    c, items = config, bank.items
    count = len(episodes[0].train)
    cut = f"by {c.cut}, imbalance {c.imbalance:g}" if c.cut != "given" else "as the data's own split has it"
    what = {
        "longtail": f"long tail {cut}",
        "zero-shot": f"{c.target} keeps {c.keep} only",
        "few-shot": f"{c.target} has {c.shots} items a class",
    }[c.protocol]
    if c.protocol != "longtail":
        what += ", transductive (its latents are read without labels)" if c.unlabelled else ""
    names = ", ".join(items.class_names[k] for k in episodes[0].classes)
    groups = f"{tested} {'groups' if items.grouped else 'items'} tested"
    return (
        f"{bank.name}: {what}; classes {names}; {count} training items in the first seed; "
        f"{groups}; {c.seeds} seed{'s' * (c.seeds != 1)}."
    )


def _notes(
    config: CompareConfig, bank: ReadyBank, choices: Mapping[int, Choice], tested: int, first: Episode
) -> list[str]:
    picked = [ch.settings["gelda"] for ch in choices.values() if "gelda" in ch.settings]
    notes = [
        "Layer, τ and every method's own setting were chosen by class-mean calibrated log-loss on validation "
        "that reads no test label; each method had at most six settings."
    ]
    if bank.note:
        notes.insert(0, bank.note)
    if picked and not config.one_choice:
        texts = "; ".join(describe(p) for p in picked)
        notes.append(f"GeLDA's form, in the order of the seeds: {texts}.")
    elif picked:
        notes.append(
            "All seeds share one choice, which the intervals take as given. GeLDA's form: "
            f"{describe(picked[0])}."
        )
    if config.protocol == "longtail" and config.cut == "given":
        notes.append(
            "Training and test items are those of the data's own split, the same in every seed: seeds vary "
            "generators and heads, so intervals are over these and the test items, for this one training "
            "set."
        )
    if config.protocol == "longtail":
        notes.append(_groups(config, bank, first))
    shared = protocols.shared_between_splits(bank.items) if config.protocol == "longtail" else 0
    if shared:
        notes.append(
            f"The bank's split tests groups that it trains on too: {shared} training items are left out."
        )
    notes += config.adapter.remarks()
    left_out = set(augmenters.AUGMENTERS) - set(
        fitting_methods(augmenters.AUGMENTERS, config.adapter.head, named=False)
    )
    if left_out and not config.methods:
        notes.append(f"Left out, since they need a linear last layer: {', '.join(sorted(left_out))}.")
    if any(ch.adapter_layer for ch in choices.values()):
        at = ", ".join(str(ch.adapter_layer) for ch in choices.values())
        notes.append(
            f"Latents are made and heads tuned after adapter layer {at} (in the order of the seeds). The "
            "adapter has seen the training rows: going on from it over-fits arms without synthetic "
            "latents most, so hold the table of --adapter-layer 0 beside this one."
        )
    if config.protocol != "longtail":
        if protocols.validation(bank.items, first, config.validation_folds)[0].target is None:
            notes.append(
                "No source subdomain can play the target: choices were made on folds inside the sources, "
                "which know nothing of a shift between subdomains."
            )
    if tested < statistics.MIN_GROUPS:
        notes.append(f"Only {tested} test groups: the row is shown and counts for no claim.")
    return notes


def _few(figures: Mapping[str, Any]) -> list[str]:
    """Which measures rest on too few groups where all test items together lie in enough of them."""
    return [
        f"{report.MEASURES[m]}: only {figures[m]['groups']} test groups, so the figures are shown and count "
        "for no claim."
        for m in report.PAIRED
        if figures[m]["seeds"] and not statistics.countable(figures[m])
    ]


def _groups(config: CompareConfig, bank: ReadyBank, first: Episode) -> str:
    """What head, medium and tail are."""
    units = "cells" if first.by_cell else "classes"
    counts = bank.items.counts(first.train)
    sizes = counts[counts > 0] if first.by_cell else counts.sum(1)[list(first.classes)]
    few, many = config.shot_borders
    if protocols.by_shots(sizes, config.shot_borders):
        return (
            f"Head, medium and tail are the many-, medium- and few-shot {units}: more than {many}, {few} to "
            f"{many}, and fewer than {few} training items."
        )
    why = f"fewer than 50 {units}" if len(sizes) < 50 else f"none has fewer than {few}"
    return f"Head, medium and tail are thirds of the {units} by training items ({why})."


def _sources(semantics: Mapping[str, str]) -> list[str]:
    if not semantics:
        return []
    return [f"Class vectors (γ): {semantics['class']}; subdomain vectors (κ): {semantics['subdomain']}."]


def class_groups(episode: Episode) -> dict[str, tuple[int, ...]]:
    """Class ids of each group that is made of whole classes; {} where groups are of cells."""
    if episode.by_cell or episode.target is not None:
        return {}
    return {k: tuple(sorted({c for c, _ in v})) for k, v in episode.groups.items() if k != "unseen"}


def selection(choices: Mapping[int, Choice]) -> dict[str, Any]:
    """What was chosen in every seed and the scores behind it, for the report's config."""
    return {
        str(seed): {
            "fm_layer": c.layer,
            "adapter_layer": c.adapter_layer,
            "tau": c.tau,
            "settings": c.settings,
            "scores": c.scores,
        }
        for seed, c in choices.items()
    }
