"""Edits of a run's synthetic latents: an ordered list of named steps that can be undone, in one JSON file.

Nothing here trains: a step says what is dropped, kept, weighed or made; `applied` says what a head then
learns from. Files lie in GELDA_HOME/edits/<run>/, also for a run that ships and is read-only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda.artifacts import FORMAT, check_format, content_key, locked, read_json, write_json
from gelda.edit_steps import MOST_MADE, Add, Drop, Keep, Sampled, Step, Weight, parsed
from gelda.edit_steps import Resample as Resample
from gelda.errors import UserError, nearest
from gelda.kit import Kit
from gelda.paths import home

DEFAULT = "edits"  # the name of the first list of a run
MOST_BYTES = 50_000_000  # of an edits file
MOST_WEIGHT = 10_000  # times what it did that a latent may come to count


@dataclass(frozen=True)
class Edits:
    """A run's list of steps, of which the first `at` are in force; the others were undone. kit: its key."""

    run: str
    kit: str
    name: str = DEFAULT
    steps: tuple[Any, ...] = ()
    at: int = 0

    @property
    def active(self) -> tuple[Any, ...]:
        return self.steps[: self.at]

    def push(self, step: Step) -> Edits:
        """One more step; what was undone is gone."""
        return Edits(self.run, self.kit, self.name, (*self.active, step), self.at + 1)

    def undo(self) -> Edits:
        return Edits(self.run, self.kit, self.name, self.steps, max(0, self.at - 1))

    def redo(self) -> Edits:
        return Edits(self.run, self.kit, self.name, self.steps, min(len(self.steps), self.at + 1))

    def renamed(self, number: int, title: str) -> Edits:
        """With a person's own title for step `number`."""
        steps = list(self.steps)
        steps[number] = steps[number].model_copy(update={"title": title.strip()[:200]})
        return Edits(self.run, self.kit, self.name, tuple(steps), self.at)

    def as_json(self) -> dict[str, Any]:
        steps = [{"kind": s.kind, **s.model_dump(mode="json", exclude_defaults=True)} for s in self.steps]
        return {"format": FORMAT, "run": self.run, "kit": self.kit, "name": self.name, "steps": steps,
                "at": self.at}  # fmt: skip


def folder(run: str) -> Path:
    """Where a run's edits lie."""
    return home() / "edits" / run


def path_of(run: str, name: str) -> Path:
    """The file of a list of edits."""
    if not re.fullmatch(r"\w[\w .-]{0,59}", name):
        raise UserError(f"'{name}' cannot name a list of edits: use letters, digits, spaces, - and _.")
    return folder(run) / f"{name}.json"


def names(run: str) -> list[str]:
    """The lists of edits of a run."""
    return sorted(p.stem for p in folder(run).glob("*.json") if not p.name.startswith("."))


def save(edits: Edits) -> None:
    write_json(path_of(edits.run, edits.name), edits.as_json())


def change(kit: Kit, name: str, how: Callable[[Edits], Edits]) -> Edits:
    """Change a list as it lies there now and keep it; of two windows at once neither loses a step."""
    with locked(path_of(kit.run.name, name).with_suffix(".lock")):
        mine = how(load(kit, name))
        save(mine)
    return mine


def set_aside(run: str, name: str = DEFAULT) -> Path:
    """Make room for a new list where a run's own cannot be used any more: the old one gets another name."""
    file = path_of(run, name)
    with locked(file.with_suffix(".lock")):
        number = 1
        while (aside := file.with_name(f"{name}-aside-{number}.json")).exists():
            number += 1
        if not file.is_file():
            raise UserError(f"{file} is not there any more: begin a new list.")
        return file.rename(aside)


def load(kit: Kit, name: str = DEFAULT) -> Edits:
    """A run's list of edits; an empty one where there is none yet."""
    file = path_of(kit.run.name, name)
    return read(file, kit) if file.is_file() else Edits(kit.run.name, kit.key, name)


def read(file: Path, kit: Kit) -> Edits:
    """An edits file, checked against the run it is to be used on; what is wrong is one sentence."""
    file = Path(file)
    if file.is_file() and file.stat().st_size > MOST_BYTES:
        raise UserError(f"{file} is larger than {MOST_BYTES // 1_000_000} MB: it is no list of edits.")
    value = read_json(file)
    check_format(value, file)
    if value.get("kit") != kit.key:
        raise UserError(
            f"{file} was made on other latents (run '{value.get('run')}') than the run '{kit.run.name}' has: "
            "use it with its own run, or begin a new list."
        )
    steps = parsed(value.get("steps", ()), file)
    for number, step in enumerate(steps):
        check(step, kit, steps[:number], f"{file}: step {number + 1}")
    at = value.get("at", len(steps))
    if not isinstance(at, int) or not 0 <= at <= len(steps):
        raise UserError(
            f"{file}: 'at' is {at!r}; it must be the number of steps in force, 0 to {len(steps)}."
        )
    return Edits(kit.run.name, kit.key, str(value.get("name", file.stem)), steps, at)


def check(step: Step, kit: Kit, earlier: Sequence[Step] = (), where: str = "This step") -> None:
    """Refuse names that neither the run nor an earlier step has, a step that chooses nothing, and one that
    makes too many latents or those of an earlier step again."""
    axes = (("class", kit.classes), ("subdomain", kit.subdomains))
    classes, cells = getattr(step, "classes", ()), getattr(step, "cells", ())
    for (axis, known), given in zip(
        axes, ([*classes, *(c for c, _ in cells)], [s for _, s in cells]), strict=True
    ):
        for name in given:
            if name not in known:
                raise UserError(f"{where} names the {axis} '{name}', which the run does not have."
                                f"{nearest(name, known)}")  # fmt: skip
    ids = getattr(step, "ids", ())
    known_ids = set(kit.table["id"][kit.synthetic])
    unknown = [one for one in ids if one not in known_ids]
    if unknown and any(isinstance(s, Sampled) for s in earlier):
        known_ids = set(applied(kit, earlier).rows["id"])
        unknown = [one for one in unknown if one not in known_ids]
    if unknown:
        raise UserError(f"{where} names the synthetic latent '{unknown[0]}', which the run does not have.")
    if isinstance(step, Drop | Keep) and not (ids or classes or cells):
        raise UserError(f"{where} ({step.kind}) names no latents: give it ids, classes or cells.")
    if isinstance(step, Sampled):
        _check_sampled(step, kit, earlier, where)
    factors = [s.factor for s in (*earlier, step) if isinstance(s, Weight)]
    if isinstance(step, Weight) and math.prod(factors) > MOST_WEIGHT:
        if applied(kit, (*earlier, step)).factor.max() > MOST_WEIGHT:
            raise UserError(f"{where} lets latents count more than {MOST_WEIGHT} times what they did.")


def _check_sampled(step: Sampled, kit: Kit, earlier: Sequence[Step], where: str) -> None:
    cells, levels = set(step.cells), max(1, int(kit.table["level"].max()))
    number = step.count * len(cells) * levels if isinstance(step, Add) else 0
    if number > MOST_MADE:
        raise UserError(f"{where} makes {number} latents: a step makes {MOST_MADE} at most.")
    for place, other in enumerate(earlier, 1):
        if isinstance(other, Sampled) and _noise(other) == _noise(step) and cells & set(other.cells):
            cell = " ".join(min(cells & set(other.cells)))
            raise UserError(
                f"{where} would make the very latents of step {place} again ({cell}): give it another seed."
            )


def _noise(step: Sampled) -> dict[str, Any]:
    """What makes latents of one cell other latents."""
    return step.model_dump(include={"guidance_class", "guidance_subdomain", "num_inference_steps", "seed"})


def state_key(kit: Kit, steps: Sequence[Step]) -> str:
    """The key of what a head learns from after these steps."""
    last = max((k for k, step in enumerate(steps) if isinstance(step, Sampled)), default=0)
    weighed = any(isinstance(step, Weight) for step in steps[:last])
    inherits = ("inherits",) * weighed  # 0.6.0 let what was made then count 1: its heads are others
    return content_key("refit", kit.key, [step.key() for step in steps], *inherits)


@dataclass(frozen=True)
class Made:
    """What one step makes: (class, subdomain, how many) by cell, of each of the run's noise levels.

    counts: the factor of each cell's latents, inherited from those that were there.
    """

    step: Any
    order: tuple[tuple[int, int, int], ...]
    counts: tuple[float, ...] = ()

    def key(self, kit: Kit) -> str:
        """The key of the latents, whatever the steps before were."""
        return content_key("made", kit.key, self.step.key(), self.order)

    def file(self, kit: Kit) -> Path:
        """Where the latents are kept, with their neighbours among the points."""
        return folder(kit.run.name) / "made" / f"{self.key(kit)}.safetensors"


@dataclass(frozen=True)
class Applied:
    """What a head learns from: rows [N'] (the kit's, then those that `made` makes, in order) and factors.

    factor [N']: what a row counts beside its usual weight; 0 = not used.
    """

    rows: pd.DataFrame
    factor: NDArray[np.float64]
    made: tuple[Made, ...] = ()


def applied(kit: Kit, steps: Sequence[Any]) -> Applied:
    """The training rows after `steps`, in order. Real rows always count 1."""
    state = Applied(kit.table, np.where(kit.table["kept"].to_numpy(bool), 1.0, 0.0))
    for step in steps:
        if isinstance(step, Sampled):
            state = _sampled(kit, step, state)
            continue
        chosen, factor = _chosen(kit, step, state.rows), state.factor.copy()
        if isinstance(step, Drop):
            factor[chosen] = 0.0
        elif isinstance(step, Keep):
            factor[chosen & (factor == 0)] = 1.0
        else:
            factor[chosen] *= step.factor
        state = replace(state, factor=factor)
    return state


def used(state: Applied) -> NDArray[np.bool_]:
    """Synthetic rows that a head learns from [N']."""
    return (state.rows["origin"] == "synthetic").to_numpy() & (state.factor > 0)


def needed(kit: Kit) -> set[str]:
    """Keys of the latents that a step of any of a run's lists makes, also of one that was undone."""
    found: set[str] = set()
    for name in names(kit.run.name):
        with suppress(UserError):  # a list of other latents has no use for these
            found.update(one.key(kit) for one in applied(kit, load(kit, name).steps).made)
    return found


def _sampled(kit: Kit, step: Sampled, state: Applied) -> Applied:
    """With the rows that a step makes; Resample takes those before it out, and makes as many."""
    rows, factor = state.rows, state.factor
    cells = [(kit.classes.index(c), kit.subdomains.index(s)) for c, s in dict.fromkeys(step.cells)]
    if isinstance(step, Add):
        order = [(c, s, step.count) for c, s in cells]
    else:
        first = used(state) & (rows["level"] == 1).to_numpy()  # of a curriculum, each level has as many
        counts = rows[first].groupby(["label", "subdomain"]).size()
        order = [(c, s, int(counts.get((c, s), 0))) for c, s in cells]
        order = [cell for cell in order if cell[2]]
        factor = np.where(_chosen(kit, step, rows), 0.0, factor)
    levels = max(1, int(kit.table["level"].max()))
    number = len(state.made)
    parts = [
        pd.DataFrame({"label": c, "subdomain": s, "level": np.repeat(np.arange(1, levels + 1), n)})
        for c, s, n in order
    ]
    if not parts:
        return replace(state, factor=factor)
    new = pd.concat(parts, ignore_index=True).assign(
        group="", split="", origin="synthetic", kept=True, point=-1
    )
    new["id"] = [f"made-{step.key()}-{number}-{i:05d}" for i in range(len(new))]
    counts = tuple(_inherited(state, c, s) for c, s, _ in order)
    each = np.repeat(counts, [n * levels for *_, n in order])
    made = (*state.made, Made(step, tuple(order), counts))
    return Applied(pd.concat([rows, new], ignore_index=True), np.concatenate([factor, each]), made)


def _inherited(state: Applied, label: int, subdomain: int) -> float:
    """What latents made for a cell count: the mean of those in use there, else what all others do alike."""
    rows, own = state.rows, used(state)
    here = own & ((rows["label"] == label) & (rows["subdomain"] == subdomain)).to_numpy()
    factors = state.factor[here if here.any() else own]
    if len(np.unique(factors)) == 1:
        return float(factors[0])
    return float(factors.mean()) if here.any() else 1.0


def _chosen(kit: Kit, step: Any, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Synthetic rows that a step is about [N]."""
    synthetic = (rows["origin"] == "synthetic").to_numpy()
    ids, classes = getattr(step, "ids", ()), getattr(step, "classes", ())
    if not (ids or classes or step.cells):
        return synthetic
    label, subdomain = rows["label"].to_numpy(), rows["subdomain"].to_numpy()
    chosen = rows["id"].isin(set(ids)).to_numpy(copy=True)
    chosen |= np.isin(label, [kit.classes.index(name) for name in classes])
    for c, s in step.cells:
        chosen |= (label == kit.classes.index(c)) & (subdomain == kit.subdomains.index(s))
    return chosen & synthetic
