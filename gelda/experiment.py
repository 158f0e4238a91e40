"""One experiment: its data, bank and settings, and what a single seed needs of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gelda import (
    augmenters,
    class_start,
    device,
)
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.allocation import allocate
from gelda.augmenters.base import Task
from gelda.class_start import fresh
from gelda.config import RunConfig
from gelda.datasets import DatasetSpec
from gelda.experiment_check import class_inputs
from gelda.finetune import adversarial, predict
from gelda.heads import fit
from gelda.latents import LatentBank, Standardizer
from gelda.manifest import Manifest
from gelda.report import SeedResult
from gelda.splits import Cut, folds, long_tail_cut


@dataclass
class Adapted:
    """What the adapt stage leaves behind for one seed."""

    cut: Cut
    fm_layer: str
    standardizer: Standardizer
    adapter: Adapter  # one copy, trained on real latents with logit adjustment
    scores: dict[str, float]
    scale: Standardizer  # of z^(l); latents are generated standardised and restored for the suffix
    bank: LatentBank | None = None  # the seed's own latents, where low-rank updates changed the encoder


class Experiment:
    """Everything that stages share and that does not change from seed to seed."""

    def __init__(self, config: RunConfig, dataset: DatasetSpec, manifest: Manifest, bank: LatentBank) -> None:
        self.config, self.dataset, self.manifest, self.bank = config, dataset, manifest, bank
        self.device = device.resolve(config.device)
        self.dtype = device.resolve_precision(config.precision, self.device)
        self.latents = {layer: bank.load(layer) for layer in bank.layers}
        self._tuned: dict[tuple[Path, str], torch.Tensor] = {}
        table = manifest.table
        self.label, self.subdomain = table["label"].to_numpy(), table["subdomain"].to_numpy()
        self.group = table["group"].to_numpy()

    @property
    def layer(self) -> int:
        """l: latents are generated at z^(l)."""
        return self.config.generator.adapter_layer

    def z(self, layer: str, bank: LatentBank | None = None) -> torch.Tensor:
        """All latents of an encoder layer: the frozen encoder's, or those of a seed's own bank."""
        if bank is None:
            return self.latents[layer]
        key = (bank.path, layer)
        if key not in self._tuned:
            if any(path != bank.path for path, _ in self._tuned):
                self._tuned.clear()  # one seed's at a time
            self._tuned[key] = bank.load(layer)
        return self._tuned[key]

    def cut(self, seed: int) -> Cut:
        """The long-tailed cut of one seed."""
        d = self.config.data
        return long_tail_cut(
            self.manifest,
            seed,
            imbalance=d.imbalance,
            empty_subdomains=d.empty_subdomains,
            one_subdomain_a_group=d.one_subdomain_a_group,
        )

    def adapted(
        self,
        cut: Cut,
        fm_layer: str,
        scores: dict[str, float],
        adapter: Adapter,
        bank: LatentBank | None = None,
    ) -> Adapted:
        """Bundle a seed's adapter with the standardisers that its training rows give."""
        raw = self.z(fm_layer, bank)[cut.rows("train")]
        base = Standardizer.fit(raw)
        z = base.apply(raw)
        if self.layer:
            scale = Standardizer.fit(adapter.run(z.to(self.device), 0, self.layer)[0].cpu())
        else:  # z^(0) is standardised already
            scale = Standardizer(torch.zeros(z.shape[1]), torch.ones(z.shape[1]))
        return Adapted(cut, fm_layer, base, adapter, scores, scale, bank)

    def choose_layer(
        self, cut: Cut, seed: int, tick: Callable[[float, str], None]
    ) -> tuple[str, dict[str, float]]:
        """The encoder layer with the lowest class-mean log-loss over folds inside the training cut.

        Standardiser and adapter are refitted without the fold; classes of one item never enter it.
        """
        c = self.config.adapter
        rows = cut.rows("train")
        label = self.label[rows]
        fold = folds(label, self.group[rows], c.validation_folds, seed)
        scores = {}
        for number, layer in enumerate(self.latents):
            raw = self.latents[layer][rows]
            data, standardizers = [], []
            for k in range(c.validation_folds):
                inside = torch.from_numpy(fold != k)
                standardizers.append(Standardizer.fit(raw[inside]))
                z = standardizers[-1].apply(raw[inside])
                data.append(self.real_data(z, rows[inside.numpy()]))
            heads = fresh(data, self.widths(layer), len(self.manifest.class_names), seed, c.head)
            fit(
                heads.to(self.device),
                data,
                [self.adapter_plan()] * c.validation_folds,
                seed=seed,
                **c.training(max(1, c.steps // 2)),
            )
            loss = np.full(len(rows), np.nan)
            for k in range(c.validation_folds):
                out = fold == k
                if out.any():
                    probability = predict(heads, standardizers[k].apply(raw[torch.from_numpy(out)]), 0)[k]
                    loss[out] = -np.log(probability[np.arange(out.sum()), label[out]].clip(1e-12))
            scored = pd.Series(loss).groupby(label).mean()
            scores[layer] = float(scored.mean())
            tick((number + 1) / (len(self.latents) + 1), f"validating layer {layer}")
        return min(scores, key=scores.__getitem__), scores

    def task(self, seed: int, adapted: Adapted, sampling: str, on_step: Any = None) -> Task:
        """What an augmenter may see of one seed: training rows at the generation layer."""
        rows = adapted.cut.rows("train")
        settings = getattr(self.config, sampling)
        extra = {"on_step": on_step} if on_step else {}
        task = Task(
            latents=self.at_layer(adapted, rows),
            label=torch.from_numpy(self.label[rows].astype(np.int64)),
            subdomain=torch.from_numpy(self.subdomain[rows].astype(np.int64)),
            classes=len(self.manifest.class_names),
            subdomains=len(self.manifest.subdomain_names),
            group=torch.from_numpy(pd.factorize(self.group[rows])[0].astype(np.int64)),
            allocation=allocate(settings.allocation, adapted.cut.counts, settings.allocation_factor),
            seed=seed,
            class_attributes=torch.from_numpy(self.dataset.class_attributes()),
            subdomain_attributes=torch.from_numpy(self.dataset.subdomain_attributes()),
            class_names=self.manifest.class_names,
            subdomain_names=self.manifest.subdomain_names,
            device=self.device,
            dtype=self.dtype,
            **extra,
        )
        vectors = self.class_vectors(task.latents, task.label)
        return task if vectors is None else replace(task, class_start=vectors)

    def at_layer(self, adapted: Adapted, rows: np.ndarray) -> torch.Tensor:
        """Standardised z^(l) of items [N, D], through the logit-adjusted adapter."""
        z = adapted.standardizer.apply(self.z(adapted.fm_layer, adapted.bank)[rows])
        if self.layer:
            z = adapted.scale.apply(adapted.adapter.run(z.to(self.device), 0, self.layer)[0].cpu())
        return z

    def adapter_plan(self) -> HeadPlan:
        """Adapters learn by logit adjustment at the run's τ."""
        c = self.config.adapter
        return adversarial(HeadPlan("logit-adjustment", c.tau), c, 0)

    def real_data(self, z: torch.Tensor, rows: np.ndarray) -> HeadData:
        """Items [N] with their standardised z^(0) [N, D], each of weight 1, for an adapter to learn from."""
        label, subdomain = (
            torch.from_numpy(part[rows].astype(np.int64)) for part in (self.label, self.subdomain)
        )
        vectors = self.class_vectors(z, label)
        return HeadData(z, label, torch.ones(len(rows)), subdomain, class_vectors=vectors)

    def class_vectors(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor | None:
        """What the class weights of fresh heads start from; training latents [N, D] may be looked at."""
        inputs = class_inputs(self.config, self.manifest, self.dataset, z, label)
        return class_start.vectors(self.config.adapter.class_start, inputs)

    def widths(self, fm_layer: str) -> tuple[int, ...]:
        """Widths of z^(0) … z^(L)."""
        return (self.bank.layers[fm_layer], *self.config.adapter.hidden)

    def seed_result(self, seed: int, adapted: Adapted, probability: torch.Tensor) -> SeedResult:
        """Test predictions of one seed from probabilities [methods, N, C]."""
        rows = adapted.cut.rows("test")
        predicted = probability.argmax(-1).numpy()
        return SeedResult(
            seed,
            self.label[rows],
            self.subdomain[rows],
            self.group[rows],
            {method: predicted[k] for k, method in enumerate(self.config.methods)},
            adapted.cut.counts,
            adapted.cut.groups,
            adapted.cut.empty,
        )

    def setting(self, adapted: Sequence[Adapted]) -> str:
        """One sentence on the data that the figures are of."""
        cut, counts = adapted[0].cut, [a.cut.counts.sum(1) for a in adapted]
        unseen = " and ".join(self.config.data.empty_subdomains)
        classes, subdomains = len(self.manifest.class_names), len(self.manifest.subdomain_names)
        return (
            f"{classes} classes under {subdomains} conditions; "
            f"about {np.mean([own.sum() for own in counts]):.0f} training items, from "
            f"{np.max(counts)} to {np.min(counts)} a class"
            + (f"; the {len(cut.groups['tail'])} scarcest never {unseen} in training" if unseen else "")
            + f"; {len(adapted)} seed{'s' if len(adapted) > 1 else ''}."
        )

    def layer_reason(self, adapted: Sequence[Adapted]) -> str:
        """Which encoder layer was taken, and why."""
        if self.config.adapter.fm_layer != "auto":
            return f"Encoder layer {adapted[0].fm_layer}, as set."
        chosen = pd.Series([a.fm_layer for a in adapted]).value_counts()
        texts = ", ".join(f"{name} in {count} of {len(adapted)} seeds" for name, count in chosen.items())
        return f"Encoder layer by validation inside the training cut (class-mean log-loss): {texts}."

    def notes(self, adapted: Sequence[Adapted]) -> list[str]:
        """What a reader of the figures must know."""
        notes = [
            self.layer_reason(adapted),
            "Every method has the same latents, adapter, training budget and seeds. Logit adjustment "
            f"has τ = {self.config.adapter.tau:g}; a larger τ moves accuracy from other classes to the tail.",
            *self.config.adapter.remarks(),
        ]
        if any(augmenters.get(m).generative for m in self.config.methods):
            notes.append(
                "Guidance scale and synthetic weight are fixed settings here, not chosen by validation in "
                "each run."
            )
        if len(adapted) > 1:
            notes.append(
                "Intervals: two-way over seeds and groups of test items (statistics.cluster_interval); they "
                "say nothing of other data sets."
            )
        return [*notes, self.dataset.caveat]

    def meta(self, adapted: Sequence[Adapted], synthetic: Any, first_seed: int) -> dict[str, Any]:
        """Names, counts and groups of the displayed (first) seed, for pages."""
        cut = adapted[0].cut
        made = np.zeros_like(cut.counts)
        if synthetic is not None:
            np.add.at(made, (synthetic.label.numpy(), synthetic.subdomain.numpy()), 1)
        return {
            "class_names": self.manifest.class_names,
            "subdomain_names": self.manifest.subdomain_names,
            "dataset": self.config.data.dataset,
            "real": cut.counts,
            "synthetic": made,
            "groups": cut.groups,
            "empty_cells": cut.empty,
            "display_seed": first_seed,
            "fm_layer": adapted[0].fm_layer,
            "adapter_layer": self.layer,
            "layer_reason": self.layer_reason(adapted),
            "layer_scores": adapted[0].scores,
        }
