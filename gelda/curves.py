"""A run's losses while it trains: what `metrics.jsonl` holds, by stage."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

MOST_READ = 4_000_000  # bytes from the end of the file: some 40 000 lines
MOST_POINTS = 300  # of a curve: more cannot be told apart on a screen


def losses(run: Path) -> pd.DataFrame:
    """One row a point: stage ("generate/seed0"), step, loss; stages in the order they were trained.

    A step that was there already begins the curve anew: a resumed run trains again from the start, and a
    search for a setting trains one model after another. A half-written last line is left out.
    """
    file = Path(run) / "metrics.jsonl"
    if not file.is_file():
        return pd.DataFrame(columns=["stage", "step", "loss"])
    with open(file, "rb") as stream:
        start = max(0, file.stat().st_size - MOST_READ)
        stream.seek(start)
        lines = stream.read().split(b"\n")[1 if start else 0 :]
    found: dict[str, dict[int, float]] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            stage, step, loss = str(entry["stage"]), int(entry["step"]), float(entry["loss"])
        except (ValueError, KeyError, TypeError):
            continue
        steps = found[stage] = found.pop(stage, {})  # the stage that goes on now comes last
        if step in steps:
            steps.clear()
        steps[step] = loss
    rows = [(stage, step, loss) for stage, own in found.items() for step, loss in own.items()]
    frame = pd.DataFrame(rows, columns=["stage", "step", "loss"])
    return pd.concat([_thinned(part) for _, part in frame.groupby("stage", sort=False)] or [frame])


def _thinned(part: pd.DataFrame) -> pd.DataFrame:
    """At most MOST_POINTS of a curve, its last one among them."""
    part = part.sort_values("step")
    every = -(-len(part) // MOST_POINTS)
    return part.iloc[::-1].iloc[::every].iloc[::-1]
