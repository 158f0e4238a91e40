"""How the digits demo's settings were chosen: the dev split, seeds that the demo does not use.

    python benchmarks/choose.py            # 100 … 105, about 6 minutes on 2 cores
    python benchmarks/choose.py 100 101    # other seeds

Prints, for each variant, the mean over seeds and its difference to logit adjustment ± standard error
over seeds. Nothing here reads the test split.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from gelda import datasets, device, encoders
from gelda.augmenters.baselines import LogitAdjustment
from gelda.augmenters.diffusion import Gelda
from gelda.augmenters.moments import ResidualTransfer
from gelda.augmenters.resampling import Smote
from gelda.config import RunConfig, resolve_config
from gelda.experiment import Experiment
from gelda.extraction import extract
from gelda.finetune import finetune, predict
from gelda.latents import LatentBank, bank_key
from gelda.report import SeedResult
from gelda.runs import home
from gelda.settings import AdapterConfig

LAYER = "stage3.0"  # one layer for all variants; seeds choose this one or stage3.1
BASE = {"adapter": {"fm_layer": LAYER}}
# name: (settings beside BASE, weights of one synthetic latent)
VARIANTS: dict[str, tuple[dict, tuple[float, ...]]] = {
    "as shipped": ({}, (0.1, 0.3, 1.0)),
    "three times as many": ({"sampling": {"allocation_factor": 3.0}}, (0.3,)),
    "class balance 0": ({"generator": {"class_balance": 0.0}}, (0.3,)),
    "class balance 0.5": ({"generator": {"class_balance": 0.5}}, (0.3,)),
    "class balance 1": ({"generator": {"class_balance": 1.0}}, (0.3,)),
    "250 steps": ({"generator": {"steps": 250}}, (0.3,)),
    "1000 steps": ({"generator": {"steps": 1000}}, (0.3,)),
    "no learned residual": ({"generator": {"learned_residual": False}}, (0.3,)),
    "attribute tables": (
        {"generator": {"class_semantics": "attributes", "subdomain_semantics": "attributes"}},
        (0.3,),
    ),
    "class guidance 1.5": ({"sampling": {"guidance_class": 1.5}}, (0.3,)),
}


def main(seeds: list[int]) -> None:
    torch.set_num_threads(2)
    bank = open_bank(resolve_config(BASE))
    scores: dict[str, dict[str, list[float]]] = {}
    for seed in seeds:
        for arm, found in one_seed(bank, seed).items():
            for measure, value in found.items():
                scores.setdefault(arm, {}).setdefault(measure, []).append(value)
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    reference = {measure: np.array(values) for measure, values in scores["logit adjustment"].items()}
    print("| arm | " + " | ".join(reference) + " |\n|" + "---|" * (len(reference) + 1))
    for arm, found in scores.items():
        cells = []
        for measure, values in found.items():
            difference = np.array(values) - reference[measure]
            error = difference.std(ddof=1) / len(difference) ** 0.5 if len(difference) > 1 else float("nan")
            cells.append(f"{np.mean(values):.1f} ({difference.mean():+.1f} ± {error:.1f})")
        print(f"| {arm} | " + " | ".join(cells) + " |")


def one_seed(bank: LatentBank, seed: int) -> dict[str, dict[str, float]]:
    """Dev figures of every arm of one seed, all heads trained side by side."""
    arms, shared = {}, None
    for name, (settings, weights) in VARIANTS.items():
        config = resolve_config(settings, **BASE)
        experiment = open_experiment(config, bank)
        cut = experiment.cut(seed)
        adapter = experiment_adapter(experiment, seed)
        adapted = experiment.adapted(cut, LAYER, {}, adapter)
        task = experiment.task(seed, adapted, "sampling")
        if shared is None:
            shared = (experiment, adapted, task)
            arms["logit adjustment"] = (LogitAdjustment(), LogitAdjustment().synthesise(task))
            for build, weights_tried in ((ResidualTransfer, (0.1, 0.3, 1.0)), (Smote, (0.1, 0.3, 1.0))):
                for weight in weights_tried:
                    arm = build()
                    arm.weight = weight
                    arms[f"{build.__name__}, weight {weight}"] = (arm, arm.synthesise(task))
        made = Gelda(config.generator, sampling=config.sampling).synthesise(task)
        for weight in weights:
            arms[f"GeLDA, {name}, weight {weight}"] = (Gelda(config.generator, weight=weight), made)
    experiment, adapted, task = shared
    rows = adapted.cut.rows("dev")
    z = experiment.at_layer(adapted, rows)

    def answers(arms: dict, settings: AdapterConfig) -> list[np.ndarray]:
        return list(predict(finetune(adapted.adapter, task, arms, 0, settings), z, 0).argmax(-1))

    predicted = answers(arms, experiment.config.adapter)
    for tau in (0.5, 1.5, 2.0):
        settings = experiment.config.adapter.model_copy(update={"tau": tau})
        predicted += answers({"la": arms["logit adjustment"]}, settings)
        arms[f"logit adjustment, τ = {tau}"] = arms["logit adjustment"]
    result = SeedResult(
        seed,
        experiment.label[rows],
        experiment.subdomain[rows],
        experiment.group[rows],
        dict(zip(arms, predicted, strict=True)),
        adapted.cut.counts,
        adapted.cut.groups,
        adapted.cut.empty,
    )
    return {
        arm: {
            measure: result.score(measure, (values == result.true).astype(float))[0]
            for measure in ("overall", "tail", "unseen")
        }
        for arm, values in result.predicted.items()
    }


def open_experiment(config: RunConfig, bank: LatentBank) -> Experiment:
    dataset = datasets.get(config.data.dataset)
    return Experiment(config, dataset, dataset.manifest(), bank)


def experiment_adapter(experiment: Experiment, seed: int):
    """At l = 0 every head starts afresh, so the adapter only gives the shape."""
    from gelda.adapter import Adapter

    return Adapter(experiment.widths(LAYER), len(experiment.manifest.class_names), 1, seed)


def open_bank(config: RunConfig) -> LatentBank:
    dataset, spec = datasets.get(config.data.dataset), encoders.get(config.encoder.name)
    manifest, revision = dataset.manifest(), spec.revision()
    name = config.encoder.name
    folder = home() / "banks" / f"{config.data.dataset}-{name}-{bank_key(manifest, name, revision)}"
    if (folder / "manifest.json").is_file():
        return LatentBank.open(folder)
    bank = extract(
        datasets.open_demo(config.data.dataset),
        spec.load(),
        folder,
        encoder_name=name,
        revision=revision,
        device=device.resolve(config.device),
        batch_size=256,
    )
    assert bank is not None  # one part is the whole
    return bank


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or list(range(100, 106)))
