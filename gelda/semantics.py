"""SEMANTICS: where the semantic vectors γ (class) and κ (subdomain) come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gelda.errors import UserError, unknown


@dataclass(frozen=True)
class SemanticInputs:
    """What a source may look at: training rows only, and the dataset's attribute tables.

    latents [N, D] standardised training latents; ids [N] of the axis in question (class or
    subdomain); count = number of ids; attributes [count, k] or None.
    """

    latents: torch.Tensor
    ids: torch.Tensor
    count: int
    attributes: torch.Tensor | None


@dataclass(frozen=True)
class SemanticSource:
    """vectors(inputs) -> [count, d]."""

    title: str
    note: str
    vectors: Callable[[SemanticInputs], torch.Tensor]


def _one_hot(inputs: SemanticInputs) -> torch.Tensor:
    return torch.eye(inputs.count)


def _attributes(inputs: SemanticInputs) -> torch.Tensor:
    if inputs.attributes is None:
        raise UserError("This dataset has no attribute table: choose 'one-hot' or 'mean' as semantic source.")
    if len(inputs.attributes) != inputs.count:
        raise UserError(
            f"The attribute table has {len(inputs.attributes)} rows where there are {inputs.count} names."
        )
    return inputs.attributes.float()


def _mean(inputs: SemanticInputs) -> torch.Tensor:
    """Mean training latent of each id; an id without any training row gets the overall mean."""
    overall = inputs.latents.mean(0)
    rows = [inputs.latents[inputs.ids == i] for i in range(inputs.count)]
    return torch.stack([r.mean(0) if len(r) else overall for r in rows])


SEMANTICS: dict[str, SemanticSource] = {
    "one-hot": SemanticSource("One-hot", "No relation between names: the control.", _one_hot),
    "attributes": SemanticSource("Attribute table", "The dataset's own table of properties.", _attributes),
    "mean": SemanticSource("Mean latent", "Prototype of a class, centre of a subdomain.", _mean),
}


def vectors(name: str, inputs: SemanticInputs) -> torch.Tensor:
    """Semantic vectors [count, d] of source `name`."""
    if name not in SEMANTICS:
        raise unknown("semantic source", name, SEMANTICS)
    return SEMANTICS[name].vectors(inputs)
