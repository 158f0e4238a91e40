"""GeLDA: latents from a small conditional diffusion model, steered by γ and κ, in one of FORMS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import torch

from gelda import recipes
from gelda.adapter import HeadPlan
from gelda.augmenters.anchors import Anchors
from gelda.augmenters.base import Augmenter, Synthetic, Task, Transform
from gelda.augmenters.composing import composed
from gelda.augmenters.conditioning import build_model, cell_noise, draw_weights
from gelda.augmenters.starts import own_or_transported, transported
from gelda.augmenters.subdomains import SubdomainNorm
from gelda.compositions import parsed
from gelda.diffusion import Model, TrainingData, train
from gelda.errors import UserError, unknown
from gelda.sampler import sample
from gelda.schedulers import OBJECTIVES
from gelda.settings import FORMS


@dataclass(frozen=True)
class Wanted:
    """Cells [M], [M] and noise [M, D] of the latents to be drawn.

    added, extra: what the residual form adds back [M, D] and its condition features [M, E]. starts: what each
    set starts from, [M, D] or None (noise alone), and the share of noise it is put under.
    """

    label: torch.Tensor
    subdomain: torch.Tensor
    noise: torch.Tensor
    added: torch.Tensor | None
    extra: torch.Tensor | None
    starts: Sequence[tuple[torch.Tensor | None, float]]


class Gelda(Augmenter):
    """Conditional diffusion at z^(l); one trained model serves every sampling setting.

    options: a GeneratorConfig (training); sampling: a SamplingConfig (gelda.config). Settings: `form` (one
    of FORMS), `weight` of a synthetic latent, `guidance` (w_γ = w_κ; from `sampling` where not given).
    """

    # six at most; translation is left out: on no validation was it the best form (benchmarks/LOG.md)
    grid = tuple(
        {"form": form, "weight": weight}
        for form, weights in (("plain", (0.3, 0.1)), ("residual", (0.3, 0.1, 1.0)), ("aligned", (0.1,)))
        for weight in weights
    )

    def __init__(
        self, options: Any, model: Model | None = None, sampling: Any = None, **setting: Any
    ) -> None:
        asked = getattr(options, "form", "auto")
        self.form = str(setting.pop("form", self.grid[0]["form"] if asked == "auto" else asked))
        if self.form not in FORMS:
            raise unknown("form", self.form, FORMS)
        weight = setting.pop("weight", self.grid[0]["weight"])
        guidance = setting.pop("guidance", None)
        if setting:
            raise unknown(f"setting of {type(self).__name__}", next(iter(setting)), self.grid[0])
        for name, value in (("weight", weight), ("guidance", 1.0 if guidance is None else guidance)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
                raise UserError(f"{type(self).__name__}: '{name}' must be a positive number, not {value!r}.")
        self.setting = {"form": self.form, "weight": weight}
        if guidance is not None:
            self.setting["guidance"] = guidance
        self.options = self.changed(options) if options is not None else None
        self.model, self.sampling, self.weight, self.guidance = model, sampling, float(weight), guidance

    def changed(self, options: Any) -> Any:
        """The generator settings of this arm: its controls."""
        return options

    @property
    def shares(self) -> str | None:
        """All forms but the residual one sample the same model; guidance and weight come after training."""
        return ("residual " if self.form == "residual" else "plain ") + self.options.model_dump_json()

    @property
    def same_latents(self) -> str | None:
        """The model, the scales of guidance and the start; weight and normalisation come after sampling."""
        if self.sampling is None:
            return None
        scale, start = self.guidance, "moved" if self.form == "translate" else "noise"
        at = (
            (self.sampling.guidance_class, self.sampling.guidance_subdomain)
            if scale is None
            else (scale,) * 2
        )
        return f"{self.shares} {at} {start} {self.sampling.model_dump_json()}"

    def train(self, task: Task) -> Model:
        """Train the conditional denoiser on the task's real latents; the EMA weights are kept."""
        o = self.options
        anchors = self.anchors(task)
        self.model = train(
            self.untrained(task).to(task.device),
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
            batch=None if anchors is None else anchors.batch,
            seed=task.seed,
            dtype=task.dtype,
            on_step=lambda step, loss: task.on_step(step, o.steps, float(loss)),
            every=max(1, min(50, o.steps // 20)),  # a short training draws a curve too
        )
        return self.model

    def plan(self, task: Task) -> HeadPlan:
        """The recipe is that of its own sampling settings."""
        if self.sampling is None:
            return HeadPlan(loss=self.loss)
        return HeadPlan(
            loss=self.loss, recipe=self.sampling.recipe, recipe_strength=self.sampling.recipe_strength
        )

    def transform(self, task: Task) -> Transform | None:
        """Subdomain normalisation of all latents, real and synthetic, in the aligned form."""
        return SubdomainNorm().transform(task) if self.form == "aligned" else None

    def untrained(self, task: Task) -> Model:
        """The model that `train` starts from, into which stored weights fit."""
        anchors = self.anchors(task)
        return build_model(self.options, task, extra=0 if anchors is None else anchors.features)

    def anchors(self, task: Task) -> Anchors | None:
        """What the residual form takes off; None for the others."""
        return Anchors.of(task) if self.form == "residual" else None

    def synthesise(self, task: Task) -> Synthetic:
        model = self.model if self.model is not None else self.train(task)
        wanted = self.wanted(task)
        label, subdomain = wanted.label, wanted.subdomain
        if len(label) == 0:
            return Synthetic.none(task.latents.shape[1])
        parts = [self.draw(model, task, wanted, start, share) for start, share in wanted.starts]
        if len(parts) == 1:
            return Synthetic(parts[0], label, subdomain)
        level = torch.arange(1, len(parts) + 1).repeat_interleave(len(label))
        return Synthetic(torch.cat(parts), label.repeat(len(parts)), subdomain.repeat(len(parts)), level)

    def wanted(self, task: Task) -> Wanted:
        """What the task's allocation asks for, ready to be drawn.

        A curriculum starts from a set for every noise level, all of the same real latents and noise; what
        the residual form will add back is taken off them first.
        """
        label, subdomain, noise = cell_noise(task)
        anchors = self.anchors(task) if len(label) else None
        added, extra = anchors.draw(label, subdomain) if anchors is not None else (None, None)
        levels = recipes.noise_levels(self.sampling.recipe, self.sampling.recipe_strength)
        starts: list[tuple[torch.Tensor | None, float]] = [(None, 0.0)]
        if len(label) and self.form == "translate":
            moved = transported(task, label, subdomain)
            starts = [(moved, share) for share in levels or (self.options.translate_noise,)]
        elif len(label) and levels:
            real = own_or_transported(task, label, subdomain)
            starts = [(real if added is None else real - added, share) for share in levels]
        return Wanted(label, subdomain, noise, added, extra, starts)

    def scheduler(self, started: bool) -> str:
        """The noise scheduler; where real latents are started from, one that looks back a single step."""
        if not started:
            return self.sampling.scheduler
        return "ddim" if OBJECTIVES[self.options.prediction_type] == "diffusion" else "flow-euler"

    def with_sampling(self, sampling: Any) -> Gelda:
        """The same trained arm drawn with a SamplingConfig's settings, its scales of guidance too."""
        other = copy(self)
        other.sampling, other.guidance = sampling, None
        return other

    def draw(
        self,
        model: Model,
        task: Task,
        wanted: Wanted,
        start: torch.Tensor | None = None,
        share: float = 0.0,
        on_denoised: Callable[[int, torch.Tensor, torch.Tensor], None] = lambda step, noisy, denoised: None,
    ) -> torch.Tensor:
        """Latents [M, D] on the CPU under composed conditions; `start` is None for noise alone."""
        sampling, scale, extra = self.sampling, self.guidance, wanted.extra
        cells = wanted.label, wanted.subdomain
        conditions, *drawn = composed(model.conditions, parsed(sampling.conditions), task, *cells)
        label, subdomain, noise = (part.to(task.device) for part in (*drawn, wanted.noise))
        made = sample(
            Model(model.denoiser, conditions),
            label,
            subdomain,
            noise,
            extra=None if extra is None else extra.to(task.device),
            start=None if start is None else start.to(task.device),
            start_noise=share,
            scheduler=self.scheduler(start is not None),
            num_inference_steps=sampling.num_inference_steps,
            guidance_class=sampling.guidance_class if scale is None else scale,
            guidance_subdomain=sampling.guidance_subdomain if scale is None else scale,
            prediction_type=self.options.prediction_type,
            on_denoised=on_denoised,
        ).cpu()  # in fp32 whatever the training's precision: a latent must not depend on its batch
        return made if wanted.added is None else made + wanted.added


class GeldaPaper(Gelda):
    """The paper's form: plain conditional diffusion with guidance; scale and weight by validation."""

    grid = tuple(
        {"form": "plain", "guidance": scale, "weight": weight}
        for weight in (1.0, 0.3)
        for scale in (1.5, 1.0, 3.0)
    )


class GeldaWithoutSemantics(Gelda):
    """The control: the same form, conditioned on ids without any relation between them (one-hot)."""

    def changed(self, options: Any) -> Any:
        update = {"class_semantics": "one-hot", "subdomain_semantics": "one-hot"}
        no_rank = {"semantic_rank": 0, "class_rank": 0, "subdomain_rank": 0}
        if self.form == "residual":  # the prototype carries the class: the condition goes altogether
            return options.model_copy(update={**update, **no_rank, "condition_control": "unconditional"})
        return options.model_copy(update={**update, **no_rank})


class GeldaShuffled(Gelda):
    """The control: the same form, semantic vectors deranged anew in every seed, no learned residual."""

    def changed(self, options: Any) -> Any:
        return options.model_copy(update={"condition_control": "shuffled", "learned_residual": False})
