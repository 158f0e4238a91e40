"""Arms of a comparison: which there are for a bank, the settings that validation tries, and building one."""

from __future__ import annotations

from typing import Any

from gelda import augmenters
from gelda.augmenters.base import NO_TASK, Augmenter
from gelda.compare_config import CompareConfig
from gelda.errors import UserError
from gelda.finetune import fitting_methods
from gelda.ready import ReadyBank

CONTROLS = ("gelda-uncond", "gelda-shuffled")  # they take the form that validation chose for gelda
# whose defaults choose the layers, whatever arms are compared: one arm of each family
VOTERS = ("logit-adjustment", "smote", "mixup", "residual-transfer", "mean-shift", "gelda")
CHEAP = VOTERS[1:-1]  # those that train no generator choose the encoder layer, beside logit adjustment
Setting = dict[str, Any]
__all__ = ["CONTROLS", "NO_TASK", "VOTERS", "Setting", "arms", "build", "class_of", "describe", "grid_of"]


def arms(config: CompareConfig, bank: ReadyBank) -> list[str]:
    """The methods of a comparison: those named, else every one that bank and head give something to do."""
    single = len(bank.items.subdomain_names) < 2
    for method in config.methods:
        augmenters.get(method)
        if method in CONTROLS and "gelda" not in config.methods:
            raise UserError(f"'{method}' is a control of 'gelda' and takes its form: name 'gelda' too.")
        if single and class_of(method).needs_subdomains:
            raise UserError(f"'{method}' needs two subdomains, and {bank.name} has one: leave it out.")
    if config.methods:
        return fitting_methods(config.methods, config.adapter.head)
    fitting = fitting_methods(augmenters.AUGMENTERS, config.adapter.head, named=False)
    return [m for m in fitting if not (single and class_of(m).needs_subdomains)]


def class_of(method: str) -> type[Augmenter]:
    """The class behind a method's name."""
    spec = augmenters.get(method)
    return type(spec.build(None) if spec.generative else spec.build())


def grid_of(method: str, config: CompareConfig | None = None) -> tuple[Setting, ...]:
    """The settings that validation tries for a method; under generator.form, GeLDA tries weights alone."""
    form = "auto" if config is None else config.generator.form
    if form != "auto" and method in ("gelda", *CONTROLS):
        return tuple({"form": form, "weight": weight} for weight in (0.3, 0.1, 1.0))
    return class_of(method).grid


def build(method: str, setting: Setting, config: CompareConfig) -> Augmenter:
    """An arm under a setting."""
    spec = augmenters.get(method)
    if spec.generative:
        return spec.build(config.generator, None, config.sampling, **setting)
    return spec.build(**setting)


def describe(setting: Setting) -> str:
    """ "form plain, weight 0.3"."""
    return ", ".join(f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in setting.items())
