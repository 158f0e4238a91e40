"""RECIPES: when a head sees real and when synthetic latents. Adding one = one function and one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gelda.errors import UserError, unknown

if TYPE_CHECKING:
    import torch

LEVELS = 4  # noise levels of the curriculum, an equal share of the steps each


@dataclass(frozen=True)
class Phase:
    """A part of the training, up to the share `until` of the steps, and what items weigh in it.

    real, synthetic: factors on the items' own weights. level: the one noise level that is drawn where
    synthetic latents come in several (0 = all of them); `faded` is their factor where they come in one.
    """

    until: float
    real: float = 1.0
    synthetic: float = 1.0
    level: int = 0
    faded: float = 1.0


@dataclass(frozen=True)
class RecipeSpec:
    """phases(strength) -> the parts of the training, in order; `default` is its own number (None: has none).

    noise(strength) -> start noise of each level at which a generator makes its latents from real ones;
    None: it makes them once, from nothing but noise. A strength lies between 0 and 1; `whole`: 1 is allowed.
    """

    title: str
    note: str
    phases: Callable[[float], tuple[Phase, ...]]
    default: float | None = None
    whole: bool = False
    noise: Callable[[float], tuple[float, ...]] | None = None


def _joint(strength: float) -> tuple[Phase, ...]:
    return (Phase(1.0),)


def _synthetic_first(share: float) -> tuple[Phase, ...]:
    return (Phase(share, real=0.0), Phase(1.0, synthetic=0.0))


def _real_last(share: float) -> tuple[Phase, ...]:
    return (Phase(1.0 - share), Phase(1.0, synthetic=0.0))


def _curriculum(strength: float) -> tuple[Phase, ...]:
    return tuple(Phase((k + 1) / LEVELS, level=k + 1, faded=1 - k / LEVELS) for k in range(LEVELS))


def _annealed(strength: float) -> tuple[float, ...]:
    return tuple(strength * (1 - k / LEVELS) for k in range(LEVELS))


RECIPES: dict[str, RecipeSpec] = {
    "joint": RecipeSpec("Joint", "Real and synthetic latents together, all the time.", _joint),
    # FFR, arXiv 2308.04553: pre-train on balanced synthetic data, then tune on the real
    "synthetic-first": RecipeSpec(
        "Synthetic, then real",
        "Synthetic latents (and classes that have none) first, then real ones alone (share of the first).",
        _synthetic_first,
        0.5,
    ),
    # DisCL, arXiv 2410.13674, non-adaptive: image guidance grows, from freely made to near the real item
    "curriculum": RecipeSpec(
        "Curriculum toward the real",
        "Synthetic latents start from real ones under less and less noise (t₀, the first share of noise); "
        "methods without a generator weigh theirs less and less.",
        _curriculum,
        1.0,
        whole=True,
        noise=_annealed,
    ),
    "real-last": RecipeSpec(
        "Real at the end",
        "Together, and the last share of the steps on real latents alone.",
        _real_last,
        0.25,
    ),
}


def get(name: str) -> RecipeSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]


def strength(name: str, value: float | None) -> float | None:
    """The recipe's own number: `value`, or its default; a number it cannot use is refused."""
    spec = get(name)
    if value is None:
        return spec.default
    if spec.default is None:
        raise UserError(f"The recipe '{name}' has no strength to set: leave {value:g} out.")
    if not 0 < value < 1 and not (spec.whole and value == 1):
        limit = "at most 1" if spec.whole else "below 1"
        raise UserError(f"The strength of the recipe '{name}' is {value:g}: it must be above 0 and {limit}.")
    return value


def noise_levels(name: str, value: float | None) -> tuple[float, ...]:
    """Start noise of each level, in the order of use; () for recipes whose latents are made once."""
    spec = get(name)
    return () if spec.noise is None else spec.noise(strength(name, value) or 0.0)


def timetable(
    name: str,
    value: float | None,
    steps: int,
    weight: torch.Tensor,
    label: torch.Tensor,
    level: torch.Tensor | None,
) -> list[tuple[int, torch.Tensor]]:
    """(first step, item weights [N]) of every phase with a step in it, for one head's items.

    weight, label [N]; level int [N]: 0 real, 1 … noise level of a synthetic latent, None: all real. The
    weights of several levels add up to what the method's synthetic latents count: the level in use takes all.
    Without synthetic latents there is nothing to schedule. A class without any keeps its real items where
    others are synthetic alone: it would be forgotten, and FFR asks for a balanced first phase.
    """
    if level is None or not bool((level > 0).any()):
        return [(0, weight)]
    made = level > 0
    levels = int(level.max())
    absent = (label[:, None] != label[made].unique()[None]).all(1)
    found: list[tuple[int, torch.Tensor]] = []
    first = 0
    for phase in get(name).phases(strength(name, value) or 0.0):
        last = min(steps, round(phase.until * steps))
        if last <= first:
            continue
        many = levels > 1 and phase.level > 0
        drawn = level == phase.level if many else made
        synthetic = phase.synthetic * (levels if many else phase.faded)
        scale = phase.real * (~made).to(weight) + synthetic * drawn.to(weight)
        if phase.real == 0:
            scale = scale + absent.to(weight)
        # where all factors are 1 the weights are the same table, and the counts need not be taken again
        found.append((first, weight if bool((scale == 1).all()) else weight * scale))
        first = last
    return found
