"""Heads trained again from a run's kit: before and after edits, with the same seeds; predictions on dev.

Every (state, head seed) is one small file, so what is finished survives a kill and is never computed twice.
A head is small: the CPU takes seconds, and gives a page, the command line and Confirm the very same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gelda import edits as editing
from gelda import projection
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.artifacts import prune, read_tensors, used, write_tensors
from gelda.edit_figures import HEADS, pending, piece
from gelda.edits import Applied, Edits, Made
from gelda.finetune import predict, tune
from gelda.kit import Kit
from gelda.metrics import nearest
from gelda.neighbours import NEIGHBOURS
from gelda.settings import AdapterConfig

Tick = Callable[[float, int], None]  # heads done, with a share of the one that is trained; of how many


class Bench:
    """A kit as tensors: its latents as heads take them, and heads trained on any state of its edits."""

    def __init__(self, kit: Kit, latents: NDArray[np.float32] | None = None) -> None:
        self.kit, self.about = kit, kit.about
        self.config = AdapterConfig.model_validate(kit.about["adapter"])
        self.plan = HeadPlan(**kit.about["plan"])
        self.dtype = getattr(torch, kit.about["dtype"])  # of the run's own heads
        self.tensors = {name: torch.from_numpy(value) for name, value in kit.tensors.items()}
        z = kit.latents() if latents is None else latents
        self.z = self.prepared(torch.from_numpy(z), kit.table["subdomain"].to_numpy())

    def prepared(self, z: torch.Tensor, subdomain: NDArray[np.integer]) -> torch.Tensor:
        """What the layers after l take for standardised z^(l) [N, D] of subdomain [N]."""
        if "transform.scale" in self.tensors:
            at = torch.from_numpy(subdomain.astype(np.int64))
            z = z * self.tensors["transform.scale"][at] + self.tensors["transform.shift"][at]
        if "scale.std" in self.tensors:
            z = z * self.tensors["scale.std"] + self.tensors["scale.mean"]
        return z

    def head(
        self, state: Applied, seed: int, on_step: Callable[[int, int], None] = lambda step, total: None
    ) -> Adapter:
        """The arm's head, trained on the training rows and what a state uses of the synthetic ones."""
        rows = state.rows
        train = (rows["split"] == "train").to_numpy()
        used = np.flatnonzero(train | editing.used(state))
        part = rows.iloc[used]
        level = torch.from_numpy(part["level"].to_numpy(np.int64, copy=True))
        levels = int(rows["level"].max())  # also where a step leaves one of them out
        own = self.about["weight"] / levels if levels else 0.0
        weight = np.where(train[used], 1.0, own * state.factor[used])
        data = HeadData(
            self._latents(state, used),
            torch.from_numpy(part["label"].to_numpy(np.int64, copy=True)),
            torch.from_numpy(weight.astype(np.float32)),
            torch.from_numpy(part["subdomain"].to_numpy(np.int64, copy=True)),
            level,
            self.tensors.get("class_start"),
        )
        return tune(
            self._start(), [data], [self.plan], self.about["layer"], self.config, seed, on_step, self.dtype
        )

    def predicted(self, head: Adapter, z: torch.Tensor) -> NDArray[np.int16]:
        """Class numbers [M] that a head gives prepared latents [M, D]."""
        return predict(head, z, self.about["layer"])[0].argmax(-1).astype(np.int16)

    def _start(self) -> Adapter:
        """The adapter that heads start from; at l = 0 its shape alone counts."""
        widths, classes = tuple(self.about["widths"]), len(self.kit.classes)
        adapter = Adapter(widths, classes, 1, self.about["seed"], self.config.head)
        stored = {n.removeprefix("adapter."): t for n, t in self.tensors.items() if n.startswith("adapter.")}
        if stored:
            adapter.load_state_dict(stored)
        return adapter

    def _latents(self, state: Applied, used: NDArray[np.int64]) -> torch.Tensor:
        """Prepared latents of the rows `used`: the kit's own, then those that steps made."""
        if not state.made:
            return self.z[torch.from_numpy(used)]
        made = torch.cat([made_latents(self.kit, one) for one in state.made])
        subdomain = state.rows["subdomain"].to_numpy()[len(self.z) :]
        return torch.cat([self.z, self.prepared(made, subdomain)])[torch.from_numpy(used)]


def made_latents(kit: Kit, made: Made) -> torch.Tensor:
    """Standardised z^(l) [M, D] that a step makes, made once and kept."""
    file = made.file(kit)
    if not file.is_file():
        from gelda import generator_kit

        step, generator = made.step, generator_kit.load(kit.run)
        parts = [
            generator.sample(
                label,
                subdomain,
                count,
                guidance_class=step.guidance_class,
                guidance_subdomain=step.guidance_subdomain,
                num_inference_steps=step.num_inference_steps,
                seed=int(kit.about["seed"]) + step.seed,
            ).latents
            for label, subdomain, count in made.order
        ]
        z = torch.cat(parts)
        write_tensors(file, {"z": z, **_neighbours(kit, z.numpy())})
        prune(file.parent, {file.stem, *editing.needed(kit)})
    used(file)
    return read_tensors(file)["z"]


def _neighbours(kit: Kit, z: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Rows of the points nearest to latents [M, D], for the map: `near`, `distance` [M, 8] among training
    points, `around` [M, 8] among all real ones but test items."""
    points = projection.load_points(kit.run)
    drawn = projection.map_latents(kit.run, projection.generation_layer(kit.run))
    split = points["split"].to_numpy()
    train = np.flatnonzero(split == "train")
    real = np.flatnonzero((points["origin"] == "real").to_numpy() & (split != "test"))
    near, distance = nearest(z, drawn[train].astype(np.float32), NEIGHBOURS)
    around, _ = nearest(z, drawn[real].astype(np.float32), NEIGHBOURS)
    return {
        "near": train[near].astype(np.int32),
        "distance": distance.astype(np.float32),
        "around": real[around].astype(np.int32),
    }


def seeds_of(kit: Kit, heads: int = HEADS) -> list[int]:
    """Seeds of the heads: the run's own first. Before and after have the same ones."""
    return [int(kit.about["seed"]) + 10_000 * k for k in range(heads)]


def _part(tick: Tick, number: int, heads: int, step: int, total: int) -> None:
    """Say how far head `number` is."""
    tick(number + step / total, heads)


def refit(kit: Kit, edits: Edits, tick: Tick = lambda done, total: None) -> None:
    """Train what is missing of the heads before the first step and after each step in force."""
    todo = pending(kit, edits.active)
    if not todo:
        return
    bench = Bench(kit)
    dev = torch.from_numpy(kit.rows("dev"))
    for number, (steps, place) in enumerate(todo):
        begun = partial(_part, tick, number, len(todo))
        begun(0, 1)
        state = editing.applied(kit, steps)
        head = bench.head(state, seeds_of(kit)[place], begun)
        predicted = bench.predicted(head, bench.z[dev])
        write_tensors(piece(kit, steps, place), {"predicted": predicted})
    tick(len(todo), len(todo))
