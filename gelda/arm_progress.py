"""How far the arms of a comparison are while it goes on: what validation said of each, which are trained.

The figures are validation's. Nothing of a test item is told before the report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gelda.artifacts import FORMAT, check_format, read_json, write_json
from gelda.errors import UserError

FILE = "arms.json"


@dataclass
class ArmProgress:
    """validated: arm → seed → score of its best setting (class-mean log-loss; None: not finite).

    trained: arm → how many of its trainings, `total` in all, are done. tuned: arms that have a setting to
    choose; rounds: how many seeds choose one. fresh: nothing was there from before. modelled: seconds by
    stage, as compare_costs has them.
    """

    methods: tuple[str, ...]
    tuned: tuple[str, ...]
    rounds: int
    total: int = 0
    fresh: bool = True
    modelled: dict[str, float] = field(default_factory=dict)
    validated: dict[str, dict[str, float | None]] = field(default_factory=dict)
    trained: dict[str, int] = field(default_factory=dict)

    def chose(self, run: Path, arm: str, seed: int, score: float | None) -> None:
        """Validation has chosen an arm's setting in a seed."""
        finite = score is not None and math.isfinite(score)
        self.validated.setdefault(arm, {})[str(seed)] = score if finite else None
        self.write(run)

    def finished(self, run: Path, arms: Sequence[str]) -> None:
        """Arms were trained on one more episode."""
        for arm in arms:
            self.trained[arm] = self.trained.get(arm, 0) + 1
        self.write(run)

    def write(self, run: Path) -> None:
        write_json(run / FILE, {"format": FORMAT, **asdict(self)})

    def seeds(self) -> list[str]:
        """Seeds over which validation scores may be set side by side: those in which every tuned arm has one,
        or, where there is none yet, the first that any has."""
        known = list(dict.fromkeys(seed for scores in self.validated.values() for seed in scores))
        whole = [seed for seed in known if all(seed in self.validated.get(m, {}) for m in self.tuned)]
        return whole or known[:1]


def read(run: Path) -> ArmProgress | None:
    """What a comparison has told so far; None where it has told nothing yet.

    A file that is not of this form is a UserError.
    """
    file = Path(run) / FILE
    if not file.is_file():
        return None
    value = read_json(file)
    check_format(value, file)
    value.pop("format")
    try:
        return ArmProgress(**{**value, "methods": tuple(value["methods"]), "tuned": tuple(value["tuned"])})
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{file} does not say how far the methods are: resume the run, which writes it."
        ) from error
