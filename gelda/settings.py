"""Settings of the stages: one pydantic model each; forms and flags are made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from gelda import compositions
from gelda.errors import UserError
from gelda.strict import Settings

WEIGHTED = "weighted"  # an encoder's layers summed with learned weights, where a layer is named
FORMS = {  # of GeLDA: what is diffused
    "plain": "the latent itself is diffused",
    "residual": "what is left of the latent when a leave-one-out prototype (or, across subdomains, the "
    "centre of its subdomain) is taken off is diffused, and the prototype added back",
    "translate": "real latents of the class from other subdomains are moved to the wanted one's centre, "
    "noised half-way and denoised under the wanted condition",
    "aligned": "the latent itself is diffused, and the head sees real and synthetic ones alike after "
    "subdomain normalisation",
}


class DataConfig(Settings):
    """Which items, and how scarce some of them are made."""

    dataset: str = Field("digits", description="A demo data set.")
    imbalance: float = Field(
        50.0,
        title="Imbalance of the classes",
        ge=1,
        le=1000,
        description="Largest class ÷ smallest class in training.",
    )
    empty_subdomains: tuple[str, ...] = Field(
        ("slanted", "inverted"),
        title="Never seen for the tail",
        description="Subdomains in which the tail classes have no training item.",
    )
    one_subdomain_a_group: bool = Field(
        True, description="Each training original appears in one subdomain only, as an image is taken once."
    )


class EncoderConfig(Settings):
    """The frozen foundation model."""

    name: str = Field("mini-image", description="The frozen encoder.")


class AdapterConfig(Settings):
    """The adapter, the heads after it, and their training."""

    fm_layer: str = Field(
        "auto",
        title="Encoder layer",
        description="Encoder layer of z^(0); auto chooses by validation; weighted (on ready latents) is "
        "SUPERB's learned softmax sum of all layers.",
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        (128,), description="Widths of z^(1) … z^(L)."
    )
    steps: int = Field(150, ge=1, le=100_000, description="Training steps of the adapter.")
    tune_steps: int = Field(150, ge=1, le=100_000, description="Training steps of every arm's head.")
    batch_size: int = Field(128, ge=1, le=65_536, description="Latents in a training step.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="Size of a training step (AdamW).")
    weight_decay: float = Field(0.05, ge=0, le=10, description="Pull of the weights toward zero (AdamW).")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of units that a training step drops.")
    tau: float = Field(1.0, ge=0, le=10, description="Strength of logit adjustment.")
    validation_folds: int = Field(3, ge=2, le=10, description="Folds inside the training cut.")
    head: Literal["linear", "cosine"] = Field(
        "linear",
        title="Last layer",
        description="linear, or cosine: 25 × the cosines of features and class weights, without a bias.",
    )
    class_start: str = Field(
        "random",
        title="Start of the class weights",
        description="random; text (the shipped vectors of the class names); or a source, as for γ.",
    )
    adversarial: float = Field(
        0.0,
        ge=0,
        le=1000,
        title="Domain-adversarial strength",
        description="Trains hidden features not to tell the subdomain (gradient reversal); 0 = off.",
    )

    low_rank: int = Field(
        0,
        ge=0,
        le=256,
        title="Low-rank updates inside the encoder",
        description="Rank of the updates (LoRA), trained per seed on its training inputs; 0 = frozen.",
    )
    low_rank_steps: int = Field(200, ge=1, le=100_000, description="Training steps of the low-rank updates.")
    low_rank_learning_rate: float = Field(
        1e-3, gt=0, le=1, description="Size of a training step of the low-rank updates."
    )

    @model_validator(mode="after")
    def _something_to_reverse(self) -> AdapterConfig:
        if self.adversarial and not self.hidden:
            raise UserError(
                "adapter.adversarial trains hidden features, and adapter.hidden is empty: give it a width, "
                "or set adapter.adversarial to 0."
            )
        return self

    def remarks(self) -> list[str]:
        """What a reader of a report must know of heads that are not the usual ones."""
        parts = ["a cosine last layer"] if self.head == "cosine" else []
        if self.class_start != "random":
            parts.append(f"class weights started from semantic vectors ({self.class_start})")
        if self.adversarial:
            parts.append(f"domain-adversarial training of strength {self.adversarial:g}")
        remarks = [f"Adapter and every method's head: {', '.join(parts)}."] if parts else []
        if self.low_rank:
            remarks.append(
                f"The encoder carries low-rank updates (rank {self.low_rank}), trained in every seed on its "
                "training items, whose latents so lie closer to their class than those of new items; the "
                "layer was chosen on the frozen latents."
            )
        return remarks

    def training(self, steps: int) -> dict[str, Any]:
        """Keyword arguments of `gelda.heads.fit`, the same for adapters and heads."""
        same = ("batch_size", "learning_rate", "weight_decay", "dropout")
        return {"steps": steps, **{name: getattr(self, name) for name in same}}


# Width, depth and condition width of the denoiser; reference has 21 M parameters on 512-d latents.
SIZES: dict[str, dict[str, int]] = {
    "demo": {"width": 256, "depth": 2, "condition_dim": 64},
    "small": {"width": 384, "depth": 3, "condition_dim": 128},
    "base": {"width": 768, "depth": 3, "condition_dim": 384},
    "reference": {"width": 1024, "depth": 4, "condition_dim": 768},
}


class GeneratorConfig(Settings):
    """The conditional generator: diffusion, or a flow."""

    adapter_layer: int = Field(0, ge=0, le=8, description="Layer l: latents are generated at z^(l).")
    form: Literal["auto", "plain", "residual", "aligned", "translate"] = Field(
        "auto",
        title="Form of GeLDA",
        description="What is diffused: the latent (plain), its distance to a prototype (residual) …; "
        "auto: plain in a run, chosen by validation in a comparison.",
    )
    size: Literal["custom", "demo", "small", "base", "reference"] = Field(
        "custom",
        title="Size of the denoiser",
        description="A named size sets width, depth and condition_dim; custom leaves them as they are given.",
    )
    width: int = Field(256, ge=8, le=8192, description="Width of the denoiser.")
    depth: int = Field(2, ge=1, le=24, description="Residual blocks of the denoiser.")
    condition_dim: int = Field(64, ge=4, le=4096, description="Width of the condition u(γ, κ).")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of hidden units that a training step drops.")
    prediction_type: Literal["v_prediction", "epsilon", "sample", "flow"] = Field(
        "v_prediction",
        title="What the denoiser predicts",
        description="v_prediction, epsilon or sample (diffusion), or flow: the velocity of a straight path.",
    )
    timestep_sampling: Literal["uniform", "logit-normal"] = Field(
        "uniform", description="Which noise levels a flow is trained on; logit-normal favours the middle."
    )
    loss_weighting: Literal["uniform", "min-snr"] = Field(
        "uniform", description="What a noise level counts in the loss; min-snr holds easy levels down."
    )
    steps: int = Field(
        500,
        ge=1,
        le=1_000_000,
        title="Diffusion training steps",
        description="Training steps of the denoiser.",
    )
    batch_size: int = Field(128, ge=1, le=65_536, description="Latents in a training step.")
    learning_rate: float = Field(1.5e-3, gt=0, le=1, description="Size of a training step (AdamW).")
    weight_decay: float = Field(0.01, ge=0, le=10, description="Pull of the weights toward zero (AdamW).")
    ema_decay: float = Field(0.995, ge=0, lt=1, description="Decay of the averaged weights that are sampled.")
    class_balance: float = Field(
        0.25, ge=0, le=1, description="0 draws latents as they come, 1 balances classes."
    )
    class_semantics: str = Field(
        "mean",
        description="Source of the class vectors γ: auto, a source's name, text:MODEL_FOLDER, file:PATH, "
        "vad:PATH or lang2vec:PATH.",
    )
    subdomain_semantics: str = Field("mean", description="Source of the subdomain vectors κ: as for γ.")
    text_template: str = Field(
        "{}",
        description='Texts around a name for text:MODEL_FOLDER, averaged: "a photo of a {} | a sketch '
        'of a {}"; or descriptions: a CSV of name,description or a JSON of name → phrases.',
    )
    semantic_rank: int = Field(
        0, ge=0, le=4096, description="Reduce semantic vectors to so many dimensions (0 = keep)."
    )
    class_rank: int = Field(0, ge=0, le=4096, description="The same for γ alone (0 = semantic_rank).")
    subdomain_rank: int = Field(0, ge=0, le=4096, description="The same for κ alone (0 = semantic_rank).")
    condition_control: str = Field(
        "none", description="none, shuffled, random, class-only, subdomain-only or unconditional."
    )
    control_seed: int = Field(0, ge=0, description="Which derangement or random table a control takes.")
    translate_noise: float = Field(
        0.5, gt=0, le=1, description="Share of the sampling steps that the translate form runs."
    )
    learned_residual: bool = Field(True, description="Add a learned vector per class and subdomain.")
    condition_drop: float = Field(0.1, ge=0, lt=1, description="Share of steps in which an axis is hidden.")

    @model_validator(mode="before")
    @classmethod
    def _named_size(cls, values: Any) -> Any:
        named = SIZES.get(str(values.get("size"))) if isinstance(values, dict) else None
        return {**values, **named} if named else values

    @model_validator(mode="after")
    def _fits(self) -> GeneratorConfig:
        if self.timestep_sampling != "uniform" and self.prediction_type != "flow":
            raise UserError(
                f"generator.timestep_sampling '{self.timestep_sampling}' is for flows: "
                "use 'uniform', or generator.prediction_type 'flow'."
            )
        return self


class SamplingConfig(Settings):
    """How latents are drawn, how many, and what they count."""

    scheduler: str = Field(
        "dpm-solver++", description="Noise scheduler of diffusers; a flow needs flow-euler."
    )
    num_inference_steps: int = Field(20, ge=1, le=1000, description="Network evaluations a latent.")
    guidance_class: float = Field(
        1.0,
        title="Class guidance",
        ge=0,
        le=20,
        description="1 is as learned; more pushes samples to what is typical of their class.",
    )
    guidance_subdomain: float = Field(
        1.0,
        title="Condition guidance",
        ge=0,
        le=20,
        description="1 is as learned; more pushes samples to what is typical of their subdomain.",
    )
    allocation: str = Field(
        "head-cell", title="Where synthetic latents go", description="How many synthetic latents a cell gets."
    )
    allocation_factor: float = Field(
        1.0,
        gt=0,
        le=100,
        title="How many, times",
        description="Times as many synthetic latents as the allocation says.",
    )
    weight: float = Field(
        0.3,
        title="Weight of a synthetic latent",
        gt=0,
        le=10,
        description="What one synthetic latent counts beside a real one.",
    )
    filter: str = Field("none", description="Which synthetic latents are kept.")
    kept_share: float = Field(0.9, gt=0, le=1, description="Share of each cell that a filter keeps.")
    recipe: str = Field(
        "joint",
        title="When heads see synthetic latents",
        description="joint, synthetic-first, curriculum or real-last.",
    )
    recipe_strength: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The recipe's own number: share of the synthetic or the real phase, or first noise (t₀).",
    )
    conditions: tuple[str, ...] = Field(
        (),
        title="Composed conditions",
        description='Cells drawn as others: "anger in Polish = anger in 0.7 German + 0.3 English".',
    )

    @field_validator("conditions", mode="before")
    @classmethod
    def _one_a_line(cls, given: Any) -> Any:
        return [line for line in given.splitlines() if line.strip()] if isinstance(given, str) else given

    @field_validator("conditions")
    @classmethod
    def _readable(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        compositions.parsed(given)
        return given


class ProjectionConfig(Settings):
    """The map: UMAP fitted on real latents, synthetic ones transformed."""

    n_neighbors: int = Field(
        15, ge=2, le=500, title="Neighbours", description="Few show detail, many the whole."
    )
    min_dist: float = Field(0.5, ge=0, le=1, title="Least distance", description="How close points may lie.")
    metric: Literal["euclidean", "cosine"] = Field(
        "euclidean", title="Metric", description="Of latent space."
    )
    fit_on: int = Field(8_000, ge=10, le=1_000_000, title="Fitted on at most", description="Real latents.")
    pca: int = Field(50, ge=2, le=1000, title="Principal components", description="Kept of latents, at most.")
    seed: int = Field(0, description="The same seed draws the same map.")
