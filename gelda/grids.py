"""A person's own grid of settings: read, checked and named, as a study like the ready-made ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from gelda.errors import UserError, unknown
from gelda.setting_words import setting
from gelda.studies import NO_SYNTHETIC, Study, along, grid, slug

MOST_SETTINGS = 100  # of a grid: more need a search, and nobody reads so many intervals
# what all settings of a study have in common, or none of them reads
SHARED = ("methods", "seeds", "first_seed", "name", "projection", "paper_sampling", "data.dataset")


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
        factors[setting(path)] = levels
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
