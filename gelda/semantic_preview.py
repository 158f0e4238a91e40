"""What semantic vectors say before they are used: how alike the names are, by any source."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch

from gelda.errors import UserError, unknown
from gelda.latents import Standardizer
from gelda.ready import ReadyBank
from gelda.semantics import SemanticInputs, check, resolve, similarity, vectors

AXES = ("class", "subdomain")


def of_names(names: Sequence[str], axis: str = "class", template: str = "{}") -> SemanticInputs:
    """What a source may see of names alone."""
    if len(set(names)) < max(len(names), 2):
        raise UserError("A similarity needs two names or more, each once.")
    return SemanticInputs(
        torch.zeros(0, 1),
        torch.zeros(0, dtype=torch.int64),
        len(names),
        names=tuple(names),
        axis=_axis(axis),
        template=template,
    )


def of_bank(bank: ReadyBank, axis: str = "class", layer: str = "", template: str = "{}") -> SemanticInputs:
    """What a source may see of a bank: its names, its vectors, and latents of a layer (the last where none is
    named), standardised, without the items of its test split."""
    layer = layer or list(bank.layers)[-1]
    if layer not in bank.layers:
        raise unknown("layer", layer, bank.layers)
    items, classes = bank.items, _axis(axis) == "class"
    rows = torch.from_numpy(items.split != "test")
    latents = bank.load(layer)[rows]
    ids = torch.from_numpy(items.label if classes else items.subdomain)[rows]
    names = items.class_names if classes else items.subdomain_names
    return SemanticInputs(
        Standardizer.fit(latents).apply(latents),
        ids,
        len(names),
        names=names,
        axis=axis,
        given=bank.class_semantics if classes else bank.subdomain_semantics,
        template=template,
    )


def preview(name: str, inputs: SemanticInputs) -> tuple[str, pd.DataFrame]:
    """The source that `name` stands for, and the similarity [n, n] of what it gives for these names."""
    check(name, inputs.axis, inputs.names, inputs.template)
    return resolve(name, inputs), similarity(vectors(name, inputs), inputs.known_names())


def _axis(axis: str) -> str:
    if axis not in AXES:
        raise unknown("axis", axis, AXES)
    return axis
