"""What a finished run leaves for the explorer: points, their latents per layer, their neighbours."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from gelda.artifacts import FORMAT, write_json, write_table, write_tensors
from gelda.augmenters.base import Synthetic
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
    points: pd.DataFrame,
    layers: list[tuple[str, str, torch.Tensor, bool]],
    generated_at: torch.Tensor,
    key: str,
) -> None:
    """Write points, latents of each layer (name, title, z, generation layer?) and neighbours.

    A layer that synthetic latents do not reach has rows for the real points alone; the rest is NaN.
    """
    infos = []
    for name, title, z, here in layers:
        missing = len(points) - len(z)
        padded = torch.cat([z, torch.full((missing, z.shape[1]), float("nan"))])
        write_tensors(run / "points" / f"{name}.safetensors", {"z": padded.half()})
        infos.append(asdict(LayerInfo(name, title, z.shape[1], missing == 0, here)))
    write_tensors(run / "neighbours.safetensors", find_neighbours(generated_at.numpy(), points))
    write_table(run / "points.parquet", points)
    write_json(run / "points.json", {"format": FORMAT, "key": key, "layers": infos})
