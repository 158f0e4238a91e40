"""What a finished run leaves for the explorer: points, their latents per layer, their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gelda import columns
from gelda.artifacts import FORMAT, write_json, write_table, write_tensors
from gelda.augmenters.base import Synthetic
from gelda.experiment import Adapted, Experiment
from gelda.latents import Standardizer
from gelda.neighbours import find_neighbours
from gelda.projection import LayerInfo
from gelda.spaces import Space

Layer = tuple[str, str, torch.Tensor, bool]  # name, title, latents [n, D], is it the generation layer?
# z^(l) [N, D] and subdomains [N] -> class probabilities [N, C] of the head that points are scored by
Score = Callable[[torch.Tensor, torch.Tensor], NDArray[np.floating]]


def write_run(
    run: Path,
    experiment: Experiment,
    adapted: Adapted,
    synthetic: Synthetic | None,
    kept: torch.Tensor | None,
    score: Score,
    scored_by: str,
    key: str,
) -> None:
    """Write the points of one seed of `gelda run`: train and dev, then GeLDA's synthetic latents.

    scored_by: the method whose head `score` asks; test items are no points, so none of them is scored.
    """
    cut = adapted.cut
    train = cut.rows("train")
    rows = np.concatenate([train, cut.rows("dev")])
    real = experiment.manifest.table.iloc[rows].assign(split=cut.split[rows])
    made = [] if synthetic is None or kept is None else [("gelda", synthetic, kept.numpy())]
    generated_at = torch.cat([experiment.at_layer(adapted, rows), *(s.latents for _, s, _ in made)])
    space = Space(experiment.layer, adapted.standardizer, adapted.adapter, adapted.scale)
    encoder = ((name, experiment.z(name, adapted.bank)) for name in experiment.latents)
    layers = layer_stack(encoder, adapted.fm_layer, space, train, rows, generated_at)
    points = point_table(real, made)
    said = score(generated_at, torch.tensor(points["subdomain"].to_numpy(np.int64)))
    points = points.assign(**head_scores(said, points["label"].to_numpy()))
    write_points(run, points, layers, generated_at, key, scored_by)


def head_scores(
    probability: NDArray[np.floating], label: NDArray[np.integer]
) -> dict[str, NDArray[np.generic]]:
    """What a head says of points, from its probabilities [N, C] and their true classes [N].

    predicted: class id, −1 where a row of `probability` is NaN (not scored); confidence: the probability of
    the predicted class; loss: −log of the true class's probability. Both NaN where not scored.
    """
    scored = np.isfinite(probability).all(1)
    known = np.where(scored[:, None], probability, 1.0)
    own = known[np.arange(len(label)), label].clip(1e-12)
    return {
        "predicted": np.where(scored, known.argmax(1), -1).astype(np.int32),
        "confidence": np.where(scored, known.max(1), np.nan).astype(np.float32),
        "loss": np.where(scored, -np.log(own), np.nan).astype(np.float32),
    }


def memorisation(points: pd.DataFrame, distance: NDArray[np.floating]) -> NDArray[np.float32]:
    """Distance to the nearest real training latent in units of its class's usual one, [N].

    distance [N]: to the nearest real training latent (another one, for a training item itself). The unit is
    the median of that over the class's training items: near 0 is a copy, 1 as far as real ones are from one
    another. NaN for test items and where a class has no training item.
    """
    train = (points["split"] == "train").to_numpy()
    usual = pd.Series(distance[train]).groupby(points["label"].to_numpy()[train]).median()
    unit = points["label"].map(usual).to_numpy(np.float64)
    ratio = np.divide(distance, unit, out=np.full(len(points), np.nan), where=unit > 0)
    return np.where((points["split"] == "test").to_numpy(), np.nan, ratio).astype(np.float32)


def point_table(real: pd.DataFrame, made: Sequence[tuple[str, Synthetic, NDArray[np.bool_]]]) -> pd.DataFrame:
    """The points of a run: real rows (a manifest's columns and `split`) first, then synthetic latents.

    Synthetic latents have nothing in further columns.

    made: (method, its synthetic latents, which of them its filter kept [M]).
    """
    known = ["id", "uri", "label", "subdomain", "group", "split"]
    table = real[known].assign(origin="real", method="", kept=True)
    table = table.join(real[columns.own(real)])
    parts = [table]
    for method, synthetic, kept in made:
        parts.append(
            pd.DataFrame(
                {
                    "id": [f"{method}-{i:05d}" for i in range(len(synthetic))],
                    "uri": "",
                    "label": synthetic.label.numpy(),
                    "subdomain": synthetic.subdomain.numpy(),
                    "group": "",
                    "split": "",
                    "origin": "synthetic",
                    "method": method,
                    "kept": kept,
                }
            )
        )
    return columns.filled(pd.concat(parts, ignore_index=True)) if len(parts) > 1 else table


def write_points(
    run: Path,
    points: pd.DataFrame,
    layers: Iterable[Layer],
    generated_at: torch.Tensor,
    key: str,
    scored_by: str = "",
) -> None:
    """Write points, their latents [N, D] at the generation layer's neighbours, and latents per layer.

    scored_by: the method whose head the columns of `head_scores` come from; memorisation is added here.
    A layer that synthetic latents do not reach has values for the real points alone; the rest is NaN.
    points.json, which says under which key all of it was made, comes last.
    """
    infos = []
    for name, title, z, here in layers:
        missing = len(points) - len(z)
        padded = torch.cat([z, torch.full((missing, z.shape[1]), float("nan"))])
        write_tensors(run / "points" / f"{name}.safetensors", {"z": padded.half()})
        infos.append(asdict(LayerInfo(name, title, z.shape[1], missing == 0, here)))
    near = find_neighbours(generated_at.numpy(), points)
    write_tensors(run / "neighbours.safetensors", near)
    write_table(
        run / "points.parquet", points.assign(memorisation=memorisation(points, near["distance"][:, 0]))
    )
    write_json(run / "points.json", {"format": FORMAT, "key": key, "layers": infos, "scored_by": scored_by})


def layer_stack(
    encoder: Iterable[tuple[str, torch.Tensor]],
    fm_layer: str,
    space: Space,
    train: NDArray[np.integer],
    rows: NDArray[np.integer],
    generated_at: torch.Tensor,
) -> Iterator[Layer]:
    """Every layer in depth order: the encoder's, then the adapter's where the space has one.

    encoder: (name, raw latents of all items); train: rows that standardise a layer; rows: the real points;
    generated_at [N, D]: standardised z^(l) of the real points, then of the synthetic ones. An adapter's
    layers are standardised on all that is drawn in them of the training split, as they have no raw scale.
    """
    at, adapter, first = space.layer, space.adapter, None
    for name, raw in encoder:
        if name == fm_layer:
            first = raw
        here = name == fm_layer and at == 0
        z = generated_at if here else Standardizer.fit(raw[train]).apply(raw[rows])
        yield name, f"Encoder {name}", z, here
    if adapter is None or first is None:
        return
    device = adapter.weights[0].device
    shown = torch.from_numpy(np.isin(rows, train))
    for i in range(1, adapter.layers + 1):
        if i == at:  # standardised already, on all training rows, drawn or not
            yield f"adapter.{i}", f"Adapter layer {i}", generated_at, True
            continue
        if i > at:
            z = adapter.run(space.restore(generated_at).to(device), at, i)[0].cpu()
        else:
            z = adapter.run(space.base.apply(first[rows]).to(device), 0, i)[0].cpu()
        yield f"adapter.{i}", f"Adapter layer {i}", Standardizer.fit(z[: len(rows)][shown]).apply(z), False
