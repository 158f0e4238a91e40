"""STUDIES: ready-made ablations. One entry = a question and the settings that are compared; no torch here."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gelda.artifacts import check_format, read_json
from gelda.compare_config import CompareConfig
from gelda.config import RunConfig, merged, resolve_config
from gelda.encoders import assets
from gelda.errors import UserError, unknown

RESULT = "study.json"
MOST_SETTINGS = 100  # of a grid: more need a search, and nobody reads so many intervals
# what all settings of a study have in common, or none of them reads
SHARED = ("methods", "seeds", "first_seed", "name", "projection", "paper_sampling", "data.dataset")
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
        title = ", ".join(f"{factor} {level}" for factor, level in levels.items())
        name, taken = slug(title), {cell.name for cell in cells}  # −1 and 1 have one slug
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


def setting_title(path: str) -> str:
    """A dotted setting in words, as "weight of a synthetic latent"; the path where it is not known.

    Where several parts have a setting of that title, the part stands behind it: "dropout (generator)".
    """
    title = _own_title(path)
    section, dot, name = path.rpartition(".")
    others = [s for s in RunConfig.model_fields if s not in ("paper_sampling", section)]
    if dot and title in [_own_title(f"{s}.{name}") for s in others]:
        return f"{title} ({section.replace('_', ' ')})"
    return title


def _own_title(path: str) -> str:
    for config in (RunConfig, CompareConfig):
        owner: Any = config
        field = None
        for part in path.split("."):
            field = getattr(owner, "model_fields", {}).get(part)
            owner = getattr(field, "annotation", None)
        if field is not None:
            title = field.title or path.rsplit(".", 1)[-1].replace("_", " ")
            return title[0].lower() + title[1:]
    return path


def slug(text: str) -> str:
    """A cell's name, for files and commands."""
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


def from_spec(value: Any, where: str) -> tuple[Study, dict[str, Any]]:
    """A person's own grid, {"title", "factors": {"sampling.weight": [0.1, 0.3]}, "config": {…}}, checked.

    Returns the study and the settings that all of its cells share. Each cell is compared to the first one.
    """
    known = ("title", "question", "factors", "config", "format")
    if not isinstance(value, dict) or not isinstance(value.get("factors"), dict) or not value["factors"]:
        raise UserError(
            f'{where} is not a study: it needs "factors", such as {{"sampling.weight": [0.1, 0.3]}}.'
        )
    for key in value:
        if key not in known:
            raise unknown("part of a study", key, known)
    if not isinstance(value.get("config", {}), dict):
        raise UserError(f'{where}: "config" must hold settings that all cells share.')
    factors = {}
    for path, values in value["factors"].items():
        _check_factor(path, value["factors"], where)
        levels = along(path, values) if isinstance(values, list) else {}
        if len(levels) < max(2, len(values) if isinstance(values, list) else 0):
            raise UserError(f"{where}: the factor '{path}' needs a list of at least two different values.")
        factors[setting_title(path)] = levels
    settings = math.prod(map(len, factors.values()))
    if settings > MOST_SETTINGS:
        raise UserError(
            f"{where}: {settings} settings are too many for a grid, at most {MOST_SETTINGS}: vary fewer."
        )
    cells = grid(factors)
    title, question = str(value.get("title", "Your own grid")), str(value.get("question", ""))
    return Study(slug(title)[:40], title, question, (NO_SYNTHETIC, *cells), cells[0].name), value.get(
        "config", {}
    )


def _check_factor(path: str, others: Iterable[str], where: str) -> None:
    """Refuse a factor that no setting would differ in, or that another one would overwrite."""
    if any(f"{path}.".startswith(f"{shared}.") for shared in SHARED):
        raise UserError(f"{where}: '{path}' cannot be a factor: it is the same in all settings of a study.")
    outer = next((other for other in others if path.startswith(f"{other}.")), None)
    if outer is not None:
        raise UserError(f"{where}: the factor '{path}' is a part of the factor '{outer}': leave one out.")


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


def read_result(folder: Path) -> dict[str, Any]:
    """What a study found so far; see `ablation.result`."""
    value = read_json(folder / RESULT)
    check_format(value, folder / RESULT)
    return value


def shipped() -> dict[str, Path]:
    """Finished studies that ship with the product, by name."""
    folder = assets() / "studies"
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{RESULT}"))}
