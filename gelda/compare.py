"""`gelda compare`: every method on one bank, by a protocol, with every choice made on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gelda import __version__, augmenters, device, protocols, recipes, report, semantics
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.artifacts import FORMAT, content_key, read_json, read_tensors, write_json, write_tensors
from gelda.augmenters.base import Augmenter, Synthetic, Task
from gelda.config import CompareConfig
from gelda.errors import UserError, unknown
from gelda.finetune import head_data
from gelda.heads import fit
from gelda.health import generator_health
from gelda.latents import Standardizer
from gelda.layer_weights import WEIGHTED, check_widths, learn_weights, weighted_sum
from gelda.protocols import Episode
from gelda.ready import Items, ReadyBank
from gelda.report import SeedResult
from gelda.runs import Recorder, RunState, StageState, tracked
from gelda.spaces import Space, heads_from, train_adapter

STAGES = {
    "select": "Choose layer, τ and every method's setting on validation",
    "train": "Train every method and test it",
    "report": "Compare, with intervals",
}
TOGETHER = 400_000_000  # numbers (fp32) that the heads trained side by side may hold
CONTROLS = ("gelda-uncond", "gelda-shuffled")  # they take the form that validation chose for gelda
# whose defaults choose the adapter layer, whatever arms are compared: one arm of each family (see below)
VOTERS = ("logit-adjustment", "smote", "mixup", "residual-transfer", "mean-shift", "gelda")
Setting = dict[str, Any]
_ZERO = torch.zeros(1, dtype=torch.int64)
NO_TASK = Task(torch.zeros(1, 1), _ZERO, _ZERO, 1, 1, np.zeros((1, 1), np.int64), 0)  # to ask for a plan


@dataclass(frozen=True)
class Choice:
    """What validation chose for a seed: layers, τ, a setting an arm; and every score it saw."""

    layer: str
    tau: float
    settings: dict[str, Setting]
    scores: dict[str, Any]
    adapter_layer: int = 0


@dataclass
class Candidate:
    """One head to be trained: an arm under a setting on an episode's task."""

    arm: str
    setting: Setting
    data: HeadData
    plan: HeadPlan
    test: torch.Tensor  # test latents [M, D] as this arm's head takes them, at z^(l)
    classes: int
    episode: int = 0
    made: Synthetic | None = None
    space: Space | None = None  # None: z^(0)
    logits: torch.Tensor | None = None


class Comparison:
    """One bank under one protocol; `run()` leaves a report in the run's folder and may be resumed."""

    def __init__(self, config: CompareConfig, bank: ReadyBank, state: RunState, recorder: Recorder) -> None:
        self.config, self.bank, self.state, self.recorder = config, bank, state, recorder
        self.items = bank.items
        self.device = device.resolve(config.device)
        self.dtype = device.resolve_precision(config.precision, self.device)
        self.methods = arms(config, bank)
        self.seeds = list(range(config.first_seed, config.first_seed + config.seeds))
        self.latents: dict[str, torch.Tensor] = {}
        self.adapters: dict[str, Adapter] = {}
        self.sums: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.seconds: dict[str, float] = {}
        self.health: list[dict[str, float]] = []

    def run(self) -> dict[str, Any]:
        choices = self._stage("select", self._select)
        outcomes = self._stage("train", lambda seed, tick: self._train(seed, choices[seed], tick))
        with self.recorder.stage("report", 1):
            result = self._report(choices, outcomes)
        write_json(self.state.path / "report.json", result)
        self.state.headline = result["headline"]
        return result

    # -- data -----------------------------------------------------------------------------------

    def episodes(self, seed: int) -> list[Episode]:
        """The protocol's episodes of a seed."""
        return episodes(self.config, self.items, seed)

    def subdomains(self, episode: Episode) -> NDArray[np.int64]:
        """Subdomains in play [S']: all, but in a validation episode of a transfer not the real target."""
        if episode.target is None:
            return np.arange(self.items.cells[1])
        return np.union1d(self.items.subdomain[episode.train], [episode.target])

    def z(self, layer: str) -> torch.Tensor:
        """All latents of an encoder layer, read once."""
        if layer not in self.latents:
            self.latents[layer] = self.bank.load(layer)
        return self.latents[layer]

    def raw(self, episode: Episode, layer: str) -> torch.Tensor:
        """All latents of an encoder layer, or of the sum of all that is learned on an episode's rows."""
        if layer != WEIGHTED or layer in self.bank.layers:
            return self.z(layer)
        key = content_key(episode.seed, episode.train.tolist())
        if key not in self.sums:
            if len(self.sums) >= 8:  # a sum is as large as a layer
                self.sums.clear()
            rows = torch.from_numpy(episode.train)
            every = {name: self.z(name) for name in self.bank.layers}
            stack = torch.stack([Standardizer.fit(z[rows]).apply(z[rows]) for z in every.values()])
            place = np.searchsorted(episode.classes, self.items.label[episode.train])
            weights = learn_weights(
                stack,
                torch.from_numpy(place),
                len(episode.classes),
                self.config.adapter,
                episode.seed,
                self.device,
            )
            self.sums[key] = (weights, weighted_sum(every, rows, weights))
        return self.sums[key][1]

    def space(self, episode: Episode, layer: str, tau: float = 1.0, at: int = 0) -> Space:
        """z^(at) of an episode, at ≥ 1 by an adapter trained on its real rows with the comparison's loss."""
        train = self.raw(episode, layer)[torch.from_numpy(episode.train)]
        base = Standardizer.fit(train)
        if not at:
            return Space(0, base)
        key = content_key(layer, tau, episode.seed, episode.train.tolist())
        if key not in self.adapters:
            if len(self.adapters) >= 32:  # of earlier seeds: they come back in the same order, if at all
                self.adapters.clear()
            task = self.task(episode, layer)
            plan = HeadPlan().resolved(self.config.loss, tau)
            self.adapters[key] = train_adapter(
                task.latents, task.label, task.classes, self.config.adapter, plan, episode.seed, self.device
            )
        return Space.at(at, base, self.adapters[key], train)

    def task(
        self,
        episode: Episode,
        layer: str,
        tick: Callable[[float], None] = lambda share: None,
        space: Space | None = None,
    ) -> Task:
        """The training rows of an episode, standardised by themselves, at z^(0) or in another space of it;
        classes numbered by those in play."""
        items, rows = self.items, torch.from_numpy(episode.train)
        z = self.raw(episode, layer)
        scale = space or self.space(episode, layer)
        number = np.full(items.cells[0], -1)
        number[list(episode.classes)] = np.arange(len(episode.classes))
        played = self.subdomains(episode)
        given, moved = self.bank.class_semantics, self.bank.subdomain_semantics
        unlabelled = None
        if len(episode.unlabelled):
            target = torch.from_numpy(np.searchsorted(played, items.subdomain[episode.unlabelled]))
            unlabelled = (scale.apply(z[torch.from_numpy(episode.unlabelled)]), target)
        return Task(
            latents=scale.apply(z[rows]),
            label=torch.from_numpy(number[items.label[episode.train]]),
            subdomain=torch.from_numpy(np.searchsorted(played, items.subdomain[episode.train])),
            classes=len(episode.classes),
            subdomains=len(played),
            allocation=self.allocation(episode)[:, played],
            seed=protocol_seed(episode),
            class_names=tuple(items.class_names[c] for c in episode.classes),
            subdomain_names=tuple(items.subdomain_names[s] for s in played),
            class_given=None if given is None else given[list(episode.classes)],
            subdomain_given=None if moved is None else moved[torch.from_numpy(played)],
            device=self.device,
            dtype=self.dtype,
            on_step=lambda step, total, loss: tick(step / total),
            group=torch.from_numpy(np.unique(items.group[episode.train], return_inverse=True)[1]),
            kept=None if episode.kept is None else episode.classes.index(episode.kept),
            target=None if episode.target is None else int(np.searchsorted(played, episode.target)),
            unlabelled=unlabelled,
        )

    def test(
        self, episode: Episode, layer: str, space: Space | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Test latents [M, D] in the episode's standardised space, and their subdomains."""
        scale = space or self.space(episode, layer)
        subdomain = np.searchsorted(self.subdomains(episode), self.items.subdomain[episode.test])
        return scale.apply(self.raw(episode, layer)[torch.from_numpy(episode.test)]), torch.from_numpy(
            subdomain
        )

    def allocation(self, episode: Episode) -> np.ndarray:
        """Synthetic latents wanted per cell [C', S].

        Transfer: the target's cells up to a class's mean total over the sources, the kept cell too, so
        that the target is as large as they are and balanced. Long tail: every class (or cell) up to the
        largest, evenly over its cells. Never more than `most_synthetic` a cell, nor in total more than there
        are real latents: a weight of 1 then lets synthetic and real ones count alike.
        """
        real = self.items.counts(episode.train)[list(episode.classes)]
        wanted = np.zeros_like(real)
        if episode.target is not None:
            wanted[:, episode.target] = np.maximum(
                round(float(np.delete(real, episode.target, 1).sum(1).mean())) - real[:, episode.target], 0
            )
        elif episode.by_cell:
            wanted = real.max() - real
        else:
            missing = real.sum(1).max() - real.sum(1)
            open_cells = episode.wanted[list(episode.classes)]
            wanted = np.where(open_cells, np.ceil(missing / np.maximum(open_cells.sum(1), 1))[:, None], 0)
        wanted = np.where(episode.wanted[list(episode.classes)], wanted, 0)
        wanted = np.minimum(wanted, self.config.most_synthetic)
        share = min(1.0, real.sum() / max(1, wanted.sum()))
        return np.where(wanted > 0, np.maximum(1, np.floor(share * wanted)), 0).astype(np.int64)

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
        files = {
            m: self._file("select", seed, f"{m}-{self._arm_key(m, layer, tau, at=at)}.json") for m in tuned
        }
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
                    data = HeadData(task.latents, task.label, torch.ones(len(task.label)))
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
            key = content_key(*[self._arm_key(m, layer, tau, setting, at) for m, setting in pairs])
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

    def _score(self, inner: Sequence[Episode], own: Sequence[Candidate]) -> float:
        """Class-mean (cell-mean) log-loss of one setting, pooled over the validation episodes."""
        true, probabilities = [], []
        for candidate in own:
            episode = inner[candidate.episode]
            assert candidate.logits is not None
            place = np.array([episode.classes.index(c) for c in self.items.label[episode.test]])
            strata = place * self.items.cells[1] + self.items.subdomain[episode.test]
            true.append(np.stack([place, strata if episode.by_cell else place], 1))
            probabilities.append(candidate.logits.double().softmax(-1).numpy())
        rows, probability = np.concatenate(true), np.concatenate(probabilities)
        loss = -np.log(probability[np.arange(len(rows)), rows[:, 0]].clip(1e-12))
        return float(np.mean([loss[rows[:, 1] == u].mean() for u in np.unique(rows[:, 1])]))

    def _candidates(
        self, episode: Episode, layer: str, tau: float, pairs: Sequence[tuple[str, Setting]], at: int = 0
    ) -> Iterator[Candidate]:
        """A head to train for every (arm, setting); settings that differ in weight share their latents,
        arms that say so a trained model."""
        space = self.space(episode, layer, tau, at)
        task = self.task(episode, layer, space=space)
        test, subdomain = self.test(episode, layer, space)
        real, seen = space.restore(task.latents), space.restore(test)
        made: dict[str, Synthetic] = {}
        models: dict[str, Any] = {}
        for name, setting in pairs:
            arm = build(name, setting, self.config)
            key = name + describe({k: v for k, v in setting.items() if k != "weight"})
            if key not in made:
                if arm.shares is not None:
                    arm.model = models.get(arm.shares)
                made[key] = arm.synthesise(task)
                if arm.shares is not None:
                    models[arm.shares] = arm.model
            transform = arm.transform(task)
            yield Candidate(
                name,
                setting,
                head_data(task, arm, made[key], space.restore, real),
                self._plan(arm.plan(task), self.config.loss, tau),
                seen if transform is None else space.restore(transform(test, subdomain)),
                task.classes,
                made=made[key],
                space=space,
            )

    def _fit(self, candidates: Sequence[Candidate], seed: int) -> None:
        """Train the heads side by side, as many as memory takes, and keep their test logits [M, C']."""
        a = self.config.adapter
        start = 0
        while start < len(candidates):
            stop, numbers, tables = start, 0, set()
            while stop < len(candidates):
                k = candidates[stop]
                fresh = k.data.latents.numel() if k.data.latents.data_ptr() not in tables else 0
                numbers += fresh + a.batch_size * k.data.latents.shape[1] * 4
                if stop > start and (numbers > TOGETHER or k.classes != candidates[start].classes):
                    break
                tables.add(k.data.latents.data_ptr())
                stop += 1
            group = candidates[start:stop]
            widths = (group[0].data.latents.shape[1], *a.hidden)
            untuned, at = heads_from([k.space for k in group], widths, group[0].classes, seed)
            heads = fit(
                untuned.to(self.device),
                [k.data for k in group],
                [k.plan for k in group],
                start=at,
                steps=a.tune_steps,
                batch_size=a.batch_size,
                learning_rate=a.learning_rate,
                weight_decay=a.weight_decay,
                dropout=a.dropout,
                seed=seed + 1,
                on_step=lambda done, total: self.recorder.check(),
            )
            for number, candidate in enumerate(group):
                one = heads.gather([number])
                candidate.logits = one.run(candidate.test.to(self.device), at)[0].cpu()
            start = stop

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
            key = self._arm_key(m, choice.layer, choice.tau, self._final(m, choice), choice.adapter_layer)
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

    # -- report ---------------------------------------------------------------------------------

    def _report(
        self, choices: Mapping[int, Choice], outcomes: Mapping[int, dict[str, Any]]
    ) -> dict[str, Any]:
        items, c = self.items, self.config

        def results(prefix: str) -> list[SeedResult]:
            found = []
            for seed in self.seeds:
                out = outcomes[seed]
                first, rows = out["episodes"][0], out["rows"]
                names = [k for k in out if k.startswith(prefix)] if prefix else self.methods
                found.append(
                    SeedResult(
                        seed,
                        items.label[rows],
                        items.subdomain[rows],
                        np.unique(items.group, return_inverse=True)[1][rows],
                        {k.removeprefix(prefix): out[k] for k in names},
                        items.counts(first.train),
                        class_groups(first),
                        first.groups["unseen"],
                        cells=first.groups,
                        by_cell=first.by_cell,
                    )
                )
            return found

        tested = len(np.unique(items.group[outcomes[self.seeds[0]]["rows"]]))
        result = report.build(
            results(""),
            class_names=items.class_names,
            subdomain_names=items.subdomain_names,
            health=self.health,
            notes=self._notes(choices, tested),
            config={**c.model_dump(mode="json"), "selection": selection(choices)},
            seconds=self.seconds,
            run=self.state.id,
            name=self.state.name,
            demo=self.state.demo,
            setting=self._setting(outcomes[self.seeds[0]]["episodes"], tested),
        )
        other = [k for k in outcomes[self.seeds[0]] if k.startswith("other:")]
        if other:
            result["under_other_loss"] = report.method_table(results("other:"), len(items.class_names))
        result["countable"] = tested >= 8
        return result

    def _setting(self, episodes: Sequence[Episode], tested: int) -> str:
        c, items = self.config, self.items
        count = len(episodes[0].train)
        what = {
            "longtail": f"long tail by {c.cut}, imbalance {c.imbalance:g}",
            "zero-shot": f"{c.target} keeps {c.keep} only",
            "few-shot": f"{c.target} has {c.shots} items a class",
        }[c.protocol]
        if c.protocol != "longtail":
            what += ", transductive (its latents are read without labels)" if c.unlabelled else ""
        names = ", ".join(items.class_names[k] for k in episodes[0].classes)
        groups = f"{tested} {'groups' if items.grouped else 'items'} tested"
        return (
            f"{self.bank.name}: {what}; classes {names}; {count} training items in the first seed; "
            f"{groups}; {len(self.seeds)} seed(s)."
        )

    def _notes(self, choices: Mapping[int, Choice], tested: int) -> list[str]:
        picked = [ch.settings["gelda"] for ch in choices.values() if "gelda" in ch.settings]
        notes = [
            "Layer, τ and every method's own setting were chosen by class-mean log-loss on validation that "
            "reads no test label; each method had at most six settings."
        ]
        if picked:
            texts = "; ".join(describe(p) for p in picked)
            notes.append(f"GeLDA's form, in the order of the seeds: {texts}.")
        shared = protocols.shared_between_splits(self.items) if self.config.protocol == "longtail" else 0
        if shared:
            notes.append(
                f"The bank's split tests groups that it trains on too: {shared} training items are left out."
            )
        if any(ch.adapter_layer for ch in choices.values()):
            at = ", ".join(str(ch.adapter_layer) for ch in choices.values())
            notes.append(
                f"Latents are made and heads tuned after adapter layer {at} (in the order of the seeds). The "
                "adapter has seen the training rows: going on from it over-fits arms without synthetic "
                "latents most, so hold the table of --adapter-layer 0 beside this one."
            )
        if self.config.protocol != "longtail" and len(self.items.subdomain_names) < 3:
            notes.append("Only one source subdomain: validation cannot let a source play the target.")
        if tested < 8:
            notes.append(f"Only {tested} test groups: the row is shown and counts for no claim.")
        return notes

    # -- helpers --------------------------------------------------------------------------------

    def _plan(self, plan: HeadPlan, loss: str, tau: float) -> HeadPlan:
        """An arm's plan with the comparison's loss, τ and recipe where it names none."""
        sampling = self.config.sampling
        return plan.resolved(loss, tau, sampling.recipe, sampling.recipe_strength)

    def _arm_key(
        self, method: str, layer: str, tau: float, setting: Setting | None = None, at: int = 0
    ) -> str:
        """What an arm's choice (or, with its setting, its predictions) depends on beside the run's key."""
        made_by = None
        sampling = self.config.sampling.model_dump()
        recipe = [sampling.pop("recipe"), sampling.pop("recipe_strength")]
        if augmenters.get(method).generative:
            g = self.config.generator
            texts = (g.class_semantics, g.subdomain_semantics, g.text_template)
            made_by = [g, sampling, [semantics.fingerprint(text) for text in texts]]
        # what is as it always was stays out, so that arms computed before are found again
        further: list[Any] = [] if recipe == ["joint", None] else [recipe]
        further += [{"adapter_layer": at, "adapter": self.config.adapter}] if at else []
        return content_key(method, layer, tau, setting or list(grid_of(method)), made_by, *further)

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


def episodes(config: CompareConfig, items: Items, seed: int) -> list[Episode]:
    """A protocol's episodes of a seed."""
    c = config
    if c.protocol == "longtail":
        return [protocols.long_tail(items, seed, imbalance=c.imbalance, cut=c.cut)]
    shared: dict[str, Any] = {
        "target": items.subdomain_names.index(c.target),
        "classes": protocols.shared_classes(items, c.classes),
        "unlabelled": c.unlabelled,
        "rotations": c.rotations,
    }
    if c.protocol == "zero-shot":
        return protocols.zero_shot(items, seed, kept=items.class_names.index(c.keep), **shared)
    return protocols.few_shot(items, seed, shots=c.shots, **shared)


def compare_key(config: CompareConfig, bank: ReadyBank) -> str:
    """What every arm of a comparison depends on: the same command, with any arms, finds its run again."""
    apart = {"name", "device", "bank", "methods", "generator", "sampling", "seeds", "first_seed"}
    return content_key(
        "compare", FORMAT, __version__, bank.key, config.model_dump(mode="json", exclude=apart)
    )


def arms(config: CompareConfig, bank: ReadyBank) -> list[str]:
    """The methods of a comparison: those named, else every one that the bank gives something to do."""
    for method in config.methods:
        augmenters.get(method)
    if config.methods:
        return list(config.methods)
    single = len(bank.items.subdomain_names) < 2
    return [m for m in augmenters.AUGMENTERS if not (single and class_of(m).needs_subdomains)]


def check(config: CompareConfig, bank: ReadyBank) -> None:
    """Refuse names and combinations that cannot work before a run folder exists."""
    items = bank.items
    device.resolve_precision(config.precision, device.resolve(config.device))
    arms(config, bank)
    if config.adapter.fm_layer == WEIGHTED and WEIGHTED not in bank.layers:
        check_widths(bank.layers)
    elif config.adapter.fm_layer != "auto" and config.adapter.fm_layer not in bank.layers:
        raise unknown("layer", config.adapter.fm_layer, [*bank.layers, WEIGHTED])
    hidden = len(config.adapter.hidden)
    if config.adapter_layer != "auto" and config.adapter_layer > hidden:
        raise UserError(
            f"--adapter-layer is {config.adapter_layer}, but the adapter has {hidden} hidden layer(s)."
        )
    if config.protocol == "longtail":
        if config.target or config.keep or config.unlabelled or config.classes:
            raise UserError(
                "--target, --keep, --classes and --unlabelled belong to zero-shot and few-shot protocols."
            )
    else:
        if len(items.subdomain_names) < 2:
            raise UserError(f"{bank.name} has one subdomain: {config.protocol} needs at least two.")
        if not config.target:
            raise UserError(f"{config.protocol} needs --target, one of: {', '.join(items.subdomain_names)}.")
        if config.target not in items.subdomain_names:
            raise unknown("subdomain", config.target, items.subdomain_names)
        classes = protocols.shared_classes(items, config.classes)
        if len(classes) < 2:
            raise UserError(f"{bank.name} has fewer than two classes that every subdomain holds.")
    if config.protocol == "zero-shot":
        if not config.keep:
            raise UserError(f"zero-shot needs --keep, one of: {', '.join(items.class_names)}.")
        if config.keep not in items.class_names:
            raise unknown("class", config.keep, items.class_names)
    recipes.strength(config.sampling.recipe, config.sampling.recipe_strength)
    g = config.generator
    semantics.check(g.class_semantics, "class", items.class_names)
    semantics.check(g.subdomain_semantics, "subdomain", items.subdomain_names)
    if "text:" in g.class_semantics + g.subdomain_semantics:
        semantics.check_template(g.text_template)
    for seed in range(config.first_seed, config.first_seed + config.seeds):
        outer = episodes(config, items, seed)
        if len(outer[0].classes) < 2:
            raise UserError(f"{bank.name} has fewer than two classes to train on: nothing can be compared.")
        protocols.validation(items, outer[0], config.validation_folds)
    for layer in [config.adapter.fm_layer] if config.adapter.fm_layer != "auto" else bank.layers:
        bank.load(layer)


def class_of(method: str) -> type[Augmenter]:
    """The class behind a method's name."""
    spec = augmenters.get(method)
    return type(spec.build(None) if spec.generative else spec.build())


def grid_of(method: str) -> tuple[Setting, ...]:
    """The settings that validation tries for a method."""
    return class_of(method).grid


def build(method: str, setting: Setting, config: CompareConfig) -> Augmenter:
    """An arm under a setting."""
    spec = augmenters.get(method)
    if spec.generative:
        return spec.build(config.generator, None, config.sampling, **setting)
    return spec.build(**setting)


def _predicted(candidate: Candidate, classes: torch.Tensor) -> torch.Tensor:
    """Class ids [M] of the largest logits."""
    assert candidate.logits is not None
    return classes[candidate.logits.argmax(-1)]


def describe(setting: Setting) -> str:
    """ "form plain, weight 0.3"."""
    return ", ".join(f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in setting.items())


def class_groups(episode: Episode) -> dict[str, tuple[int, ...]]:
    """Class ids of each group that is made of whole classes; {} where groups are of cells."""
    if episode.by_cell or episode.target is not None:
        return {}
    return {k: tuple(sorted({c for c, _ in v})) for k, v in episode.groups.items() if k != "unseen"}


def protocol_seed(episode: Episode) -> int:
    """A seed for what is drawn in an episode: its own for every rotation and fold."""
    return episode.seed * 1000 + episode.fold


def selection(choices: Mapping[int, Choice]) -> dict[str, Any]:
    """What was chosen in every seed and the scores behind it, for the report's config."""
    return {
        str(seed): {
            "fm_layer": c.layer,
            "adapter_layer": c.adapter_layer,
            "tau": c.tau,
            "settings": c.settings,
            "scores": c.scores,
        }
        for seed, c in choices.items()
    }


def execute(config: CompareConfig, bank: ReadyBank, state: RunState, listener: Any = None) -> dict[str, Any]:
    """Run or resume a comparison to its end, keeping its state; the caller handles its errors."""
    device.set_threads()
    state.stages = [StageState(name, title) for name, title in STAGES.items()]
    with Recorder(state, listener) as recorder, tracked(state):
        result = Comparison(config, bank, state, recorder).run()
    return result
