"""The layer probe: how well every layer of a bank separates the classes, as a run.

It reads training items alone where the bank names a split; else all items, those that are tested later, too.
It is the quick look before a comparison; `gelda layers` also asks each layer what synthetic latents do there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda import metrics, runs
from gelda.artifacts import FORMAT, check_format, content_key, read_json, write_json
from gelda.errors import UserError
from gelda.projection import thinned
from gelda.ready import Items, ReadyBank, open_bank
from gelda.recording import Recorder, stages, tracked
from gelda.runs import RunState
from gelda.seeds import numpy_generator

MOST = 2_000  # items that are probed; scarce cells stay whole
STAGES = {"probe": "Probe every layer"}
RESULT = "layers.json"


def run_id(bank: ReadyBank) -> str:
    """The run of a bank's probe, by its content."""
    words = re.sub(r"[^\w.-]+", "-", f"probe-{bank.name}")
    return f"{words[:120]}-{content_key('layer probe', bank.key)[:8]}"


def prepared(path: Path, bank: ReadyBank) -> RunState:
    """The probe's run, new or found again."""
    folder = runs.home() / "runs" / run_id(bank)
    if not folder.is_dir():
        spec = {"bank": str(path.expanduser().resolve())}
        return runs.create_run(spec, f"{bank.name}, layers"[:120], runs.PROBE, folder.name)
    state = runs.read_state(folder)
    if state.status in runs.ALIVE:
        raise UserError(f"The run '{state.id}' is already going.")
    return state


def probed_rows(items: Items) -> tuple[NDArray[np.int64], str]:
    """Row numbers that are probed, and in words which they are: training items where the bank has a split."""
    train = np.flatnonzero(items.split == "train")
    rows, which = (train, "training items") if len(train) else (np.arange(len(items)), "items (no split)")
    cells = items.label[rows] * items.cells[1] + items.subdomain[rows]
    kept = rows[thinned(cells, MOST, numpy_generator(0, "layer probe"))]
    return kept, which if len(kept) == len(rows) else f"{which}, {len(kept)} of {len(rows)}"


def execute(state: RunState, listener: Any = None) -> dict[str, Any]:
    """Probe every layer that is not probed yet; `layers.json` of the run's folder holds the rows."""
    from gelda import device

    device.set_threads()
    state.stages = stages(state, STAGES)
    with Recorder(state, listener) as recorder, tracked(state):
        bank = open_bank(runs.read_spec(state.path)["bank"])
        if run_id(bank) != state.id:
            raise UserError("The bank is not what it was when this probe was started: start it anew.")
        rows, which = probed_rows(bank.items)
        file = state.path / RESULT
        found = read_result(state.path)["layers"] if file.is_file() else {}
        with recorder.stage("probe", len(bank.layers)) as stage:
            for done, (layer, width) in enumerate(bank.layers.items()):
                recorder.advance(stage, done, layer)
                if layer not in found:
                    found[layer] = {"width": width, **_figures(bank, layer, rows)}
                result = {"format": FORMAT, "items": len(rows), "which": which, "layers": found}
                write_json(file, result)
        best = max(found, key=lambda name: found[name]["uar"] or 0.0)
        if found[best]["uar"] is not None:
            uar = 100 * found[best]["uar"]
            state.headline = f"Highest in {best}: {uar:.0f} % balanced accuracy of a linear probe."
    return result


def _figures(bank: ReadyBank, layer: str, rows: NDArray[np.int64]) -> dict[str, float | None]:
    """None where a layer, or the number of items, gives no figure."""
    latents = bank.load(layer)[rows].numpy()
    label = bank.items.label[rows]
    group = np.unique(bank.items.group[rows], return_inverse=True)[1]
    figures = {
        **metrics.separability(latents, label, group),
        "silhouette": metrics.silhouette(latents, label),
    }
    return {name: value if np.isfinite(value) else None for name, value in figures.items()}


def read_result(folder: Path) -> dict[str, Any]:
    """What `execute` wrote so far: items, which, layers {name: width, uar, log_loss, fisher, silhouette}."""
    value = read_json(folder / RESULT)
    check_format(value, folder / RESULT)
    return value
