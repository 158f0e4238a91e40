"""A run's generate and sample stages: the diffusion model of each seed and what it makes; kept by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gelda import augmenters, semantics
from gelda.adapting import Adapting, trained_by
from gelda.artifacts import FORMAT, content_key, read_tensors, write_json, write_tensors
from gelda.augmenters.base import Augmenter, Synthetic
from gelda.augmenters.diffusion import Gelda
from gelda.experiment import Adapted
from gelda.filters import keep

SAMPLED = {"gelda-paper": "paper_sampling", "gelda": "sampling"}


class Generating(Adapting):
    """The generator of each seed, and the synthetic latents of every method."""

    def _generate(self, seed: int, adapted: Adapted, tick: Callable[[float, str], None]) -> Gelda | None:
        if not set(SAMPLED) & set(self.config.methods):
            return None
        g = self.config.generator
        task = self.exp.task(seed, adapted, "sampling")
        folder = self._folder("generate", seed, self._generate_key(seed, adapted))
        arm = Gelda(g)
        if (folder / "done.json").is_file():
            arm.model = arm.untrained(task)
            arm.model.load_state_dict(read_tensors(folder / "model.safetensors"))
            arm.model.to(self.device).eval()
            tick(1, "reused")
            return arm

        def on_step(step: int, total: int, loss: float) -> None:
            self.recorder.metric(f"generate/seed{seed}", step, loss=loss)
            tick(step / total, f"loss {loss:.3f}")

        model = arm.train(self.exp.task(seed, adapted, "sampling", on_step))
        write_tensors(folder / "model.safetensors", model.state_dict())
        write_json(folder / "done.json", {"format": FORMAT, "steps": g.steps})
        return arm

    def _sample(
        self, seed: int, adapted: Adapted, trained: Gelda | None, tick: Callable[[float, str], None]
    ) -> dict[str, Any]:
        """{method: (augmenter, synthetic, kept)}, each kept on disk."""
        made, reused = {}, 0
        for method in self.config.methods:
            setting = SAMPLED.get(method, "sampling")
            sampling = getattr(self.config, setting)
            task = self.exp.task(seed, adapted, setting)
            arm: Augmenter
            if method in SAMPLED and trained is not None:
                g = self.config.generator
                form = {"form": "plain"} if method == "gelda-paper" else {}
                arm = Gelda(g, None, sampling, weight=sampling.weight, **form)
                if arm.shares == trained.shares:  # else the paper's form has a model of its own
                    arm.model = trained.model
            elif augmenters.get(method).generative:  # a control: it has a model of its own
                arm = augmenters.get(method).build(
                    self.config.generator, None, sampling, weight=sampling.weight
                )
            else:
                arm = augmenters.get(method).build()
            key = content_key("sample", method, sampling, self._generate_key(seed, adapted))
            file = self._folder("sample", seed, key) / f"{method}.safetensors"
            if file.is_file():
                saved = read_tensors(file)
                synthetic = Synthetic(saved["z"], saved["label"], saved["subdomain"], saved.get("level"))
                kept = saved["kept"]
                reused += 1
            else:
                synthetic = arm.synthesise(task)

                def balanced(z: torch.Tensor) -> torch.Tensor:
                    restored = adapted.scale.invert(z).to(self.device)
                    return adapted.adapter.run(restored, self.exp.layer)[0].cpu()

                share = sampling.kept_share
                kept = keep(
                    sampling.filter if method in SAMPLED else "none", synthetic, task, balanced, share
                )
                write_tensors(
                    file,
                    {
                        "z": synthetic.latents,
                        "label": synthetic.label,
                        "subdomain": synthetic.subdomain,
                        "kept": kept,
                        **({} if synthetic.level is None else {"level": synthetic.level}),
                    },
                    {"method": method, "seed": str(seed), "origin": "synthetic"},
                )
            made[method] = (arm, synthetic, kept)
        tick(1, "reused" if reused == len(made) else "")
        return made

    def _generate_key(self, seed: int, adapted: Adapted) -> str:
        c = self.config
        return content_key(
            "generate",
            FORMAT,
            self.exp.bank.path.name,
            c.data,
            trained_by(c),
            adapted.fm_layer,
            c.generator,
            [
                semantics.fingerprint(text)  # a file of vectors that changed is not what was trained on
                for text in (
                    c.generator.class_semantics,
                    c.generator.subdomain_semantics,
                    c.generator.text_template,
                )
            ],
            str(self.exp.dtype),
            seed,
        )
