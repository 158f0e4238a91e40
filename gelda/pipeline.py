"""The only place that knows the order of stages. Each writes artifacts keyed by its own inputs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gelda import augmenters, datasets, device, encoders, metrics, projection, report
from gelda.adapter import Adapter, HeadData, fit
from gelda.allocation import allocate
from gelda.artifacts import (
    FORMAT,
    content_key,
    read_json,
    read_table,
    read_tensors,
    require_space,
    write_json,
    write_table,
    write_tensors,
)
from gelda.augmenters import Augmenter, Synthetic, Task
from gelda.augmenters.diffusion import Gelda, build_model
from gelda.config import RunConfig
from gelda.errors import UserError
from gelda.finetune import finetune, keep, predict
from gelda.latents import LatentBank, Standardizer, bank_key, extract
from gelda.manifest import Manifest
from gelda.protocols import Cut, folds, long_tail_cut
from gelda.runs import Recorder, RunState, StageState, home, save_state
from gelda.seeds import numpy_generator

STAGES = {
    "extract": "Encode every image with the frozen model",
    "adapt": "Choose the layer and train the adapter",
    "generate": "Train the latent diffusion model",
    "sample": "Make synthetic latents for the scarce cells",
    "finetune": "Retrain the layers after, for every method",
    "report": "Compare, with intervals",
    "project": "Draw the map",
}
ADAPTERS = ["ce", "logit-adjustment"]
SAMPLED = {"gelda-paper": "paper_sampling", "gelda": "sampling"}


@dataclass
class Adapted:
    """What the adapt stage leaves behind for one seed."""

    cut: Cut
    fm_layer: str
    standardizer: Standardizer
    adapters: Adapter
    scores: dict[str, float]


class Pipeline:
    """One run: resolves its inputs once, then runs or reuses each stage."""

    def __init__(self, config: RunConfig, state: RunState, recorder: Recorder) -> None:
        self.config, self.state, self.recorder = config, state, recorder
        self.device = device.resolve(config.device)
        self.dtype = device.resolve_precision(config.precision, self.device)
        self.dataset = datasets.get(config.data.dataset)
        self.manifest: Manifest = self.dataset.manifest()
        for method in config.methods:
            augmenters.get(method)
        if config.generator.adapter_layer > len(config.adapter.hidden):
            raise UserError(
                f"generator.adapter_layer is {config.generator.adapter_layer}, but the adapter has "
                f"{len(config.adapter.hidden)} hidden layer(s)."
            )
        self.seconds: dict[str, float] = {}
        self.bank: LatentBank
        self.latents: dict[str, torch.Tensor] = {}

    # -- the stages, in order -------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        require_space(self.state.path, 200_000_000)
        seeds = list(range(self.config.seeds))
        self._stage("extract", len(self.manifest), self._extract)
        adapted = self._per_seed("adapt", seeds, self._adapt)
        models = self._per_seed("generate", seeds, lambda s, tick: self._generate(s, adapted[s], tick))
        made = self._per_seed("sample", seeds, lambda s, tick: self._sample(s, adapted[s], models[s]))
        heads = self._per_seed("finetune", seeds, lambda s, tick: self._finetune(s, adapted[s], made[s], tick))
        result = self._stage("report", 1, lambda stage: self._report(seeds, adapted, made, heads))
        self._stage("project", 1, lambda stage: self._project(adapted[0], made[0], heads[0]))
        result["seconds"] = self.seconds
        write_json(self.state.path / "report.json", result)
        self.state.headline = result["headline"]
        return result

    def _extract(self, stage: StageState) -> None:
        spec = encoders.get(self.config.encoder.name)
        key = bank_key(self.manifest, self.config.encoder.name, spec.revision())
        folder = home() / "banks" / f"{self.config.data.dataset}-{self.config.encoder.name}-{key}"
        if (folder / "manifest.json").is_file():
            self.bank = LatentBank.open(folder)
            stage.message = "reused"
        else:
            self.bank = extract(
                self.manifest,
                self.dataset.read,
                spec.load(),
                folder,
                encoder_name=self.config.encoder.name,
                revision=spec.revision(),
                device=self.device,
                progress=lambda done, total: self.recorder.advance(stage, done),
            )
        if not (self.bank.index["id"].to_numpy() == self.manifest.table["id"].to_numpy()).all():
            raise UserError(f"The bank {folder} lists other items than the data set: delete it and run again.")
        self.latents = {layer: self.bank.load(layer) for layer in self.bank.layers}

    def _adapt(self, seed: int, tick: Callable[[float, str], None]) -> Adapted:
        c, table = self.config, self.manifest.table
        cut = long_tail_cut(
            self.manifest,
            seed,
            imbalance=c.data.imbalance,
            empty_subdomains=c.data.empty_subdomains,
            one_subdomain_a_group=c.data.one_subdomain_a_group,
        )
        key = content_key("adapt", FORMAT, self.bank.path.name, c.data, c.adapter, seed)
        folder = self._folder("adapt", seed, key)
        rows, label = cut.rows("train"), table["label"].to_numpy()
        if (folder / "done.json").is_file():
            kept = read_json(folder / "done.json")
            fm_layer, scores = kept["fm_layer"], kept["scores"]
        elif c.adapter.fm_layer == "auto":
            fm_layer, scores = self._choose_layer(cut, seed, tick)
        else:
            if c.adapter.fm_layer not in self.latents:
                raise encoders.unknown("layer", c.adapter.fm_layer, self.latents)
            fm_layer, scores = c.adapter.fm_layer, {}
        raw = self.latents[fm_layer]
        standardizer = Standardizer.fit(raw[rows])
        adapters = Adapter(self._widths(fm_layer), len(self.manifest.class_names), 2, seed).to(self.device)
        if (folder / "done.json").is_file():
            adapters.load_state_dict(read_tensors(folder / "adapter.safetensors"))
            tick(1, "reused")
        else:
            data = HeadData(standardizer.apply(raw[rows]), torch.from_numpy(label[rows]), torch.ones(len(rows)))
            fit(adapters, [data, data], loss=ADAPTERS, seed=seed, **self._head_settings(c.adapter.steps))
            write_tensors(folder / "adapter.safetensors", adapters.state_dict())
            write_table(folder / "cut.parquet", pd.DataFrame({"id": table["id"], "split": cut.split}))
            write_json(folder / "done.json", {"format": FORMAT, "fm_layer": fm_layer, "scores": scores})
        return Adapted(cut, fm_layer, standardizer, adapters, scores)

    def _choose_layer(
        self, cut: Cut, seed: int, tick: Callable[[float, str], None]
    ) -> tuple[str, dict[str, float]]:
        """The encoder layer with the lowest class-mean log-loss over folds inside the training cut.

        Standardiser and adapter are refitted without the fold; classes of one item never enter it.
        """
        c, table = self.config.adapter, self.manifest.table
        rows = cut.rows("train")
        label = table["label"].to_numpy()[rows]
        fold = folds(label, table["group"].to_numpy()[rows], c.validation_folds, seed)
        target = torch.from_numpy(label)
        scores = {}
        for number, layer in enumerate(self.latents):
            raw = self.latents[layer][rows]
            data, standardizers = [], []
            for k in range(c.validation_folds):
                inside = torch.from_numpy(fold != k)
                standardizers.append(Standardizer.fit(raw[inside]))
                ones = torch.ones(int(inside.sum()))
                data.append(HeadData(standardizers[-1].apply(raw[inside]), target[inside], ones))
            heads = Adapter(self._widths(layer), len(self.manifest.class_names), c.validation_folds, seed)
            fit(
                heads.to(self.device),
                data,
                loss="logit-adjustment",
                seed=seed,
                **self._head_settings(max(1, c.steps // 2)),
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

    def _generate(self, seed: int, adapted: Adapted, tick: Callable[[float, str], None]) -> Gelda | None:
        if not set(SAMPLED) & set(self.config.methods):
            return None
        g = self.config.generator
        task = self._task(seed, adapted, "sampling")
        folder = self._folder("generate", seed, self._generate_key(seed, adapted))
        arm = Gelda(g)
        if (folder / "done.json").is_file():
            arm.model = build_model(g, task)
            arm.model.load_state_dict(read_tensors(folder / "model.safetensors"))
            arm.model.to(self.device).eval()
            tick(1, "reused")
            return arm

        def on_step(step: int, total: int, loss: float) -> None:
            self.recorder.metric(f"generate/seed{seed}", step, loss=loss)
            tick(step / total, f"loss {loss:.3f}")

        arm.train(self._task(seed, adapted, "sampling", on_step))
        write_tensors(folder / "model.safetensors", arm.model.state_dict())
        write_json(folder / "done.json", {"format": FORMAT, "steps": g.steps})
        return arm

    def _sample(self, seed: int, adapted: Adapted, trained: Gelda | None) -> dict[str, Any]:
        """{method: (augmenter, synthetic, kept)} of every method but the real-only ones, kept on disk."""
        made = {}
        for method in self.config.methods:
            setting = SAMPLED.get(method, "sampling")
            sampling = getattr(self.config, setting)
            task = self._task(seed, adapted, setting)
            arm: Augmenter
            if method in SAMPLED:
                arm = Gelda(self.config.generator, trained.model, sampling, sampling.weight)
            else:
                arm = augmenters.get(method).build()
            key = content_key("sample", method, sampling, self._generate_key(seed, adapted))
            file = self._folder("sample", seed, key) / f"{method}.safetensors"
            if file.is_file():
                saved = read_tensors(file)
                synthetic = Synthetic(saved["z"], saved["label"], saved["subdomain"])
                kept = saved["kept"]
            else:
                synthetic = arm.synthesise(task)

                def balanced(z: torch.Tensor, adapted: Adapted = adapted) -> torch.Tensor:
                    layer = self.config.generator.adapter_layer
                    return adapted.adapters.run(z.to(self.device), layer)[1].cpu()

                share = sampling.kept_share
                kept = keep(sampling.filter if method in SAMPLED else "none", synthetic, task, balanced, share)
                write_tensors(
                    file,
                    {"z": synthetic.latents, "label": synthetic.label, "subdomain": synthetic.subdomain, "kept": kept},
                    {"method": method, "seed": str(seed), "origin": "synthetic"},
                )
            made[method] = (arm, synthetic, kept)
        return made

    def _finetune(
        self, seed: int, adapted: Adapted, made: dict[str, Any], tick: Callable[[float, str], None]
    ) -> dict[str, Any]:
        """Heads of all arms, their probabilities on dev and test, and the generator's health."""
        c = self.config
        layer = c.generator.adapter_layer
        key = content_key(
            "finetune", c.adapter, c.methods, c.sampling, c.paper_sampling, self._generate_key(seed, adapted)
        )
        folder = self._folder("finetune", seed, key)
        if (folder / "done.json").is_file():
            tick(1, "reused")
            return {**read_json(folder / "done.json"), "arrays": read_tensors(folder / "predictions.safetensors")}
        task = self._task(seed, adapted, "sampling")
        arms = {m: (arm, synthetic.select(kept)) for m, (arm, synthetic, kept) in made.items()}
        heads = finetune(
            adapted.adapters, ADAPTERS, task, arms, layer, c.adapter, lambda done, total: tick(0.9 * done / total, "")
        )
        arrays = {
            name: torch.from_numpy(predict(heads, self._at_layer(adapted, adapted.cut.rows(name)), layer))
            for name in ("dev", "test")
        }
        health = self._health(seed, adapted, made) if "gelda" in made else {}
        write_tensors(folder / "predictions.safetensors", arrays)
        write_tensors(folder / "heads.safetensors", heads.state_dict())
        write_json(folder / "done.json", {"format": FORMAT, "health": health})
        return {"health": health, "arrays": arrays}

    def _health(self, seed: int, adapted: Adapted, made: dict[str, Any]) -> dict[str, float]:
        """Figures of the generator in standardised z^(l) against held-out (dev) real latents."""
        _, synthetic, kept = made["gelda"]
        synthetic_z, synthetic_y = synthetic.latents.numpy(), synthetic.label.numpy()
        train, dev = adapted.cut.rows("train"), adapted.cut.rows("dev")
        label = self.manifest.table["label"].to_numpy()
        held, held_y = self._at_layer(adapted, dev).numpy(), label[dev]
        train_z = self._at_layer(adapted, train).numpy()
        ratios = metrics.variance_ratios(synthetic_z, synthetic_y, held, held_y)
        tail = [ratios[c] for c in adapted.cut.groups["tail"] if c in ratios]
        residual = metrics.class_centred(held, held_y)
        half = numpy_generator(seed, "health").permutation(len(residual))
        first, second = residual[half[: len(half) // 2]], residual[half[len(half) // 2 :]]
        # every comparison at the same number of latents: the distance falls with it
        ours = metrics.class_centred(synthetic_z, synthetic_y)
        ours = ours[numpy_generator(seed, "health-synthetic").permutation(len(ours))[: len(first)]]
        gaussian = numpy_generator(seed, "health-gaussian").normal(size=(len(first), held.shape[1]))
        # per-class diagonal Gaussian of the training latents: what one gets without a generator
        spread = metrics.class_centred(train_z, label[train]).std(0)
        order = numpy_generator(seed, "health-held").permutation(len(held))
        return {
            "variance_ratio": float(np.median(list(ratios.values()))) if ratios else float("nan"),
            "variance_ratio_tail": float(np.median(tail)) if tail else float("nan"),
            "frechet": metrics.frechet(ours, second),
            "frechet_real": metrics.frechet(first, second),
            "frechet_gaussian": metrics.frechet(gaussian * spread, second),
            "memorisation": metrics.memorisation(synthetic_z, train_z, held[order[::2]]),
            "memorisation_real": metrics.memorisation(held[order[1::2]], train_z, held[order[::2]]),
            "kept_share": float(kept.float().mean()) if len(kept) else 1.0,
        }

    def _report(
        self, seeds: list[int], adapted: list[Adapted], made: list[dict[str, Any]], heads: list[dict[str, Any]]
    ) -> dict[str, Any]:
        table, methods = self.manifest.table, list(self.config.methods)
        results = []
        for seed, a, h in zip(seeds, adapted, heads, strict=True):
            rows = a.cut.rows("test")
            predicted = h["arrays"]["test"].argmax(-1).numpy()
            results.append(
                report.SeedResult(
                    seed,
                    table["label"].to_numpy()[rows],
                    table["subdomain"].to_numpy()[rows],
                    table["group"].to_numpy()[rows],
                    {m: predicted[k] for k, m in enumerate(methods)},
                    a.cut.counts,
                    a.cut.groups,
                    a.cut.empty,
                )
            )
        cut = adapted[0].cut
        empty_names = " and ".join(self.config.data.empty_subdomains)
        setting = (
            f"{len(self.manifest.class_names)} classes under {len(self.manifest.subdomain_names)} conditions; "
            f"about {int(np.mean([a.cut.counts.sum() for a in adapted]))} training items, from "
            f"{int(cut.counts.sum(1).max())} to {int(cut.counts.sum(1).min())} a class"
            + (f"; the {len(cut.groups['tail'])} scarcest never seen {empty_names}" if empty_names else "")
            + f"; {len(seeds)} seed(s)."
        )
        result = report.build(
            results,
            class_names=self.manifest.class_names,
            subdomain_names=self.manifest.subdomain_names,
            health=[h["health"] for h in heads if h["health"]],
            notes=self._notes(adapted),
            config=self.config.model_dump(mode="json"),
            seconds=self.seconds,
            run=self.state.id,
            name=self.state.name,
            demo=self.state.demo,
            setting=setting,
        )
        write_json(self.state.path / "report.json", result)
        real = cut.counts
        synthetic = np.zeros_like(real)
        if "gelda" in made[0]:
            _, s, kept = made[0]["gelda"]
            np.add.at(synthetic, (s.label[kept].numpy(), s.subdomain[kept].numpy()), 1)
        write_json(
            self.state.path / "meta.json",
            {
                "format": FORMAT,
                "class_names": self.manifest.class_names,
                "subdomain_names": self.manifest.subdomain_names,
                "dataset": self.config.data.dataset,
                "real": real,
                "synthetic": synthetic,
                "groups": cut.groups,
                "empty_cells": cut.empty,
                "display_seed": seeds[0],
                "fm_layer": adapted[0].fm_layer,
                "adapter_layer": self.config.generator.adapter_layer,
                "layer_reason": self._layer_reason(adapted),
                "layer_scores": adapted[0].scores,
            },
        )
        return result

    def _project(self, adapted: Adapted, made: dict[str, Any], heads: dict[str, Any]) -> None:
        """Points, latents of every layer, neighbours and the first map of the displayed seed."""
        run, table, layer = self.state.path, self.manifest.table, self.config.generator.adapter_layer
        rows = np.concatenate([adapted.cut.rows("train"), adapted.cut.rows("dev")])
        real = table.iloc[rows][["id", "uri", "label", "subdomain", "group"]].reset_index(drop=True)
        real["split"], real["origin"], real["method"], real["kept"] = adapted.cut.split[rows], "real", "", True
        parts, latents = [real], [self._at_layer(adapted, rows)]
        if "gelda" in made:
            _, synthetic, kept = made["gelda"]
            latents.append(synthetic.latents)
            parts.append(
                pd.DataFrame(
                    {
                        "id": [f"gelda-{i:05d}" for i in range(len(synthetic))],
                        "uri": "",
                        "label": synthetic.label.numpy(),
                        "subdomain": synthetic.subdomain.numpy(),
                        "group": "",
                        "split": "",
                        "origin": "synthetic",
                        "method": "gelda",
                        "kept": kept.numpy(),
                    }
                )
            )
        points = pd.concat(parts, ignore_index=True)
        at_layer = torch.cat(latents)
        stacks: dict[str, tuple[str, torch.Tensor, bool, bool]] = {}
        for name, raw in self.latents.items():
            here = name == adapted.fm_layer and layer == 0
            z = Standardizer.fit(raw[adapted.cut.rows("train")]).apply(raw[rows])
            stacks[name] = (f"Encoder {name}", at_layer if here else self._pad(z, len(points)), here, here)
        for i in range(1, adapted.adapters.layers + 1):
            deeper = i >= layer
            z = adapted.adapters.run(at_layer.to(self.device), layer, i)[1].cpu() if deeper else self._pad(
                adapted.adapters.run(self._at_layer(adapted, rows, 0).to(self.device), 0, i)[1].cpu(), len(points)
            )
            z = Standardizer.fit(z[: len(adapted.cut.rows("train"))]).apply(z)
            stacks[f"adapter.{i}"] = (f"Adapter layer {i}", z, deeper, i == layer)
        for name, (_, z, _, _) in stacks.items():
            write_tensors(run / "points" / f"{name}.safetensors", {"z": z.half()})
        write_tensors(run / "neighbours.safetensors", projection.find_neighbours(at_layer.numpy(), points))
        write_table(run / "points.parquet", points)
        write_json(
            run / "points.json",
            {
                "format": FORMAT,
                "key": content_key("points", self._generate_key(0, adapted), self.config.sampling),
                "layers": [
                    projection.LayerInfo(name, title, z.shape[1], has, here).__dict__
                    for name, (title, z, has, here) in stacks.items()
                ],
            },
        )
        first = adapted.fm_layer if layer == 0 else f"adapter.{layer}"
        projection.project(run, first, "all", "", self.config.projection)

    # -- helpers --------------------------------------------------------------------------------

    def _stage(self, name: str, total: int, work: Callable[[StageState], Any]) -> Any:
        started = time.perf_counter()
        with self.recorder.stage(name, total) as stage:
            result = work(stage)
        self.seconds[name] = round(time.perf_counter() - started, 2)
        return result

    def _per_seed(self, name: str, seeds: list[int], work: Callable[[int, Callable], Any]) -> list[Any]:
        """Run `work(seed, tick)` for every seed; a stage of which nothing was new is marked reused."""

        def all_seeds(stage: StageState) -> list[Any]:
            results, reused = [], 0
            for place, seed in enumerate(seeds):

                def tick(share: float, message: str, place: int = place) -> None:
                    nonlocal reused
                    reused += message == "reused"
                    text = f"seed {place + 1} of {len(seeds)}" + (f", {message}" if message else "")
                    self.recorder.advance(stage, 100 * (place + share), text)

                results.append(work(seed, tick))
                self.recorder.advance(stage, 100 * (place + 1))
            stage.message = "reused" if reused == len(seeds) else ""
            return results

        return self._stage(name, 100 * len(seeds), all_seeds)

    def _task(self, seed: int, adapted: Adapted, sampling: str, on_step: Any = None) -> Task:
        rows, table = adapted.cut.rows("train"), self.manifest.table
        settings = getattr(self.config, sampling)
        extra = {"on_step": on_step} if on_step else {}
        return Task(
            latents=self._at_layer(adapted, rows),
            label=torch.from_numpy(table["label"].to_numpy()[rows].astype(np.int64)),
            subdomain=torch.from_numpy(table["subdomain"].to_numpy()[rows].astype(np.int64)),
            classes=len(self.manifest.class_names),
            subdomains=len(self.manifest.subdomain_names),
            allocation=allocate(settings.allocation, adapted.cut.counts, settings.allocation_factor),
            seed=seed,
            class_attributes=torch.from_numpy(self.dataset.class_attributes()),
            subdomain_attributes=torch.from_numpy(self.dataset.subdomain_attributes()),
            device=self.device,
            dtype=self.dtype,
            **extra,
        )

    def _at_layer(self, adapted: Adapted, rows: np.ndarray, layer: int | None = None) -> torch.Tensor:
        """Standardised z^(l) of items, from the logit-adjusted adapter [N, D]."""
        layer = self.config.generator.adapter_layer if layer is None else layer
        z = adapted.standardizer.apply(self.latents[adapted.fm_layer][rows])
        return z if layer == 0 else adapted.adapters.run(z.to(self.device), 0, layer)[1].cpu()

    def _head_settings(self, steps: int) -> dict[str, Any]:
        a = self.config.adapter
        return {
            "tau": a.tau,
            "steps": steps,
            "batch_size": a.batch_size,
            "learning_rate": a.learning_rate,
            "weight_decay": a.weight_decay,
            "dropout": a.dropout,
        }

    def _widths(self, fm_layer: str) -> tuple[int, ...]:
        return (self.bank.layers[fm_layer], *self.config.adapter.hidden)

    def _generate_key(self, seed: int, adapted: Adapted) -> str:
        c = self.config
        return content_key(
            "generate", FORMAT, self.bank.path.name, c.data, c.adapter, adapted.fm_layer, c.generator, str(self.dtype), seed
        )

    def _folder(self, stage: str, seed: int, key: str) -> Path:
        """The artifact folder of a stage; leftovers of other keys of it are dropped once it is new."""
        folder = self.state.path / "stages" / f"{stage}-{seed}-{key}"
        if not folder.is_dir():
            for old in folder.parent.glob(f"{stage}-{seed}-*") if stage != "sample" else ():
                shutil.rmtree(old, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _layer_reason(self, adapted: list[Adapted]) -> str:
        if self.config.adapter.fm_layer != "auto":
            return f"Encoder layer {adapted[0].fm_layer}, as set."
        chosen = pd.Series([a.fm_layer for a in adapted]).value_counts()
        texts = [f"{name} in {count} of {len(adapted)} seeds" for name, count in chosen.items()]
        return f"Encoder layer by validation inside the training cut (class-mean log-loss): {', '.join(texts)}."

    def _notes(self, adapted: list[Adapted]) -> list[str]:
        return [
            self._layer_reason(adapted),
            "Every method uses the same latents, adapter, budget and seeds. Guidance scale and synthetic weight "
            "are fixed settings here, not chosen by validation in each run.",
            "Intervals: t over seeds with the variance of the test items added; they say nothing of other data sets.",
        ]

    @staticmethod
    def _pad(z: torch.Tensor, rows: int) -> torch.Tensor:
        return torch.cat([z, torch.full((rows - len(z), z.shape[1]), float("nan"))])


def execute(config: RunConfig, state: RunState, listener: Any = None) -> dict[str, Any]:
    """Run or resume a run to its end, keeping its state; the caller handles UserError and Cancelled."""
    device.set_threads()
    state.stages = [StageState(name, title) for name, title in STAGES.items()]
    with Recorder(state, listener) as recorder:
        try:
            result = Pipeline(config, state, recorder).run()
        except BaseException as error:
            from gelda.runs import Cancelled

            cancelled = isinstance(error, Cancelled | KeyboardInterrupt)
            state.status = "cancelled" if cancelled else "failed"
            known = isinstance(error, UserError)
            state.error = None if cancelled else str(error) if known else f"{type(error).__name__}: {error}"
            save_state(state)
            raise
        state.status, state.stage = "done", ""
        save_state(state)
        return result
