"""What settings and the values of them are called, on forms and wherever else they are named."""

from __future__ import annotations

from typing import Any

from gelda.allocation import ALLOCATIONS
from gelda.compare_config import CompareConfig
from gelda.config import RunConfig
from gelda.filters import FILTERS
from gelda.recipes import RECIPES
from gelda.schedulers import SCHEDULERS

TITLES: dict[str, dict[str, str]] = {
    "sampling.allocation": {name: spec.title for name, spec in ALLOCATIONS.items()},
    "sampling.recipe": {name: spec.title for name, spec in RECIPES.items()},
    "sampling.filter": {name: spec.title for name, spec in FILTERS.items()},
    "sampling.scheduler": {name: spec.title for name, spec in SCHEDULERS.items()},
    "device": {"auto": "Automatic", "cpu": "Processor", "cuda": "NVIDIA GPU", "mps": "Apple GPU"},
    "precision": {"auto": "Automatic", "fp32": "32 bits", "bf16": "16 bits (bf16)"},
    "generator.form": {
        "auto": "Automatic",
        "plain": "The latent",
        "residual": "Its distance to a prototype",
        "aligned": "The latent, subdomains aligned",
        "translate": "Moved from another subdomain",
    },
    "generator.prediction_type": {
        "v_prediction": "v, between latent and noise",
        "epsilon": "The noise",
        "sample": "The clean latent",
        "flow": "The velocity of a flow",
    },
    "generator.condition_control": {
        "none": "None: real conditions",
        "shuffled": "Conditions shuffled",
        "random": "Random conditions",
        "class-only": "Class alone",
        "subdomain-only": "Subdomain alone",
        "unconditional": "No condition",
    },
    "protocol": {"longtail": "Long tail", "zero-shot": "Zero-shot", "few-shot": "Few-shot"},
    "emotions": {"own": "as the data name them", "joined": "one name each", "four": "the common four only"},
    "cut": {"class": "classes", "cell": "cells (class, subdomain)", "given": "the data's own split"},
}


def choice(path: str, value: str) -> str:
    """A value of a dotted setting as forms call it; itself where they have no words for it."""
    return TITLES.get(path.removeprefix("paper_"), {}).get(value, value)


def beside(name: str, value: str) -> str:
    """ "weight 0.3", "recipe ‘Real at the end’"."""
    return f"{name} {quoted(value)}"


def quoted(value: str) -> str:
    """A value in a sentence: one that is words stands in quotes, a number or a plain name does not."""
    return f"‘{value}’" if " " in value or value[:1].isupper() else value


def setting(path: str) -> str:
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
