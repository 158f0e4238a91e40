"""What a finished run leaves for the explorer: points, their latents per layer, their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gelda.artifacts import FORMAT, write_json, write_table, write_tensors
from gelda.augmenters.base import Synthetic
from gelda.experiment import Adapted, Experiment
from gelda.latents import Standardizer
from gelda.projection import LayerInfo, find_neighbours


def point_table(
    real: pd.DataFrame, split: NDArray[np.str_], synthetic: Synthetic | None, kept: torch.Tensor | None
) -> pd.DataFrame:
    """The points of a run: real rows of a manifest first, then synthetic latents as rows of the same form."""
    table = real[["id", "uri", "label", "subdomain", "group"]].assign(
        split=split, origin="real", method="", kept=True
    )
    if synthetic is None or kept is None:
        return table
    made = pd.DataFrame(
        {
            "id": [f"gelda-{i:05d}" for i in range(len(synthetic))],
            "uri": "",
            "label": synthetic.label.numpy(),
            "subdomain": synthetic.subdomain.numpy(),
            "group": "",
            "split": "",
            "origin": "synthetic",
            "method": "gelda",
            "kept": kept.numpy(),
        }
    )
    return pd.concat([table, made], ignore_index=True)


def write_points(
    run: Path,
    experiment: Experiment,
    adapted: Adapted,
    synthetic: Synthetic | None,
    kept: torch.Tensor | None,
    key: str,
) -> None:
    """Write one seed's points (train and dev, then synthetic), their latents per layer and neighbours.

    Latents are standardised on the training rows of their layer. A layer that synthetic latents do
    not reach has values for the real points alone; the rest is NaN.
    """
    cut = adapted.cut
    rows = np.concatenate([cut.rows("train"), cut.rows("dev")])
    real = experiment.manifest.table.iloc[rows].reset_index(drop=True)
    points = point_table(real, cut.split[rows], synthetic, kept)
    generated_at = experiment.at_layer(adapted, rows)
    if synthetic is not None:
        generated_at = torch.cat([generated_at, synthetic.latents])
    infos = []
    for name, title, z, here in layer_stacks(experiment, adapted, rows, generated_at):
        missing = len(points) - len(z)
        padded = torch.cat([z, torch.full((missing, z.shape[1]), float("nan"))])
        write_tensors(run / "points" / f"{name}.safetensors", {"z": padded.half()})
        infos.append(asdict(LayerInfo(name, title, z.shape[1], missing == 0, here)))
    write_tensors(run / "neighbours.safetensors", find_neighbours(generated_at.numpy(), points))
    write_table(run / "points.parquet", points)
    write_json(run / "points.json", {"format": FORMAT, "key": key, "layers": infos})


def layer_stacks(
    experiment: Experiment, adapted: Adapted, rows: NDArray[np.integer], generated_at: torch.Tensor
) -> Iterator[tuple[str, str, torch.Tensor, bool]]:
    """(name, title, latents [N, D], is it the generation layer?) of every layer, in depth order."""
    layer, train = experiment.layer, adapted.cut.rows("train")
    adapter, device = adapted.adapter, experiment.device
    for name in experiment.latents:
        raw = experiment.z(name, adapted.bank)
        here = name == adapted.fm_layer and layer == 0
        yield (
            name,
            f"Encoder {name}",
            generated_at if here else Standardizer.fit(raw[train]).apply(raw[rows]),
            here,
        )
    for i in range(1, adapter.layers + 1):
        if i >= layer:
            z = adapter.run(adapted.scale.invert(generated_at).to(device), layer, i)[0].cpu()
        else:
            z0 = adapted.standardizer.apply(experiment.z(adapted.fm_layer, adapted.bank)[rows])
            z = adapter.run(z0.to(device), 0, i)[0].cpu()
        yield f"adapter.{i}", f"Adapter layer {i}", Standardizer.fit(z[: len(train)]).apply(z), i == layer
