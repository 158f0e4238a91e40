"""`gelda compare`: every method on one bank, by a protocol, with every choice made on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gelda import augmenters, device, protocols
from gelda.adapter import HeadPlan
from gelda.arms import CONTROLS, NO_TASK, VOTERS, Setting, arms, build, class_of, describe, grid_of
from gelda.artifacts import FORMAT, content_key, read_json, read_tensors, write_json, write_tensors
from gelda.compare_check import arm_key, check, compare_key, episodes
from gelda.compare_report import Choice, compared
from gelda.config import CompareConfig
from gelda.finetune import real_data
from gelda.health import generator_health
from gelda.layer_weights import WEIGHTED
from gelda.protocols import Episode
from gelda.ready import ReadyBank
from gelda.runs import Recorder, RunState, StageState, tracked
from gelda.workbench import Candidate, Workbench

STAGES = {
    "select": "Choose layer, τ and every method's setting on validation",
    "train": "Train every method and test it",
    "report": "Compare, with intervals",
}
__all__ = [  # used elsewhere, whichever module holds it
    "CONTROLS", "STAGES", "VOTERS", "Candidate", "Choice", "Comparison", "Setting", "arms", "build", "check",
    "class_of", "compare_key", "describe", "episodes", "execute", "grid_of",
]  # fmt: skip


class Comparison(Workbench):
    """One bank under one protocol; `run()` leaves a report in the run's folder and may be resumed."""

    def __init__(self, config: CompareConfig, bank: ReadyBank, state: RunState, recorder: Recorder) -> None:
        super().__init__(config, bank, recorder.check)
        self.state, self.recorder = state, recorder
        self.methods = arms(config, bank)
        self.seeds = list(range(config.first_seed, config.first_seed + config.seeds))
        self.seconds: dict[str, float] = {}
        self.health: list[dict[str, float]] = []

    def run(self) -> dict[str, Any]:
        choices = self._stage("select", self._select)
        outcomes = self._stage("train", lambda seed, tick: self._train(seed, choices[seed], tick))
        with self.recorder.stage("report", 1):
            result = compared(
                self.config, self.bank, self.methods, choices, outcomes, self.health, self.seconds, self.state
            )
        write_json(self.state.path / "report.json", result)
        self.state.headline = result["headline"]
        return result

    # -- choices --------------------------------------------------------------------------------

    def _select(self, seed: int, tick: Callable[[float, str], None]) -> Choice:
        """Layer and τ by logit adjustment, then each arm's setting, by class-mean log-loss on validation.

        Every arm's choice is kept in a file of its own, keyed by what it depends on: arms added later, or
        a generator changed, leave the others' as they are.
        """
        inner = protocols.validation(self.items, self.episodes(seed)[0], self.config.validation_folds)
        layer, tau, layer_scores = self._select_layer(seed, inner, tick)
        at, at_scores = self._select_adapter_layer(seed, inner, layer, tau, tick)
        settings = {m: dict(grid_of(m)[0]) for m in self.methods}
        if "logit-adjustment" in settings:
            settings["logit-adjustment"] = {"tau": tau}
        scores: dict[str, Any] = {"layer": layer_scores}
        if at_scores:
            scores["adapter_layer"] = at_scores
        tuned = [m for m in self.methods if m not in (*CONTROLS, "logit-adjustment") and len(grid_of(m)) > 1]
        files = {}
        for m in tuned:
            key = arm_key(self.config, m, layer, tau, at=at)
            files[m] = self._file("select", seed, f"{m}-{key}.json")
        for place, kind in enumerate(augmenters.KINDS):
            pending = [m for m in tuned if augmenters.get(m).kind == kind and not files[m].is_file()]
            candidates = []
            for number, episode in enumerate(inner):
                pairs = [(m, setting) for m in pending for setting in grid_of(m)]
                for done, candidate in enumerate(self._candidates(episode, layer, tau, pairs, at)):
                    candidate.episode = number
                    candidates.append(candidate)
                    share = (place + (number + (done + 1) / len(pairs)) / len(inner)) / len(augmenters.KINDS)
                    tick(0.2 + 0.8 * share, f"validating {candidate.arm}, fold {number + 1} of {len(inner)}")
            self._fit(candidates, seed)
            for m in pending:
                rated = []
                for setting in grid_of(m):
                    own = [k for k in candidates if k.arm == m and k.setting == setting]
                    rated.append({"setting": setting, "score": self._score(inner, own)})
                write_json(files[m], {"format": FORMAT, "rated": rated})
        for m in tuned:
            rated = read_json(files[m])["rated"]
            # a score that is not finite (null in the file) is never the best; the first of equals is taken
            settings[m] = min(rated, key=lambda r: np.inf if r["score"] is None else r["score"])["setting"]
            scores[m] = {describe(r["setting"]): r["score"] for r in rated}
        tick(1, "")
        if layer == WEIGHTED and layer not in self.bank.layers:
            episode = self.episodes(seed)[0]
            self.raw(episode, layer)
            weights = self.sums[content_key(episode.seed, episode.train.tolist())][0]
            scores["layer_weights"] = dict(zip(self.bank.layers, weights.tolist(), strict=True))
        return Choice(layer, tau, settings, scores, at)

    def _select_layer(
        self, seed: int, inner: Sequence[Episode], tick: Callable[[float, str], None]
    ) -> tuple[str, float, dict[str, dict[str, float]]]:
        """Encoder layer and τ with the lowest score of logit adjustment, and all scores."""
        c = self.config
        layers = [c.adapter.fm_layer] if c.adapter.fm_layer != "auto" else list(self.bank.layers)
        scores: dict[str, dict[str, float]] = {}
        for place, layer in enumerate(layers):
            file = self._file("select", seed, f"layer-{layer}.json")
            if not file.is_file():
                candidates = []
                for number, episode in enumerate(inner):
                    task, (test, _) = self.task(episode, layer), self.test(episode, layer)
                    data = real_data(task)
                    candidates += [
                        Candidate(
                            "τ",
                            {"tau": tau},
                            data,
                            HeadPlan("logit-adjustment", tau),
                            test,
                            task.classes,
                            number,
                        )
                        for tau in c.taus
                    ]
                self._fit(candidates, seed)
                found = {
                    f"{tau:g}": self._score(inner, [k for k in candidates if k.setting["tau"] == tau])
                    for tau in c.taus
                }
                write_json(file, {"format": FORMAT, "scores": found})
            scores[layer] = read_json(file)["scores"]
            tick(0.2 * (place + 1) / len(layers), f"validating layer {layer}")
        every = [(score, layer, float(t)) for layer in layers for t, score in scores[layer].items()]
        _, layer, tau = min(every, key=lambda one: np.inf if one[0] is None else one[0])
        return layer, tau, scores

    def _select_adapter_layer(
        self,
        seed: int,
        inner: Sequence[Episode],
        layer: str,
        tau: float,
        tick: Callable[[float, str], None],
    ) -> tuple[int, dict[str, float | None]]:
        """The l that all arms share; for auto the one with the lowest mean score of VOTERS, and all means.

        One arm of each family votes with its default setting and the same τ, whatever arms are compared: the
        layer suits no single arm, and arms added later find it unchanged. Logit adjustment alone would not
        do: at l ≥ 1 it goes on from an adapter that has converged on the same latents, so that its score
        tells of over-fitting and says nothing of how well latents can be made there.
        """
        wanted = self.config.adapter_layer
        if wanted != "auto":
            return wanted, {}
        single = len(self.items.subdomain_names) < 2
        voters = [m for m in VOTERS if not (single and class_of(m).needs_subdomains)]
        pairs: list[tuple[str, Setting]] = [
            (m, {"tau": tau} if m == "logit-adjustment" else dict(grid_of(m)[0])) for m in voters
        ]
        means: dict[str, float | None] = {}
        for at in range(len(self.config.adapter.hidden) + 1):
            tick(0.2, f"validating adapter layer {at}")
            key = content_key(*[arm_key(self.config, m, layer, tau, setting, at) for m, setting in pairs])
            file = self._file("select", seed, f"adapter-layer-{at}-{key}.json")
            if not file.is_file():
                candidates = []
                for number, episode in enumerate(inner):
                    for candidate in self._candidates(episode, layer, tau, pairs, at):
                        candidate.episode = number
                        candidates.append(candidate)
                self._fit(candidates, seed)
                found = {m: self._score(inner, [k for k in candidates if k.arm == m]) for m in voters}
                write_json(file, {"format": FORMAT, "scores": found})
            scores = list(read_json(file)["scores"].values())
            means[str(at)] = None if None in scores else float(np.mean(scores))
        best = min(means, key=lambda at: np.inf if (mean := means[at]) is None else mean)
        return int(best), means

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
            return choice.settings.get("gelda", dict(grid_of("gelda")[0]))
        return choice.settings[method]

    # -- helpers --------------------------------------------------------------------------------

    def _stage(self, name: str, work: Callable[[int, Callable[[float, str], None]], Any]) -> dict[int, Any]:
        started, done = time.perf_counter(), {}
        with self.recorder.stage(name, 100 * len(self.seeds)) as stage:
            for place, seed in enumerate(self.seeds):

                def tick(share: float, message: str, place: int = place, stage: StageState = stage) -> None:
                    text = f"seed {place + 1} of {len(self.seeds)}" + (f", {message}" if message else "")
                    self.recorder.advance(stage, 100 * (place + share), text)

                done[seed] = work(seed, tick)
        self.seconds[name] = round(time.perf_counter() - started, 2)
        return done

    def _file(self, stage: str, seed: int, name: str) -> Any:
        folder = self.state.path / "stages" / f"{stage}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name


def _predicted(candidate: Candidate, classes: torch.Tensor) -> torch.Tensor:
    """Class ids [M] of the largest logits."""
    assert candidate.logits is not None
    return classes[candidate.logits.argmax(-1)]


def execute(config: CompareConfig, bank: ReadyBank, state: RunState, listener: Any = None) -> dict[str, Any]:
    """Run or resume a comparison to its end, keeping its state; the caller handles its errors."""
    device.set_threads()
    state.stages = [StageState(name, title) for name, title in STAGES.items()]
    with Recorder(state, listener) as recorder, tracked(state):
        result = Comparison(config, bank, state, recorder).run()
    return result
