"""CompareConfig: every setting of a comparison, and its presets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from gelda import schedulers
from gelda.config import explain, merged
from gelda.errors import UserError, nearest
from gelda.settings import AdapterConfig, GeneratorConfig, ProjectionConfig, SamplingConfig, Settings

PROTOCOLS = ("longtail", "zero-shot", "few-shot")
# Settings that say nothing under another protocol
FITTING = {
    "imbalance": ("longtail",),
    "cut": ("longtail",),
    "shot_borders": ("longtail",),
    "target": ("zero-shot", "few-shot"),
    "classes": ("zero-shot", "few-shot"),
    "unlabelled": ("zero-shot", "few-shot"),
    "keep": ("zero-shot",),
    "shots": ("few-shot",),
}
# Settings of `gelda run` that a comparison has its own way of choosing, or cannot have on ready latents
UNREAD = {
    "sampling": ("allocation", "allocation_factor", "weight", "filter", "kept_share"),
    "generator": ("adapter_layer",),
    "adapter": ("validation_folds", "low_rank", "low_rank_steps", "low_rank_learning_rate"),
}


class CompareConfig(Settings):
    """A comparison of all methods on one bank of ready latents (`gelda compare`)."""

    name: str = Field("comparison", max_length=120)
    bank: str = Field(description="Latents as .npz, .safetensors or .parquet, or a bank folder.")
    protocol: Literal["longtail", "zero-shot", "few-shot"] = "longtail"
    imbalance: float = Field(
        100.0, ge=1, le=10_000, description="Items of the largest class to one of the smallest."
    )
    cut: Literal["class", "cell", "given"] = Field(
        "class",
        title="Long tail over",
        description="What the long tail is cut over; given: the data's own split is long-tailed.",
    )
    shot_borders: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = Field(
        (20, 100),
        title="Borders of few and many",
        description="Few-shot: fewer items than the first; many-shot: more than the second (longtail of 50 "
        "classes and more). OLTR's ≤ 20 and ≥ 100 are [21, 99].",
    )
    target: str = Field(
        "", title="Scarce subdomain", description="Where items are few; all others have theirs."
    )
    keep: str = Field("", title="The class it keeps", description="The only class that it has items of.")
    shots: int = Field(
        5,
        ge=1,
        le=1000,
        title="Items a class in it",
        description="Training items that it has of every class.",
    )
    classes: tuple[str, ...] = Field((), description="Compared classes; empty = those in every subdomain.")
    unlabelled: bool = Field(
        False,
        title="Its unlabelled latents too",
        description="Methods may read its training latents, without their labels (transductive).",
    )
    rotations: int = Field(2, ge=2, le=100, description="Folds over the target's groups, each tested once.")
    methods: tuple[str, ...] = Field((), description="Arms; empty = all.")
    seeds: int = Field(5, ge=1, le=100, description="Repetitions over cut, generator and head.")
    first_seed: int = Field(0, ge=0, description="Seeds are numbered from here.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:0 … or mps.")
    precision: str = Field("auto", description="auto, fp32 or bf16.")
    loss: Literal["logit-adjustment", "ce"] = Field(
        "logit-adjustment", description="The loss of arms that name none; the other is shown beside it."
    )
    taus: tuple[Annotated[float, Field(ge=0, le=10)], ...] = Field(
        (0.5, 0.75, 1.0, 1.25, 1.5, 2.0),
        min_length=1,
        max_length=6,
        description="Tried τ, as many as any method has settings.",
    )
    validation_folds: int = Field(3, ge=2, le=10, description="Folds inside the training cut.")
    selection_seeds: int = Field(
        2,
        ge=1,
        le=100,
        description="Transfer and given cut: seeds whose validation makes the choice of all seeds.",
    )
    most_synthetic: int = Field(600, ge=1, le=1_000_000, description="Synthetic latents a cell gets at most.")
    adapter: AdapterConfig = AdapterConfig()
    adapter_layer: Annotated[int, Field(ge=0, le=8)] | Literal["auto"] = Field(
        0, description="Layer l: latents are generated at z^(l); auto chooses by validation."
    )
    generator: GeneratorConfig = GeneratorConfig(
        class_semantics="auto",
        subdomain_semantics="auto",
        class_rank=4,
        subdomain_rank=3,
        learned_residual=False,  # the shuffled control then differs in nothing but the derangement
        class_balance=0.5,
    )
    sampling: SamplingConfig = SamplingConfig(num_inference_steps=15)
    map: bool = Field(True, description="Draw the first map at the end; without it Explore offers to.")
    projection: ProjectionConfig = ProjectionConfig()

    @property
    def one_choice(self) -> bool:
        """Whether all seeds share what validation chooses: where they train on the same items, or nearly."""
        return self.protocol != "longtail" or self.cut == "given"

    @field_validator("methods", "classes", "taus")
    @classmethod
    def _each_once(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("something is named twice")
        return values

    @field_validator("shot_borders")
    @classmethod
    def _in_order(cls, borders: tuple[int, int]) -> tuple[int, int]:
        if borders[0] > borders[1]:
            raise ValueError("the first border (few) must not lie above the second (many)")
        return borders

    @model_validator(mode="after")
    def _scheduler_fits(self) -> CompareConfig:
        schedulers.check(self.sampling.scheduler, self.generator.prediction_type, "sampling.scheduler")
        return self


COMPARE_PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # `gelda demo speech`: six comparisons in about three minutes, so few trials and small networks.
    "speech": {
        "seeds": 3,
        "taus": (1.0,),
        "selection_seeds": 1,
        "adapter": {"steps": 100, "tune_steps": 100},
        "generator": {"form": "plain", "width": 128, "steps": 200, "batch_size": 64},
        "sampling": {"num_inference_steps": 10},
    },
    # Every stage at its smallest: for tests and for a first look.
    "tiny": {
        "seeds": 2,
        "taus": (1.0, 1.5),
        "validation_folds": 2,
        "selection_seeds": 1,
        "most_synthetic": 20,
        "map": False,
        "adapter": {"steps": 20, "tune_steps": 20, "batch_size": 32, "hidden": [16]},
        "generator": {"steps": 20, "batch_size": 32, "width": 16, "depth": 1, "condition_dim": 8},
        "sampling": {"num_inference_steps": 10},
    },
}


def resolve_compare(values: dict[str, Any], preset: str = "default") -> CompareConfig:
    """A validated CompareConfig from a preset and given settings; an unknown key names the nearest one."""
    if preset not in COMPARE_PRESETS:
        raise UserError(f"There is no preset called '{preset}'.{nearest(preset, COMPARE_PRESETS)}")
    defaults = {"generator": CompareConfig.model_fields["generator"].default.model_dump()}
    try:
        return CompareConfig.model_validate(merged(merged(defaults, COMPARE_PRESETS[preset]), values))
    except ValidationError as error:
        raise UserError(explain(error, CompareConfig)) from error
