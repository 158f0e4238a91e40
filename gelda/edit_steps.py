"""The steps of a list of edits: what each may say. gelda.edits keeps the lists and applies them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from gelda.artifacts import content_key
from gelda.errors import UserError
from gelda.settings import Settings

KINDS = ("drop", "keep", "weight", "resample", "add")
MOST_MADE = 20_000  # latents that one step may make


class Step(Settings):
    """One edit. `title` is a person's own name for it."""

    title: str = Field("", max_length=200)

    def key(self) -> str:
        """What the step does, whatever it is called."""
        return content_key("step", self.model_dump(mode="json", exclude={"title"}))


class Choosing(Step):
    """A step about synthetic latents: those with these ids, of these classes or of these cells."""

    ids: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    cells: tuple[tuple[str, str], ...] = ()


class Drop(Choosing):
    """Leave synthetic latents out."""

    kind: Literal["drop"] = "drop"


class Keep(Choosing):
    """Use synthetic latents that the filter, or a Drop before, left out, with the weight they had.

    0.6.0 gave them weight 1, and took back what a Resample had replaced; so lists with a Keep have other
    keys now.
    """

    kind: Literal["keep"] = "keep"

    def key(self) -> str:
        return content_key("what was left out", super().key())


class Weight(Choosing):
    """Let synthetic latents count `factor` times what they did; nothing named means all of them."""

    kind: Literal["weight"] = "weight"
    factor: float = Field(gt=0, le=100)


class Sampled(Step):
    """A step that makes latents, with the run's own settings where none is given."""

    cells: tuple[tuple[str, str], ...] = Field(min_length=1)
    guidance_class: float | None = Field(None, ge=0, le=20)
    guidance_subdomain: float | None = Field(None, ge=0, le=20)
    num_inference_steps: int | None = Field(None, ge=1, le=1000)
    seed: int = Field(1, ge=0, description="Counted from the run's own noise, which is 0.")


class Resample(Sampled):
    """Make the cells' synthetic latents anew, as many as there are."""

    kind: Literal["resample"] = "resample"


class Add(Sampled):
    """Make `count` more in each of the cells."""

    kind: Literal["add"] = "add"
    count: int = Field(ge=1, le=MOST_MADE)


AnyStep = Annotated[Drop | Keep | Weight | Resample | Add, Field(discriminator="kind")]
_STEPS: TypeAdapter[tuple[AnyStep, ...]] = TypeAdapter(tuple[AnyStep, ...])


def parsed(steps: Any, where: Path) -> tuple[AnyStep, ...]:
    """The steps that a document lists; what is wrong is one sentence."""
    try:
        return _STEPS.validate_python(steps, strict=False)
    except ValidationError as error:
        raise UserError(f"{where}: {_explained(error)}") from error


def _explained(error: ValidationError) -> str:
    """The first problem of a list of steps as one sentence."""
    first = error.errors()[0]
    path = [part for part in first["loc"] if part not in KINDS]
    where = f"step {path[0] + 1}" if path and isinstance(path[0], int) else "its steps"
    inside = ".".join(str(p) for p in path[1:])
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        kind = first.get("input", {}).get("kind") if isinstance(first.get("input"), dict) else None
        return f"{where} has the kind {kind!r}; it must be one of {', '.join(KINDS)}."
    said = first["msg"].lower()
    return f"{where}{', ' + inside if inside else ''}: {said}."
