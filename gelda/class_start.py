"""Fresh adapters and heads, and where their classes' weights start: at random, or at what γ predicts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gelda import semantics
from gelda.adapter import Adapter, HeadData
from gelda.errors import UserError
from gelda.semantics import SemanticInputs

RANDOM = "random"
TEXT = "text"  # by itself: the text vectors that ship with GeLDA


def source(setting: str) -> str:
    """The semantic source that a setting names; `text` without a model's folder is the shipped vectors."""
    return "shipped" if setting == TEXT else setting


def reads(setting: str, template: str) -> list[str]:
    """What class vectors depend on beside their setting, for content keys; nothing for a random start."""
    if setting == RANDOM:
        return []
    return [semantics.fingerprint(text) for text in (source(setting), template)]


def vectors(setting: str, inputs: SemanticInputs) -> torch.Tensor | None:
    """Class vectors γ [C, d] of a setting; None for a random start."""
    return None if setting == RANDOM else semantics.vectors(source(setting), inputs)


def check(setting: str, inputs: SemanticInputs) -> None:
    """Refuse a start whose vectors cannot be had, before anything is trained; `inputs` holds any latents."""
    if setting == RANDOM:
        return
    try:
        semantics.check(source(setting), "class", inputs.names, inputs.template)
        kernel(semantics.vectors(source(setting), inputs))
    except UserError as error:
        own = str(error).replace(f"{inputs.flag} FILE", "adapter.class_start file:PATH")
        raise UserError(f"adapter.class_start '{setting}': {own}") from error


def kernel(table: torch.Tensor) -> torch.Tensor:
    """Inner products fp64 [C, C] of centred class vectors [C, d] of mean square length 1."""
    centred = table.double() - table.double().mean(0)
    size = centred.square().sum(1).mean()
    if size < 1e-12:
        raise UserError("These class vectors are all alike and tell no class apart.")
    return centred @ centred.T / size


def predicted_prototypes(features: torch.Tensor, label: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Unit vectors [C, D]: class means of features [N, D] as ridge regression from γ [C, d] predicts them.

    LIFT (arXiv 2309.10019) starts a cosine classifier at CLIP's text features of the class names, which
    CLIP's own projection takes into the space of its image features. A frozen encoder and a text model
    otherwise share no space, and a small adapter's first hidden features have no meaning of their own: so the
    map is estimated on the training rows. With K = γγᵀ (centred) and M the class means of the features less
    their mean over classes, the prototypes are K(K + diag(1/n))⁻¹M, scaled to length 1, which is also the
    expected length of a random start: a class of many rows keeps its own mean, a scarce one leans on the
    classes that γ has beside it, one without rows is predicted from them alone. It draws nothing.
    """
    k, label = kernel(table), label.cpu()
    n = torch.bincount(label, minlength=len(table)).double()
    sums = torch.zeros(len(table), features.shape[1], dtype=torch.float64)
    sums.index_add_(0, label, features.double().cpu())
    there = n > 0
    means = sums[there] / n[there, None]
    weight = torch.linalg.solve(k[there][:, there] + torch.diag(1 / n[there]), means - means.mean(0))
    return torch.nn.functional.normalize(k[:, there] @ weight, dim=1).float()


def fresh(
    data: Sequence[HeadData], widths: Sequence[int], classes: int, seed: int, head: str = "linear"
) -> Adapter:
    """Untrained copies, one a HeadData (of z^(0)), with the same hidden layers.

    A last layer whose data has class vectors starts at `predicted_prototypes` of its real rows, whatever they
    weigh; it is random else.
    """
    adapter = Adapter(widths, classes, len(data), seed, head)
    one = Adapter(widths, classes, 1, seed, head)
    for k, d in enumerate(data):
        if d.class_vectors is None:
            continue
        real = torch.ones_like(d.label, dtype=torch.bool) if d.level is None else d.level == 0
        features = one.activate(one.run(d.latents[real].cpu(), 0, one.layers), one.layers)[0]
        with torch.no_grad():
            adapter.weights[-1][k] = predicted_prototypes(features, d.label[real], d.class_vectors).T
    return adapter
