"""AUGMENTERS: every arm of a comparison. Adding one = one class and one entry here.

The table holds words and loaders only: pages and reports read it without importing torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from gelda.errors import unknown


@dataclass(frozen=True)
class AugmenterSpec:
    """An arm: build(...) makes its augmenter; words for people; its kind, one of KINDS."""

    build: Callable[..., Any]
    title: str
    note: str
    kind: str

    @property
    def generative(self) -> bool:
        """Whether a generator is trained for it."""
        return self.kind == "generative"


def _from(module: str, name: str) -> Callable[..., Any]:
    """The class `name` of `gelda.augmenters.<module>`, imported when it is first built."""

    def build(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module(f"gelda.augmenters.{module}"), name)(*arguments, **options)

    return build


KINDS = ("losses", "decoupled heads", "resampling", "mixing", "statistics", "subdomains", "generative")

AUGMENTERS: dict[str, AugmenterSpec] = {
    "ce": AugmenterSpec(
        _from("baselines", "CrossEntropy"), "Cross-entropy", "Real latents, no correction.", "losses"
    ),
    "class-balanced": AugmenterSpec(
        _from("baselines", "ClassBalanced"),
        "Class-balanced loss",
        "Scarce classes weigh more, by the effective number of items.",
        "losses",
    ),
    "focal": AugmenterSpec(
        _from("baselines", "Focal"), "Focal loss", "Items that are already right weigh less.", "losses"
    ),
    "ldam": AugmenterSpec(
        _from("baselines", "Ldam"),
        "LDAM-DRW",
        "Larger margins for scarce classes, re-weighted at the end.",
        "losses",
    ),
    "balanced-softmax": AugmenterSpec(
        _from("baselines", "BalancedSoftmax"),
        "Balanced softmax",
        "The softmax knows the class sizes.",
        "losses",
    ),
    "logit-adjustment": AugmenterSpec(
        _from("baselines", "LogitAdjustment"),
        "Logit adjustment",
        "Real latents; the loss makes up for class size.",
        "losses",
    ),
    "tau-norm": AugmenterSpec(
        _from("baselines", "TauNorm"),
        "τ-norm",
        "Classes' weights made of more equal length after training.",
        "decoupled heads",
    ),
    "crt": AugmenterSpec(
        _from("baselines", "Crt"),
        "cRT",
        "The last layer trained again with balanced classes.",
        "decoupled heads",
    ),
    "ncm": AugmenterSpec(
        _from("baselines", "NearestClassMean"),
        "Nearest class mean",
        "The class whose mean feature is nearest.",
        "decoupled heads",
    ),
    "oversampling": AugmenterSpec(
        _from("baselines", "Oversampling"),
        "Oversampling",
        "Scarce classes are seen more often.",
        "resampling",
    ),
    "smote": AugmenterSpec(
        _from("resampling", "Smote"), "SMOTE", "Points between neighbours of a scarce class.", "resampling"
    ),
    "borderline-smote": AugmenterSpec(
        _from("resampling", "BorderlineSmote"),
        "Borderline-SMOTE",
        "SMOTE from latents near other classes only.",
        "resampling",
    ),
    "adasyn": AugmenterSpec(
        _from("resampling", "Adasyn"),
        "ADASYN",
        "SMOTE with more points where other classes are near.",
        "resampling",
    ),
    "mixup": AugmenterSpec(
        _from("baselines", "Mixup"), "Latent mixup", "Trains on points between any two items.", "mixing"
    ),
    "decoupled-mixup": AugmenterSpec(
        _from("baselines", "DecoupledMixup"),
        "Decoupled mixup",
        "Mixup that asks for both classes of a pair on their own.",
        "mixing",
    ),
    "adv-style": AugmenterSpec(
        _from("baselines", "AdversarialStyle"),
        "Adversarial style",
        "Feature means and sds moved where the loss grows fastest.",
        "mixing",
    ),
    "noise": AugmenterSpec(
        _from("baselines", "Noise"),
        "Gaussian noise",
        "Noise on every real latent, drawn anew in each step.",
        "statistics",
    ),
    "class-gaussian": AugmenterSpec(
        _from("moments", "ClassGaussian"),
        "Class Gaussian",
        "Draws from each class's mean and shrunken covariance.",
        "statistics",
    ),
    "residual-transfer": AugmenterSpec(
        _from("moments", "ResidualTransfer"),
        "Residual transfer",
        "Another class's real variation around the scarce class's mean.",
        "statistics",
    ),
    "distribution-calibration": AugmenterSpec(
        _from("moments", "DistributionCalibration"),
        "Distribution calibration",
        "Mean and covariance completed by the nearest rich classes.",
        "statistics",
    ),
    "isda": AugmenterSpec(
        _from("baselines", "Isda"),
        "ISDA",
        "A loss as if endless latents were drawn from class covariances.",
        "statistics",
    ),
    "mean-shift": AugmenterSpec(
        _from("subdomains", "MeanShift"),
        "Mean shift",
        "Latents of other subdomains moved to the wanted subdomain's centre.",
        "subdomains",
    ),
    "subdomain-norm": AugmenterSpec(
        _from("subdomains", "SubdomainNorm"),
        "Subdomain normalisation",
        "Every subdomain brought to mean 0 and variance 1.",
        "subdomains",
    ),
    "gelda-paper": AugmenterSpec(
        _from("diffusion", "GeldaPaper"),
        "GeLDA, the paper's form",
        "Conditional diffusion of the latent, guided.",
        "generative",
    ),
    "gelda": AugmenterSpec(
        _from("diffusion", "Gelda"),
        "GeLDA",
        "Conditional diffusion in the form that validation chooses.",
        "generative",
    ),
    "gelda-uncond": AugmenterSpec(
        _from("diffusion", "GeldaWithoutSemantics"),
        "GeLDA without semantics",
        "The control: the same form, without semantic vectors.",
        "generative",
    ),
    "gelda-shuffled": AugmenterSpec(
        _from("diffusion", "GeldaShuffled"),
        "GeLDA, shuffled semantics",
        "The control: the same form, every name given another one's vector.",
        "generative",
    ),
}


def get(name: str) -> AugmenterSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in AUGMENTERS:
        raise unknown("method", name, AUGMENTERS)
    return AUGMENTERS[name]
