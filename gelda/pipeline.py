"""The only place that knows the order of stages. Each writes artifacts keyed by its own inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gelda import (
    augmenters,
    compositions,
    device,
    encoders,
    generator_kit,
    layer_maps,
    points,
    projection,
    report,
    run_kit,
)
from gelda.artifacts import (
    FORMAT,
    content_key,
    read_json,
    read_tensors,
    require_space,
    write_json,
    write_tensors,
)
from gelda.config import RunConfig
from gelda.errors import UserError
from gelda.experiment import Adapted, Experiment
from gelda.finetune import finetune, predict
from gelda.generating import SAMPLED, Generating
from gelda.health import generator_health
from gelda.latents import LatentBank, bank_key
from gelda.recording import Recorder, stages, tracked
from gelda.runs import STAGES, RunState, StageState, home


class Pipeline(Generating):
    """One run: resolves its inputs once, then runs or reuses each stage."""

    # -- the stages, in order -------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        require_space(self.state.path, 200_000_000)
        seeds = list(range(self.first_seed, self.first_seed + self.config.seeds))
        self._stage("extract", len(self.manifest), self._extract)
        at = {seed: place for place, seed in enumerate(seeds)}
        adapted = self._per_seed("adapt", seeds, self._adapt)
        models = self._per_seed("generate", seeds, lambda s, tick: self._generate(s, adapted[at[s]], tick))
        made = self._per_seed(
            "sample", seeds, lambda s, tick: self._sample(s, adapted[at[s]], models[at[s]], tick)
        )
        heads = self._per_seed(
            "finetune", seeds, lambda s, tick: self._finetune(s, adapted[at[s]], made[at[s]], tick)
        )
        result = self._stage("report", 1, lambda stage: self._report(seeds, adapted, made, heads))
        self._stage("project", 1, lambda stage: self._project(stage, adapted[0], made[0], heads[0]))
        result["seconds"] = self.seconds
        write_json(self.state.path / "report.json", result)
        self.state.headline = result["headline"]
        return result

    def _extract(self, stage: StageState) -> None:
        spec = encoders.get(self.config.encoder.name)
        key = bank_key(self.manifest, self.config.encoder.name, spec.revision())
        folder = home() / "banks" / f"{self.config.data.dataset}-{self.config.encoder.name}-{key}"
        if (folder / "manifest.json").is_file():
            bank = LatentBank.open(folder)
            stage.message = "reused"
        else:
            bank = self._encode(
                spec.load(), folder, spec.revision(), lambda done, total: self.recorder.advance(stage, done)
            )
        if not (bank.index["id"].to_numpy() == self.manifest.table["id"].to_numpy()).all():
            raise UserError(
                f"The bank {folder} lists other items than the data set: delete it and run again."
            )
        self.exp = Experiment(self.config, self.dataset, self.manifest, bank)

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
            return {
                **read_json(folder / "done.json"),
                "arrays": read_tensors(folder / "predictions.safetensors"),
                "folder": folder,
            }
        task = self.exp.task(seed, adapted, "sampling")
        arms = {m: (arm, synthetic.select(kept)) for m, (arm, synthetic, kept) in made.items()}
        heads = finetune(
            adapted.adapter,
            task,
            arms,
            layer,
            c.adapter,
            restore=adapted.scale.invert,
            on_step=lambda done, total: tick(0.9 * done / total, ""),
            recipe=c.sampling.recipe,
            recipe_strength=c.sampling.recipe_strength,
        )
        arrays = {}
        for name in ("dev", "test"):
            rows = adapted.cut.rows(name)
            probability = predict(
                heads,
                self.exp.at_layer(adapted, rows),
                layer,
                restore=adapted.scale.invert,
                subdomain=torch.from_numpy(self.exp.subdomain[rows].astype("int64")),
                transforms=[arm.transform(task) for arm, _ in arms.values()],
            )
            arrays[name] = torch.from_numpy(probability)
        health = self._health(seed, adapted, made) if "gelda" in made else {}
        write_tensors(folder / "predictions.safetensors", arrays)
        write_tensors(folder / "heads.safetensors", heads.state_dict())
        write_json(folder / "done.json", {"format": FORMAT, "health": health})
        return {"health": health, "arrays": arrays, "folder": folder}

    def _health(self, seed: int, adapted: Adapted, made: dict[str, Any]) -> dict[str, float]:
        """Figures of the generator against held-out (dev) real latents."""
        _, synthetic, kept = made["gelda"]
        label = self.exp.label
        train, dev = adapted.cut.rows("train"), adapted.cut.rows("dev")
        health = generator_health(
            (synthetic.latents.numpy(), synthetic.label.numpy()),
            (self.exp.at_layer(adapted, train).numpy(), label[train]),
            (self.exp.at_layer(adapted, dev).numpy(), label[dev]),
            adapted.cut.groups["tail"],
            seed,
        )
        return {**health, "kept_share": float(kept.float().mean())}

    def _report(
        self,
        seeds: list[int],
        adapted: list[Adapted],
        made: list[dict[str, Any]],
        heads: list[dict[str, Any]],
    ) -> dict[str, Any]:
        exp = self.exp
        result = report.build(
            [
                exp.seed_result(s, a, h["arrays"]["test"])
                for s, a, h in zip(seeds, adapted, heads, strict=True)
            ],
            class_names=self.manifest.class_names,
            subdomain_names=self.manifest.subdomain_names,
            health=[h["health"] for h in heads if h["health"]],
            notes=exp.notes(adapted) + self._composed(made),
            config=self.config.model_dump(mode="json"),
            seconds=self.seconds,
            run=self.state.id,
            name=self.state.name,
            demo=self.state.demo,
            setting=exp.setting(adapted),
        )
        write_json(self.state.path / "report.json", result)
        _, synthetic, kept = made[0].get("gelda", (None, None, None))
        shown = synthetic.select(kept) if synthetic is not None else None
        write_json(self.state.path / "meta.json", {"format": FORMAT, **exp.meta(adapted, shown, seeds[0])})
        return result

    def _composed(self, made: list[dict[str, Any]]) -> list[str]:
        """What is to be said of composed conditions, by the cells that latents were made of."""
        classes, subdomains = self.manifest.class_names, self.manifest.subdomain_names
        notes = []
        for method, section in SAMPLED.items():
            lines = getattr(self.config, section).conditions
            if method not in self.config.methods or not lines:
                continue
            filled = []
            for _, synthetic, _ in (one[method] for one in made):
                cells = zip(synthetic.label.tolist(), synthetic.subdomain.tolist(), strict=True)
                filled.append({(classes[c], subdomains[s]) for c, s in set(cells)})
            notes += compositions.remarks(lines, filled, augmenters.get(method).title)
        return notes

    def _project(
        self, stage: StageState, adapted: Adapted, made: dict[str, Any], heads: dict[str, Any]
    ) -> None:
        """Points, latents of every layer, neighbours, generator and first map of the displayed seed."""
        c, methods = self.config, self.config.methods
        _, synthetic, kept = made.get("gelda", (None, None, None))
        key = content_key("points", self._generate_key(self.first_seed, adapted), c.sampling)
        scored_by = "gelda" if "gelda" in methods else methods[-1]
        weights = read_tensors(heads["folder"] / "heads.safetensors")
        head = adapted.adapter.gather([0] * len(methods))
        head.load_state_dict(weights)
        arm, task = made[scored_by][0], self.exp.task(self.first_seed, adapted, "sampling")

        def score(latents: torch.Tensor, subdomain: torch.Tensor) -> Any:
            return predict(
                head.gather([methods.index(scored_by)]),
                latents,
                c.generator.adapter_layer,
                restore=adapted.scale.invert,
                subdomain=subdomain,
                transforms=[arm.transform(task)],
            )[0]

        points.write_run(self.state.path, self.exp, adapted, synthetic, kept, score, scored_by, key)
        if "gelda" in made:
            own = head.gather([methods.index("gelda")])
            generator_kit.write(
                self.state.path, made["gelda"][0], task, own, self.exp.layer, adapted.scale, key
            )
            run_kit.write_run(self.state.path, self.exp, adapted, made["gelda"][0], synthetic)
        self.recorder.advance(stage, 0, projection.WAIT)
        first = projection.generation_layer(self.state.path)
        projection.project(self.state.path, first, "all", "", self.config.projection)
        layer_maps.write_change(self.state.path)

    # -- helpers --------------------------------------------------------------------------------

    def _stage(self, name: str, total: int, work: Callable[[StageState], Any]) -> Any:
        with self.recorder.stage(name, total) as stage:
            result = work(stage)
        self.seconds[name] = stage.seconds
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


def execute(config: RunConfig, state: RunState, listener: Any = None) -> dict[str, Any]:
    """Run or resume a run to its end, keeping its state; the caller handles UserError and Cancelled."""
    device.set_threads()
    state.stages = stages(state, STAGES)
    with Recorder(state, listener) as recorder, tracked(state):
        return Pipeline(config, state, recorder).run()
