"""RunConfig: every setting of a run, its presets, and what is said of a setting that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from gelda import schedulers
from gelda.errors import UserError, nearest
from gelda.settings import (
    AdapterConfig,
    DataConfig,
    EncoderConfig,
    GeneratorConfig,
    ProjectionConfig,
    SamplingConfig,
    Settings,
)

DIGITS_METHODS = (
    "ce",
    "logit-adjustment",
    "oversampling",
    "smote",
    "residual-transfer",
    "gelda-paper",
    "gelda",
)


class RunConfig(Settings):
    """A whole run; its JSON is `spec.json`."""

    name: str = Field("digits demo", max_length=120, description="What the run is called in lists.")
    seeds: int = Field(
        5, title="Seeds", ge=1, le=100, description="Repetitions over split, generator and head."
    )
    first_seed: int = Field(0, ge=0, description="Seeds are numbered from here.")
    methods: tuple[str, ...] = Field(DIGITS_METHODS, min_length=1, description="Arms of the comparison.")
    device: str = Field("auto", title="Device", description="auto, cpu, cuda, cuda:0 … or mps.")
    precision: str = Field("auto", title="Precision", description="auto, fp32 or bf16.")
    data: DataConfig = DataConfig()
    encoder: EncoderConfig = EncoderConfig()
    adapter: AdapterConfig = AdapterConfig()
    generator: GeneratorConfig = GeneratorConfig()
    sampling: SamplingConfig = SamplingConfig()
    paper_sampling: SamplingConfig = SamplingConfig(guidance_class=1.5, guidance_subdomain=1.5, weight=1.0)
    projection: ProjectionConfig = ProjectionConfig()

    @field_validator("methods")
    @classmethod
    def _each_once(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(methods)) < len(methods):
            raise ValueError("a method is named twice")
        return methods

    @model_validator(mode="after")
    def _schedulers_fit(self) -> RunConfig:
        for where, sampling in (("sampling", self.sampling), ("paper_sampling", self.paper_sampling)):
            schedulers.check(sampling.scheduler, self.generator.prediction_type, f"{where}.scheduler")
        return self


PRESETS: dict[str, dict[str, Any]] = {
    "digits": {},
    # Every stage at its smallest: for tests and for a first look at a slow machine.
    "tiny": {
        "name": "digits demo, tiny",
        "seeds": 2,
        "adapter": {"steps": 30, "tune_steps": 30, "batch_size": 64, "fm_layer": "auto"},
        "generator": {"steps": 40, "batch_size": 64, "width": 32, "depth": 1},
        "sampling": {"num_inference_steps": 10},
        "paper_sampling": {
            "num_inference_steps": 10,
            "guidance_class": 1.5,
            "guidance_subdomain": 1.5,
            "weight": 1.0,
        },
        "projection": {"fit_on": 300},
    },
}


def resolve_config(
    values: dict[str, Any] | None = None, preset: str = "digits", **overrides: Any
) -> RunConfig:
    """A validated RunConfig from a preset, a spec and overrides; an unknown key names the nearest one."""
    if preset not in PRESETS:
        raise UserError(f"There is no preset called '{preset}'.{nearest(preset, PRESETS)}")
    given = merged(merged(PRESETS[preset], values or {}), overrides)
    try:
        return RunConfig.model_validate(given)
    except ValidationError as error:
        raise UserError(explain(error, RunConfig)) from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a validation error as one sentence: where, what, what to do."""
    first = error.errors()[0]
    # a setting of several types names them after itself ("adapter_layer", "constrained-int"): left out
    types = () if first["type"] == "extra_forbidden" else ("constrained-int", "int", "float", "str")
    path = [str(part) for part in first["loc"] if part not in types]
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for part in path[:-1]:
            owner = owner.model_fields[part].annotation
        return f"There is no setting called '{where}'.{nearest(path[-1], owner.model_fields)}"
    wanted = {"model_type": "it is a group of settings", "tuple_type": "it must be a list"}
    said = wanted.get(first["type"], first["msg"].lower().removeprefix("value error, "))
    return f"The setting '{where}' is {first.get('input')!r}: {said}."


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Nested settings with others laid over them; neither is changed."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
