"""STUDIES: ready-made ablations. One entry = a question and the settings that are compared; no torch here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gelda import setting_words
from gelda.artifacts import read_json
from gelda.config import RunConfig, flat, merged, resolve_config
from gelda.encoders import assets
from gelda.errors import unknown

RESULT = "study.json"
BASELINE = "logit-adjustment"
SETTING = "gelda"


@dataclass(frozen=True)
class Cell:
    """One setting of a study. levels: its place in the design, {factor: level}; () where it is a control."""

    name: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    method: str = SETTING


@dataclass(frozen=True)
class Study:
    """Cells in order, compared to the one called `reference`; the first level of a factor is its zero."""

    name: str
    title: str
    question: str
    cells: tuple[Cell, ...]
    reference: str

    def factors(self) -> dict[str, list[str]]:
        """Levels of each factor, in order."""
        found: dict[str, list[str]] = {}
        for cell in self.cells:
            for factor, level in cell.levels.items():
                if level not in found.setdefault(factor, []):
                    found[factor].append(level)
        return found


NO_SYNTHETIC = Cell("none", "no synthetic latents", method=BASELINE)


def grid(factors: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> tuple[Cell, ...]:
    """Every combination of levels; factors {factor: {level: settings}}."""
    cells: list[Cell] = []
    for combination in itertools.product(*[levels.items() for levels in factors.values()]):
        settings: dict[str, Any] = {}
        for _, own in combination:
            settings = merged(settings, dict(own))
        levels = dict(zip(factors, [level for level, _ in combination], strict=True))
        title = titled({f: level_title(f, lev, settings) for f, lev in levels.items()})
        plain = ", ".join(f"{factor} {level}" for factor, level in levels.items())
        name, taken = slug(plain), {cell.name for cell in cells}  # −1 and 1 have one slug
        cells.append(Cell(f"{name}-{len(cells) + 1}" if name in taken else name, title, settings, levels))
    return tuple(cells)


def along(path: str, values: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Levels of one setting, "sampling.weight": {title: settings}."""
    levels = {}
    for value in values:
        nested: Any = value
        for part in reversed(path.split(".")):
            nested = {part: nested}
        levels[_level(value)] = nested
    return levels


def _level(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "none" if value is None else "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def level_title(factor: str, level: str, settings: Mapping[str, Any]) -> str:
    """A level as forms call the value, of the dotted settings, that it stands for."""
    there = [path for path, value in flat(settings).items() if _level(value) == level]
    path = next((p for p in there if factor in (p, setting_words.setting(p))), there[0] if there else "")
    return setting_words.choice(path, level)


def titled(levels: Mapping[str, str]) -> str:
    """A setting of a grid by its levels: "weight 0.3, recipe ‘Joint’"."""
    return ", ".join(setting_words.beside(factor, level) for factor, level in levels.items())


def slug(text: str) -> str:
    """A cell's name, for files and commands; of plain values, which stay when words are mended."""
    return re.sub(r"[^\w.]+", "-", text).strip("-").lower()


GAMMA, KAPPA = "class vector", "condition vector"


def _told(name: str, title: str, gamma: str, kappa: str, **control: Any) -> Cell:
    return Cell(name, title, {"generator": control} if control else {}, {GAMMA: gamma, KAPPA: kappa})


STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        Study(
            "conditioning",
            "What the generator is told",
            "Does it matter that the generator is told its class and its condition, and by true vectors?",
            (
                NO_SYNTHETIC,
                _told("neither", "told neither", "off", "off", condition_control="unconditional"),
                _told("class-only", "class only", "on", "off", condition_control="class-only"),
                _told("subdomain-only", "condition only", "off", "on", condition_control="subdomain-only"),
                _told("both", "class and condition", "on", "on"),
                Cell(
                    "one-hot",
                    "one-hot vectors",
                    {"generator": {"class_semantics": "one-hot", "subdomain_semantics": "one-hot"}},
                ),
                Cell("random", "random vectors", {"generator": {"condition_control": "random"}}),
                Cell("shuffled", "vectors of others", {"generator": {"condition_control": "shuffled"}}),
                Cell(
                    "fixed",
                    "true vectors, nothing learned beside",
                    {"generator": {"learned_residual": False}},
                ),
                Cell(
                    "fixed-shuffled",
                    "vectors of others, nothing learned beside",
                    {"generator": {"condition_control": "shuffled", "learned_residual": False}},
                ),
            ),
            "both",
        ),
        Study(
            "guidance",
            "How strongly the generator is guided",
            "Does pushing samples towards their class or their condition help the classifier after it?",
            (
                NO_SYNTHETIC,
                *grid(
                    {
                        "class guidance": along("sampling.guidance_class", (1.0, 1.5, 3.0)),
                        "condition guidance": along("sampling.guidance_subdomain", (1.0, 1.5, 3.0)),
                    }
                ),
            ),
            "class-guidance-1-condition-guidance-1",
        ),
        Study(
            "weight",
            "How many synthetic latents, and what each counts",
            "Are few heavy synthetic latents as good as many light ones?",
            (
                NO_SYNTHETIC,
                *grid(
                    {
                        "count": along("sampling.allocation_factor", (0.5, 1.0, 2.0)),
                        "weight": along("sampling.weight", (0.1, 0.3, 1.0)),
                    }
                ),
            ),
            "count-1-weight-0.3",
        ),
        Study(
            "recipe",
            "When the classifier sees synthetic latents",
            "Does the order in which real and synthetic latents are seen matter?",
            (
                NO_SYNTHETIC,
                *grid(
                    {
                        "recipe": along(
                            "sampling.recipe", ("joint", "synthetic-first", "curriculum", "real-last")
                        )
                    }
                ),
            ),
            "recipe-joint",
        ),
        Study(
            "layer",
            "Where in the encoder latents are made",
            "Do synthetic latents help more in one layer of the encoder than in another?",
            tuple(
                Cell(
                    f"{layer}-{made}",
                    f"{layer}, {said} synthetic latents",
                    {"adapter": {"fm_layer": layer}},
                    {"encoder layer": layer, "synthetic latents": made},
                    method,
                )
                for layer in ("stage3.1", "stage2.1", "stage1.1")
                for made, said, method in (("off", "no", BASELINE), ("on", "with", SETTING))
            ),
            "stage3.1-off",
        ),
        Study(
            "augmenter",
            "What makes the synthetic latents",
            "Is a diffusion model worth its training beside simpler ways to make latents?",
            (
                NO_SYNTHETIC,
                *(
                    Cell(method, title, method=method)
                    for method, title in (
                        ("oversampling", "copies of real ones"),
                        ("noise", "copies with noise"),
                        ("smote", "between neighbours (SMOTE)"),
                        ("class-gaussian", "a Gaussian a class"),
                        ("residual-transfer", "residuals of other classes"),
                        ("distribution-calibration", "calibrated Gaussians"),
                        ("gelda-uncond", "diffusion, without semantics"),
                    )
                ),
                Cell("diffusion", "diffusion (GeLDA)"),
            ),
            "diffusion",
        ),
    )
}


def get(name: str) -> Study:
    """The ready-made study of that name."""
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    return STUDIES[name]


def configs(study: Study, base: RunConfig) -> dict[str, RunConfig]:
    """The settings of every cell, laid over the base; a setting that cannot be names itself."""
    shared = base.model_dump(mode="json")
    return {
        cell.name: resolve_config(merged(shared, {**cell.settings, "methods": [cell.method]}))
        for cell in study.cells
    }


def as_json(study: Study) -> dict[str, Any]:
    value = asdict(study)
    return {**value, "cells": list(value["cells"])}  # as it is read again


def from_json(value: Mapping[str, Any]) -> Study:
    """A study as it is stored in a run's spec."""
    return Study(**{**value, "cells": tuple(Cell(**cell) for cell in value["cells"])})


def shape(study: Study, base: RunConfig) -> dict[str, Any]:
    """What a study takes: cells, seeds, runs, generators that are trained, and an estimate of the seconds.

    The seconds are those of the run that ships (one core each stage), scaled to the steps: an estimate.
    """
    made = configs(study, base)
    pairs = list(zip(study.cells, made.values(), strict=True))
    generative = [(cell, c) for cell, c in pairs if cell.method.startswith(SETTING)]
    adapters = {c.adapter.model_dump_json(): c.adapter.steps for c in made.values()}
    generators = {
        (cell.method, c.adapter.model_dump_json(), c.generator.model_dump_json()): c.generator.steps
        for cell, c in generative
    }
    found = {
        "cells": len(made),
        "seeds": base.seeds,
        "runs": len(made) * base.seeds,
        "generators": len(generators) * base.seeds,
    }
    report = read_json(assets() / "runs" / "digits" / "report.json")
    took, spec, seeds = report["seconds"], report["config"], len(report["seeds"])
    adapt = took["adapt"] / seeds * sum(adapters.values()) / spec["adapter"]["steps"]
    generate = took["generate"] / seeds * sum(generators.values()) / spec["generator"]["steps"]
    heads = (took["sample"] + took["finetune"]) / seeds / len(report["methods"]) * len(made)
    heads += HEALTH * len(generative)
    return {**found, "seconds": base.seeds * (adapt + generate + heads)}


HEALTH = 1.0  # seconds of a generator's health figures, which the shipped run counts among the heads


def shipped() -> dict[str, Path]:
    """Finished studies that ship with the product, by name."""
    folder = assets() / "studies"
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{RESULT}"))}
