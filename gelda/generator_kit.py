"""What a finished run leaves so that its trained generator can be used without its bank and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from pydantic import ValidationError

from gelda import recipes
from gelda.adapter import Adapter
from gelda.artifacts import FORMAT, check_format, read_json, read_tensors, write_json, write_tensors
from gelda.augmenters.base import Synthetic, Task
from gelda.augmenters.composing import composed
from gelda.augmenters.diffusion import Gelda, Wanted
from gelda.compositions import parsed
from gelda.conditions import ConditionEncoder, ConditionSpace
from gelda.config import explain
from gelda.denoiser import Denoiser
from gelda.diffusion import Model
from gelda.errors import UserError
from gelda.finetune import predict
from gelda.latents import Standardizer
from gelda.projection import points_key
from gelda.schedulers import solver_table
from gelda.settings import GeneratorConfig, SamplingConfig


class Drawing(TypedDict, total=False):
    """How latents are drawn; what is left out (or None) is the run's own."""

    guidance_class: float | None
    guidance_subdomain: float | None
    num_inference_steps: int | None
    seed: int | None


FILES = ("generator.json", "generator.safetensors")
Cell = tuple[int, int]  # class, subdomain


@dataclass(frozen=True)
class Trajectory:
    """The way of n latents from noise: latents [T + 1, n, D], the last of them finished, and the clean
    estimate [T, n, D] that each step was taken by. spread [T + 1]: the share of noise σ, 0 at the end."""

    latents: torch.Tensor
    denoised: torch.Tensor
    spread: tuple[float, ...]


@dataclass(frozen=True)
class GeneratorKit:
    """A run's trained generator and the head that was tuned on its latents, on the CPU.

    Latents are standardised z^(l), as at the generation layer of the run's points. Settings that are not
    given are the run's own; with them, `sample` gives the very numbers that the run's heads learned from. A
    latent depends on (settings, seed, cell, place in its cell), never on how many are asked for.
    """

    arm: Gelda
    task: Task  # the run's seed and names; its training rows where the form of GeLDA needs them
    adapter: Adapter  # one copy
    layer: int  # l
    scale: Standardizer  # of z^(l)

    def sample(self, label: int, subdomain: int, count: int, **drawing: Unpack[Drawing]) -> Synthetic:
        """`count` latents of one cell; for a run with a curriculum a set for each of its noise levels."""
        arm = self._arm(drawing)
        return arm.synthesise(self._task((label, subdomain), count, drawing.get("seed")))

    def trajectory(self, label: int, subdomain: int, count: int, **drawing: Unpack[Drawing]) -> Trajectory:
        """Every step on the way to the latents that `sample` gives (of a curriculum: from noise alone).

        Of the residual form, what is added back at the end stands in every step.
        """
        arm = self._arm(drawing, joint=True)
        task = self._task((label, subdomain), count, drawing.get("seed"))
        wanted = arm.wanted(task)
        (start, share), *_ = wanted.starts
        before: dict[int, list[torch.Tensor]] = {}
        clean: dict[int, list[torch.Tensor]] = {}

        def keep(step: int, noisy: torch.Tensor, denoised: torch.Tensor) -> None:
            before.setdefault(step, []).append(noisy.cpu())
            clean.setdefault(step, []).append(denoised.cpu())

        last = arm.draw(self.model, task, wanted, start, share, keep)
        added = 0 if wanted.added is None else wanted.added
        steps = sorted(before)
        spread = solver_table(
            arm.scheduler(start is not None), arm.sampling.num_inference_steps
        ).spread[steps[0] :]  # fmt: skip
        return Trajectory(
            torch.stack([*(torch.cat(before[i]) + added for i in steps), last]),
            torch.stack([torch.cat(clean[i]) + added for i in steps]),
            (*spread, 0.0),
        )

    def interpolate(
        self, start: Cell, end: Cell, shares: Sequence[float], count: int, **drawing: Unpack[Drawing]
    ) -> torch.Tensor:
        """Latents [len(shares), count, D] between two cells by linearly mixed conditions; share 0 is `start`.

        All have the noise of the start's own latents, so that nothing but the condition changes on the way.
        """
        if any(not 0 <= share <= 1 for share in shares):
            raise UserError("The shares of an interpolation must lie between 0 and 1.")
        arm = self._arm(drawing, joint=True)
        task = self._task(start, count, drawing.get("seed"))
        here, there = arm.wanted(task), arm.wanted(self._task(end, count, drawing.get("seed")))
        cells = torch.cat([here.label, there.label]), torch.cat([here.subdomain, there.subdomain])
        conditions, *ids = composed(self.model.conditions, parsed(arm.sampling.conditions), self.task, *cells)
        known = len(conditions.gamma), len(conditions.kappa)
        t = torch.tensor(list(shares), dtype=torch.float32)
        mixed = []
        for own, number in zip(ids, known, strict=True):
            one, other = torch.eye(number)[own[[0, -1]]]
            mixed.append((1 - t)[:, None] * one + t[:, None] * other)
        model = Model(self.model.denoiser, conditions.extended(*mixed))
        plain = arm.with_sampling(arm.sampling.model_copy(update={"conditions": ()}))
        made = []
        for place, share in enumerate(shares):
            at = [torch.full((count,), number + place) for number in known]
            between = [
                None if a is None or b is None else torch.lerp(a, b, share)
                for a, b in (
                    (here.added, there.added), (here.extra, there.extra),
                    (here.starts[0][0], there.starts[0][0]),
                )
            ]  # fmt: skip
            added, extra, first = between
            wanted = Wanted(at[0], at[1], here.noise, added, extra, [])
            made.append(plain.draw(model, task, wanted, first, here.starts[0][1]))
        return torch.stack(made)

    def head(self, latents: torch.Tensor, subdomain: torch.Tensor) -> np.ndarray:
        """What the run's GeLDA head says of latents [N, D] of subdomains [N]: probabilities [N, C]."""
        transforms = [self.arm.transform(self.task)]
        return predict(
            self.adapter, latents, self.layer, restore=self.scale.invert, subdomain=subdomain,
            transforms=transforms,
        )[0]  # fmt: skip

    @property
    def model(self) -> Model:
        assert self.arm.model is not None
        return self.arm.model

    @property
    def guidance(self) -> tuple[float, float]:
        """The run's own (w_γ, w_κ)."""
        own = self.arm.guidance
        sampling = self.arm.sampling
        return (sampling.guidance_class, sampling.guidance_subdomain) if own is None else (own, own)

    def _arm(self, drawing: Drawing, joint: bool = False) -> Gelda:
        """The arm under other settings of drawing, those of SamplingConfig checked."""
        own = dict(zip(("guidance_class", "guidance_subdomain"), self.guidance, strict=True))
        asked = {k: v for k, v in drawing.items() if v is not None and k != "seed"}
        changes: dict[str, Any] = {**own, **asked}
        if joint:
            changes |= {"recipe": "joint", "recipe_strength": None}
        try:
            sampling = SamplingConfig.model_validate({**self.arm.sampling.model_dump(), **changes})
        except ValidationError as error:
            raise UserError(explain(error, SamplingConfig)) from error
        return self.arm.with_sampling(sampling)

    def _task(self, cell: Cell, count: int, seed: int | None) -> Task:
        allocation = np.zeros((self.task.classes, self.task.subdomains), np.int64)
        for place, number, what in zip(cell, allocation.shape, ("class", "subdomain"), strict=True):
            if not 0 <= place < number:
                raise UserError(f"There is no {what} number {place}; they go from 0 to {number - 1}.")
        if count < 1:
            raise UserError(f"{count} latents cannot be drawn: ask for at least one.")
        allocation[cell] = count
        return replace(self.task, allocation=allocation, seed=self.task.seed if seed is None else seed)


def write(
    run: Path, arm: Gelda, task: Task, head: Adapter, layer: int, scale: Standardizer | None, key: str
) -> None:
    """Keep a trained arm with its head (one copy) in a run's folder; `key` is that of the run's points.

    Training rows go along only where the arm's form or recipe starts from them.
    """
    assert arm.model is not None and arm.sampling is not None
    dim = task.latents.shape[1]
    tensors = {f"model.{name}": value for name, value in arm.model.state_dict().items()}
    tensors |= {f"head.{name}": value for name, value in head.state_dict().items()}
    unscaled = Standardizer(torch.zeros(dim), torch.ones(dim))
    kept = scale or unscaled
    tensors |= {"scale.mean": kept.mean, "scale.std": kept.std}
    if arm.form != "plain" or recipes.noise_levels(arm.sampling.recipe, arm.sampling.recipe_strength):
        tensors |= {"rows.latents": task.latents, "rows.label": task.label, "rows.subdomain": task.subdomain}
        if task.unlabelled is not None:
            tensors |= dict(zip(("more.latents", "more.subdomain"), task.unlabelled, strict=True))
    write_tensors(run / "generator.safetensors", tensors)
    write_json(
        run / "generator.json",
        {
            "format": FORMAT,
            "points": key,
            "generator": arm.options,
            "sampling": arm.sampling,
            "setting": arm.setting,
            "seed": task.seed,
            "dim": dim,
            "class_names": task.class_names,
            "subdomain_names": task.subdomain_names,
            "kept": task.kept,
            "target": task.target,
            "layer": layer,
            "head": {"kind": head.head, "widths": head.widths},
        },
    )


def load(run: Path) -> GeneratorKit:
    """The generator that a run keeps; a run without one, or with one of other points, is a sentence."""
    run = Path(run)
    if not (run / "generator.json").is_file():
        raise UserError(
            f"The run {run.name} keeps no generator: resume it (`gelda run {run.name}`), what is finished is "
            "reused."
        )
    about, tensors = read_json(run / "generator.json"), read_tensors(run / "generator.safetensors")
    check_format(about, run / "generator.json")
    if about.get("points") != points_key(run):
        raise UserError(f"The generator of the run {run.name} is that of other points: resume the run.")
    try:
        return _kit(about, tensors)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise UserError(f"The generator of the run {run.name} is damaged: resume the run.") from error


def _kit(about: dict[str, Any], tensors: dict[str, torch.Tensor]) -> GeneratorKit:
    options = GeneratorConfig.model_validate(about["generator"])
    state = _part(tensors, "model")
    names = [tuple(about[f"{axis}_names"]) for axis in ("class", "subdomain")]
    extra = state.get("conditions.project_extra.weight")
    wide = ((3 * options.depth + 2) * options.width, options.condition_dim)
    if tuple(state["denoiser.modulate.weight"].shape) != wide:  # before so large a network is made
        raise ValueError("the weights are not those of the settings")
    space = ConditionSpace(state["conditions.gamma"], state["conditions.kappa"])
    conditions = ConditionEncoder(
        space, options.condition_dim, residual=options.learned_residual,
        extra=0 if extra is None else extra.shape[1],
    )  # fmt: skip
    denoiser = Denoiser(
        int(about["dim"]), options.condition_dim, width=options.width, depth=options.depth,
        dropout=options.dropout,
    )  # fmt: skip
    model = Model(denoiser, conditions)
    model.load_state_dict(state)
    rows, more = _part(tensors, "rows"), _part(tensors, "more")
    nothing = torch.zeros(1, dtype=torch.int64)
    task = Task(
        latents=rows.get("latents", torch.zeros(1, int(about["dim"]))),
        label=rows.get("label", nothing),
        subdomain=rows.get("subdomain", nothing),
        classes=len(names[0]),
        subdomains=len(names[1]),
        allocation=np.zeros((len(names[0]), len(names[1])), np.int64),
        seed=int(about["seed"]),
        class_names=names[0],
        subdomain_names=names[1],
        kept=about["kept"],
        target=about["target"],
        unlabelled=(more["latents"], more["subdomain"]) if more else None,
    )
    sampling = SamplingConfig.model_validate(about["sampling"])
    arm = Gelda(options, model.eval().requires_grad_(False), sampling, **about["setting"])
    adapter = Adapter(about["head"]["widths"], len(names[0]), head=about["head"]["kind"])
    adapter.load_state_dict(_part(tensors, "head"))
    scale = Standardizer(tensors["scale.mean"], tensors["scale.std"])
    return GeneratorKit(arm, task, adapter.requires_grad_(False), int(about["layer"]), scale)


def _part(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
