"""`gelda compare`: every method on one bank, by a protocol, with every choice made on validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gelda import (
    augmenters,
    compare_costs,
    compare_kit,
    compare_points,
    compositions,
    device,
    kit,
    layer_maps,
    projection,
)
from gelda.arm_progress import ArmProgress
from gelda.arms import CONTROLS, NO_TASK, VOTERS, Setting, arms, build, class_of, describe, grid_of
from gelda.artifacts import FORMAT, content_key, read_json, read_tensors, write_json, write_tensors
from gelda.augmenters.conditioning import semantic_inputs
from gelda.choices import Choice, Choosing
from gelda.compare_check import arm_key, check, compare_key, episodes
from gelda.compare_config import CompareConfig
from gelda.compare_report import compared
from gelda.errors import UserError
from gelda.health import generator_health
from gelda.protocols import Episode
from gelda.ready import ReadyBank
from gelda.recording import Recorder, stages, tracked
from gelda.runs import RunState, StageState
from gelda.semantics import resolve
from gelda.workbench import Candidate

STAGES = {
    "select": "Choose layer, τ and every method's setting on validation",
    "train": "Train every method and test it",
    "report": "Compare, with intervals",
    "project": "Draw the map",
}
__all__ = [  # used elsewhere, whichever module holds it
    "CONTROLS", "STAGES", "VOTERS", "Candidate", "Choice", "Comparison", "Setting", "arms", "build", "check",
    "class_of", "compare_key", "describe", "episodes", "execute", "grid_of",
]  # fmt: skip


class Comparison(Choosing):
    """One bank under one protocol; `run()` leaves a report in the run's folder and may be resumed."""

    def __init__(self, config: CompareConfig, bank: ReadyBank, state: RunState, recorder: Recorder) -> None:
        super().__init__(config, bank, recorder.check, state.path)
        self.state, self.recorder = state, recorder
        self.seeds = list(range(config.first_seed, config.first_seed + config.seeds))
        rounds = 1 if self.shared else len(self.seeds)
        self.progress = ArmProgress(tuple(self.methods), tuple(self.tuned), rounds)
        self.seconds: dict[str, float] = {}
        self.health: list[dict[str, float]] = []

    def run(self) -> dict[str, Any]:
        self.progress.fresh = not any((self.state.path / "stages").glob("*/*"))
        subdomains = len(self.items.subdomain_names)
        self.progress.modelled = compare_costs.modelled(self.config, subdomains, self.bank.layers)
        self.progress.total = sum(len(self.episodes(seed)) for seed in self.seeds)
        self.progress.write(self.state.path)
        choices = self._stage("select", self._select)
        outcomes = self._stage("train", lambda seed, tick: self._train(seed, choices[seed], tick))
        with self.recorder.stage("report", 1):
            result = compared(
                self.config,
                self.bank,
                self.methods,
                choices,
                outcomes,
                self.health,
                self.seconds,
                self.state,
                self._sources(choices),
                self._composed(),
                str(self.dtype).removeprefix("torch."),
            )
        write_json(self.state.path / "report.json", result)
        self.state.headline = result["headline"]
        with self.recorder.stage("project", 1) as stage:
            self._project(choices[self.seeds[0]], stage)
        return result

    def chose(self, arm: str, seed: int, score: float | None) -> None:
        self.progress.chose(self.state.path, arm, seed, score)

    def heard(self, arm: str, episode: Episode, step: int, loss: float) -> None:
        super().heard(arm, episode, step, loss)
        where = f"{self.state.stage}/{arm}/fold{episode.fold}/seed{episode.seed}"
        self.recorder.metric(f"generate/{where}", step, loss=loss)

    def _sources(self, choices: dict[int, Choice]) -> dict[str, str]:
        """What γ and κ were read from in the first episode: what `auto` stood for; {} without a generator."""
        if not any(augmenters.get(m).generative for m in self.methods):
            return {}
        seed, g = self.seeds[0], self.config.generator
        task = self.task(self.episodes(seed)[0], choices[seed].layer)
        named = (("class", g.class_semantics), ("subdomain", g.subdomain_semantics))
        return {axis: resolve(name, semantic_inputs(task, axis, g.text_template)) for axis, name in named}

    def _composed(self) -> list[str]:
        """What is to be said of composed conditions, by the cells that latents were made of."""
        lines = self.config.sampling.conditions
        if not lines or not any(augmenters.get(m).generative for m in self.methods):
            return []
        names, filled = self.items, []
        for seed in self.seeds:
            cells = set()
            for episode in self.episodes(seed):
                for c, s in np.argwhere(self.allocation(episode) > 0):
                    cells.add((names.class_names[episode.classes[c]], names.subdomain_names[s]))
            filled.append(cells)
        notes = compositions.remarks(lines, filled)
        if self.config.protocol != "longtail":
            notes.append(
                "Validation, in which other subdomains play the target, draws a cell plainly where a name of "
                "its composed condition is not in play."
            )
        return notes

    # -- final training and testing -------------------------------------------------------------

    def _train(self, seed: int, choice: Choice, tick: Callable[[float, str], None]) -> dict[str, Any]:
        """All arms with their chosen settings on every episode of a seed, and their test predictions."""
        episodes = self.episodes(seed)
        parts = []
        for k, episode in enumerate(episodes):

            def part(share: float, text: str, k: int = k) -> None:
                tick((k + share) / len(episodes), text)

            parts.append(self._train_one(episode, choice, part))
        tick(1, "")
        return {
            "episodes": episodes,
            "rows": np.concatenate([e.test for e in episodes]),
            **{name: np.concatenate([p[name] for p in parts]) for name in parts[0]},
        }

    def _train_one(
        self, episode: Episode, choice: Choice, tick: Callable[[float, str], None]
    ) -> dict[str, np.ndarray]:
        """Predicted class ids [M] on an episode's test rows by arm; as "other:arm" under the other loss."""
        other = "ce" if self.config.loss != "ce" else "logit-adjustment"
        classes = torch.tensor(episode.classes)
        files = {}
        for m in self.methods:
            own = self._final(m, choice)
            key = arm_key(self.config, m, choice.layer, choice.tau, own, choice.adapter_layer)
            files[m] = self._file("train", episode.seed, f"{episode.fold}-{m}-{key}.safetensors")
        for place, kind in enumerate(augmenters.KINDS):
            pending = [m for m in self.methods if augmenters.get(m).kind == kind and not files[m].is_file()]
            candidates, under = [], []
            pairs = [(m, self._final(m, choice)) for m in pending]
            layers = (choice.layer, choice.tau, pairs, choice.adapter_layer)
            for candidate in self._candidates(episode, *layers):
                candidates.append(candidate)
                tick((place + len(candidates) / len(pairs)) / len(augmenters.KINDS), candidate.arm)
                plan = build(candidate.arm, candidate.setting, self.config).plan(NO_TASK)
                if plan.loss is None:  # makers and mixers are shown under the other loss too
                    under.append(replace(candidate, plan=self._plan(plan, other, choice.tau)))
            self._fit(candidates + under, episode.seed)
            for candidate in candidates:
                arrays = {"predicted": _predicted(candidate, classes)}
                for twin in (k for k in under if k.arm == candidate.arm):
                    arrays["other"] = _predicted(twin, classes)
                if candidate.arm == "gelda":
                    health = self._health(episode, choice.layer, candidate)
                    write_json(files["gelda"].with_suffix(".json"), {"format": FORMAT, "health": health})
                write_tensors(files[candidate.arm], arrays)
            done = [m for m in self.methods if augmenters.get(m).kind == kind]
            self.progress.finished(self.state.path, done)
        found = {}
        for m in self.methods:
            for name, values in read_tensors(files[m]).items():
                found[m if name == "predicted" else f"other:{m}"] = values.numpy()
        if "gelda" in files:
            self.health.append(read_json(files["gelda"].with_suffix(".json"))["health"])
        return found

    def _health(self, episode: Episode, layer: str, candidate: Candidate) -> dict[str, float]:
        """The generator's figures against the test latents (of the target, where there is one)."""
        space = candidate.space
        task, (test, _) = self.task(episode, layer, space=space), self.test(episode, layer, space)
        place = {c: k for k, c in enumerate(episode.classes)}
        held = np.array([place[c] for c in self.items.label[episode.test]])
        tail = sorted({place[c] for c, _ in episode.groups["tail"]})
        assert candidate.made is not None
        made = (candidate.made.latents.numpy(), candidate.made.label.numpy())
        train = (task.latents.numpy(), task.label.numpy())
        return generator_health(made, train, (test.numpy(), held), tail, task.seed)

    def _final(self, method: str, choice: Choice) -> Setting:
        """An arm's chosen setting; the controls have gelda's."""
        if method in CONTROLS:
            return choice.settings.get("gelda", dict(grid_of("gelda", self.config)[0]))
        return choice.settings[method]

    # -- the map ----------------------------------------------------------------------------------

    def _project(self, choice: Choice, stage: StageState) -> None:
        """Points and generator of the first seed's first episode; too few points for a map is no failure."""
        episode, run = self.episodes(self.seeds[0])[0], self.state.path
        pairs = [(m, self._final(m, choice)) for m in compare_points.DRAWN if m in self.methods]
        at = choice.adapter_layer
        arms = [arm_key(self.config, m, choice.layer, choice.tau, own, at) for m, own in pairs]
        more: list[object] = [self.bank.columns_key] if self.bank.columns_key else []
        halved, tested = compare_kit.possible(self, episode), episode.test
        if pairs and halved:  # the other half is shown to nobody who edits
            tested = tested[compare_kit.dev_half(self, episode)]
            more.append("dev half")
        key = content_key("points", self.seeds[0], choice.layer, choice.tau, at, arms, *more)
        kept = not pairs or (run / "generator.json").is_file() and (kit.exists(run) or not halved)
        if not (kept and self.state.mapped and projection.points_key(run) == key):
            self.recorder.advance(stage, 0, "making the synthetic latents again")
            candidates = self._candidates(episode, choice.layer, choice.tau, pairs, at, keep=True)
            # each arm's head once more, asked what it says of the very latents it learns from
            asked = [replace(c, test=c.data.latents) for c in candidates if c.made is not None]
            self._fit(asked, episode.seed, keep=True)
            made = {c.arm: c.made for c in asked if c.made is not None}
            said = {c.arm: c.logits.softmax(-1).numpy() for c in asked if c.logits is not None}
            drawn = compare_points.write(run, self, episode, choice, made, said, key, tested)
            if asked and halved:
                compare_kit.write(run, self, episode, choice, asked[0], drawn)
            if asked:
                compare_points.write_generator(run, self, episode, choice, asked[0], key)
        if self.config.map:
            self.recorder.advance(stage, 0, projection.WAIT)
            try:
                first = projection.generation_layer(run)
                projection.project(run, first, "all", "", self.config.projection)
                layer_maps.write_change(run)
            except UserError as error:
                self.recorder.advance(stage, 0, str(error))

    # -- helpers --------------------------------------------------------------------------------

    def _stage(self, name: str, work: Callable[[int, Callable[[float, str], None]], Any]) -> dict[int, Any]:
        done = {}
        with self.recorder.stage(name, 100 * len(self.seeds)) as stage:
            for place, seed in enumerate(self.seeds):

                def tick(share: float, message: str, place: int = place, stage: StageState = stage) -> None:
                    text = f"seed {place + 1} of {len(self.seeds)}" + (f", {message}" if message else "")
                    self.recorder.advance(stage, 100 * (place + share), text)

                done[seed] = work(seed, tick)
        self.seconds[name] = stage.seconds
        return done


def _predicted(candidate: Candidate, classes: torch.Tensor) -> torch.Tensor:
    """Class ids [M] of the largest logits."""
    assert candidate.logits is not None
    return classes[candidate.logits.argmax(-1)]


def execute(config: CompareConfig, bank: ReadyBank, state: RunState, listener: Any = None) -> dict[str, Any]:
    """Run or resume a comparison to its end, keeping its state; the caller handles its errors."""
    device.set_threads()
    state.stages = stages(state, STAGES)
    with Recorder(state, listener) as recorder, tracked(state):
        result = Comparison(config, bank, state, recorder).run()
    return result
