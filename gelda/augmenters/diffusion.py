"""GeLDA: latents from a small conditional diffusion model, steered by γ and κ."""

from __future__ import annotations

import torch

from gelda.augmenters.base import Augmenter, Synthetic, Task
from gelda.conditions import ConditionEncoder, ConditionSpace
from gelda.denoiser import Denoiser
from gelda.diffusion import Model, TrainingData, train
from gelda.sampler import sample
from gelda.seeds import row_noise
from gelda.semantics import SemanticInputs, vectors


class Gelda(Augmenter):
    """Conditional diffusion at z^(l); one model a task serves every sampling setting.

    options: a GeneratorConfig (training); sampling: a SamplingConfig (gelda.config).
    """

    def __init__(self, options, model: Model | None = None, sampling=None, weight: float = 0.3) -> None:
        super().__init__(options)
        self.model, self.sampling, self.weight = model, sampling, weight

    def train(self, task: Task) -> Model:
        """Train the conditional denoiser on the task's real latents; the EMA weights are kept."""
        o = self.options
        self.model = train(
            build_model(o, task).to(task.device),
            TrainingData(
                task.latents.to(task.device),
                task.label.to(task.device),
                task.subdomain.to(task.device),
                draw_weights(task, o.class_balance).to(task.device),
            ),
            steps=o.steps,
            batch_size=o.batch_size,
            learning_rate=o.learning_rate,
            weight_decay=o.weight_decay,
            ema_decay=o.ema_decay,
            drop=o.condition_drop,
            prediction_type=o.prediction_type,
            weighting=o.loss_weighting,
            timestep_sampling=o.timestep_sampling,
            seed=task.seed,
            dtype=task.dtype,
            on_step=lambda step, loss: task.on_step(step, o.steps, float(loss)),
        )
        return self.model

    def synthesise(self, task: Task) -> Synthetic:
        model = self.model if self.model is not None else self.train(task)
        label, subdomain, noise = cell_noise(task)
        if len(label) == 0:
            return Synthetic.none(task.latents.shape[1])
        latents = sample(
            model,
            label.to(task.device),
            subdomain.to(task.device),
            noise.to(task.device),
            scheduler=self.sampling.scheduler,
            num_inference_steps=self.sampling.num_inference_steps,
            guidance_class=self.sampling.guidance_class,
            guidance_subdomain=self.sampling.guidance_subdomain,
            prediction_type=self.options.prediction_type,
            dtype=task.dtype,
        )
        return Synthetic(latents.cpu(), label, subdomain)


def build_model(options, task: Task) -> Model:
    """An untrained denoiser whose semantic vectors come from the task's training rows and tables."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        space = condition_space(options, task)
        encoder = ConditionEncoder(space, options.condition_dim, residual=options.learned_residual)
        denoiser = Denoiser(
            task.latents.shape[1],
            options.condition_dim,
            width=options.width,
            depth=options.depth,
            dropout=options.dropout,
        )
    return Model(denoiser, encoder)


def condition_space(options, task: Task) -> ConditionSpace:
    """γ and κ for a task under the run's settings."""
    gamma = vectors(
        options.class_semantics,
        SemanticInputs(task.latents, task.label, task.classes, task.class_attributes),
    )
    kappa = vectors(
        options.subdomain_semantics,
        SemanticInputs(task.latents, task.subdomain, task.subdomains, task.subdomain_attributes),
    )
    return ConditionSpace.build(
        gamma, kappa, rank=options.semantic_rank, control=options.condition_control, seed=task.seed
    )


def cell_noise(task: Task) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cells of all wanted latents [M], [M] and their initial noise [M, D], a stream of its own per cell."""
    label, subdomain, noise = [], [], []
    for c in range(task.classes):
        for s in range(task.subdomains):
            count = int(task.allocation[c, s])
            if count:
                label.append(torch.full((count,), c))
                subdomain.append(torch.full((count,), s))
                noise.append(row_noise(task.seed, ("sample", c, s), count, task.latents.shape[1]))
    if not label:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0)
    return torch.cat(label), torch.cat(subdomain), torch.cat(noise)


def draw_weights(task: Task, balance: float) -> torch.Tensor:
    """How often a latent is drawn in training ∝ n_class^(−balance): 0 as it is, 1 balanced classes.

    Full balance made the denoiser memorise the tail (method §4), hence the exponent.
    """
    counts = torch.from_numpy(task.class_counts()).float().clamp_min(1)
    return counts[task.label] ** -balance
