"""What a comparison trains on: episodes as tasks, how much is made, heads side by side, and their score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gelda import class_start, compare_check, device, metrics
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.allocation import scarce_cells
from gelda.arms import Setting, build, describe
from gelda.artifacts import content_key
from gelda.augmenters.base import Augmenter, Synthetic, Task
from gelda.augmenters.conditioning import semantic_inputs
from gelda.compare_config import CompareConfig
from gelda.finetune import adversarial, head_data, real_data
from gelda.heads import fit
from gelda.latents import Standardizer
from gelda.layer_weights import learn_weights, weighted_sum
from gelda.protocols import Episode
from gelda.ready import ReadyBank
from gelda.settings import WEIGHTED
from gelda.spaces import Space, heads_from, train_adapter

TOGETHER = 400_000_000  # numbers (fp32) that the heads trained side by side may hold


@dataclass
class Candidate:
    """One head to be trained: an arm under a setting on an episode's task."""

    arm: str
    setting: Setting
    data: HeadData
    plan: HeadPlan
    test: torch.Tensor  # test latents [M, D] as this arm's head takes them, at z^(l)
    classes: int
    made: Synthetic | None = None
    space: Space | None = None  # None: z^(0)
    logits: torch.Tensor | None = None
    # only where they were asked for: hundreds of settings are tried
    maker: Augmenter | None = None
    head: Adapter | None = None


@dataclass(frozen=True)
class Trial:
    """Logits [M, C'] of a head on the test items of validation episode number `episode`."""

    episode: int
    logits: torch.Tensor


class Workbench:
    """Episodes of one bank under one protocol as tasks, and the heads trained on them side by side."""

    def __init__(self, config: CompareConfig, bank: ReadyBank, check: Callable[[], None]) -> None:
        self.config, self.bank, self.items = config, bank, bank.items
        self.device = device.resolve(config.device)
        self.dtype = device.resolve_precision(config.precision, self.device)
        self.latents: dict[str, torch.Tensor] = {}
        self.adapters: dict[str, Adapter] = {}
        self.sums: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.cancelled = check  # raises where the person asked for it

    def episodes(self, seed: int) -> list[Episode]:
        """The protocol's episodes of a seed."""
        return compare_check.episodes(self.config, self.items, seed)

    def subdomains(self, episode: Episode) -> NDArray[np.int64]:
        """Subdomains in play [S']: all, but in a validation episode of a transfer not the real target."""
        if self.config.protocol == "longtail":
            return np.arange(self.items.cells[1])
        there = self.items.subdomain[episode.train]
        return np.unique(there if episode.target is None else np.append(there, episode.target))

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
                real_data(task), task.classes, self.config.adapter, plan, episode.seed, self.device
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
        task = Task(
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
        inputs = semantic_inputs(task, "class", self.config.generator.text_template)
        table = class_start.vectors(self.config.adapter.class_start, inputs)
        return task if table is None else replace(task, class_start=table)

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
        """Synthetic latents wanted per cell [C', S]; at most `most_synthetic` in each."""
        classes = list(episode.classes)
        real, open_cells = self.items.counts(episode.train)[classes], episode.wanted[classes]
        return scarce_cells(
            real, open_cells, self.config.most_synthetic, target=episode.target, by_cell=episode.by_cell
        )

    def heard(self, arm: str, episode: Episode, step: int, loss: float) -> None:
        """Called while an arm trains its generator."""
        self.cancelled()

    def _candidates(
        self,
        episode: Episode,
        layer: str,
        tau: float,
        pairs: Sequence[tuple[str, Setting]],
        at: int = 0,
        keep: bool = False,
    ) -> Iterator[Candidate]:
        """A head to train for every (arm, setting); settings that differ in weight share their latents,
        arms that say so a trained model. With `keep` each has the arm that made its latents."""
        space = self.space(episode, layer, tau, at)
        now = ""  # the arm in training
        told = self.task(episode, layer, space=space)
        task = replace(told, on_step=lambda step, total, loss: self.heard(now, episode, step, loss))
        test, subdomain = self.test(episode, layer, space)
        real, seen = space.restore(task.latents), space.restore(test)
        made: dict[str, Synthetic] = {}
        models: dict[str, Any] = {}
        for name, setting in pairs:
            now = name
            arm = build(name, setting, self.config)
            key = arm.same_latents or name + describe({k: v for k, v in setting.items() if k != "weight"})
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
                maker=arm if keep else None,
            )

    def _fit(self, candidates: Sequence[Candidate], seed: int, keep: bool = False) -> None:
        """Train the heads side by side, as many as memory takes, and keep their test logits [M, C'].

        With `keep` the heads themselves, too.
        """
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
            spaces, data = [k.space for k in group], [k.data for k in group]
            untuned, at = heads_from(spaces, data, widths, group[0].classes, seed, a.head)
            heads = fit(
                untuned.to(self.device),
                data,
                [adversarial(k.plan, a, at) for k in group],
                start=at,
                seed=seed + 1,
                dtype=self.dtype,
                on_step=lambda done, total: self.cancelled(),
                **a.training(a.tune_steps),
            )
            for number, candidate in enumerate(group):
                one = heads.gather([number])
                candidate.logits = one.run(candidate.test.to(self.device), at)[0].cpu()
                candidate.head = one if keep else None
            start = stop

    def _score(self, inner: Sequence[Episode], own: Sequence[Trial]) -> float:
        """Class-mean (cell-mean) calibrated log-loss of one setting on the validation episodes.

        Long tail: folds pooled. Transfer: the mean over pseudo-targets, each calibrated by itself, so that
        neither the largest nor the most hopeless one decides.
        """
        parts: dict[object, list[tuple[NDArray, NDArray, NDArray]]] = {}
        for trial in own:
            episode = inner[trial.episode]
            place = np.array([episode.classes.index(c) for c in self.items.label[episode.test]])
            strata = place * self.items.cells[1] + self.items.subdomain[episode.test]
            key = None if episode.target is None else trial.episode
            own_strata = strata if episode.by_cell else place
            parts.setdefault(key, []).append((place, own_strata, trial.logits.double().numpy()))
        losses = []
        for together in parts.values():
            y, strata, logits = (np.concatenate(column) for column in zip(*together, strict=True))
            losses.append(metrics.calibrated_log_loss(y, logits, strata)[0])
        return float(np.mean(losses))

    def _plan(self, plan: HeadPlan, loss: str, tau: float) -> HeadPlan:
        """An arm's plan with the comparison's loss, τ and recipe where it names none."""
        sampling = self.config.sampling
        return plan.resolved(loss, tau, sampling.recipe, sampling.recipe_strength)


def protocol_seed(episode: Episode) -> int:
    """A seed for what is drawn in an episode: its own for every rotation and fold."""
    return episode.seed * 1000 + episode.fold
