"""The denoiser's loss while it trains: one line a seed, the current one in the accent."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app import charts, words
from app.palette import theme
from gelda.augmenters import AUGMENTERS


def of_run(frame: pd.DataFrame, seeds: int) -> str:
    """What is blue and what is grey in the losses of a run."""
    number = frame["stage"].nunique()
    of = f"seed {number} of {seeds}" if seeds > 1 else "one seed"
    return f"Blue: {of}. Grey: the seeds before it." if number > 1 else f"{of.capitalize()}."


def of_comparison(stage: str) -> str:
    """The same of a comparison: its stage "generate/select/gelda/fold1/seed0" goes on."""
    _, part, arm, fold, seed = stage.split("/")
    title = AUGMENTERS[arm].title if arm in AUGMENTERS else arm
    why = ", to choose its setting" if part == "select" else ""
    of = f"seed {int(seed.removeprefix('seed')) + 1}, fold {int(fold.removeprefix('fold')) + 1}{why}"
    return f"Blue: {title}, {of}. Grey: the generators before it."


def losses(frame: pd.DataFrame, theme_name: str | None, steps: int, note: str) -> go.Figure:
    """Columns stage, step, loss (`gelda.curves.losses`), the stage that goes on now last."""
    look = theme(theme_name)
    stages = list(dict.fromkeys(frame["stage"]))
    data = []
    for stage in stages:
        part, current = frame[frame["stage"] == stage], stage == stages[-1]
        seed = stage.rpartition("seed")[2]
        data.append(
            dict(
                type="scatter", mode="lines" if len(part) > 1 else "markers", x=part["step"], y=part["loss"],
                line=dict(color=look.accent if current else look.quiet, width=2.4 if current else 1.2),
                marker=dict(color=look.accent if current else look.quiet, size=6),
                hovertemplate=f"seed {seed}, step %{{x}}: loss %{{y:.3f}}<extra></extra>",
            )
        )  # fmt: skip
    last = frame[frame["stage"] == stages[-1]]
    first, now = last["loss"].iloc[0], last["loss"].iloc[-1]
    layout = dict(
        xaxis=dict(title_text="training step of the denoiser", range=[0, steps], showgrid=False),
        yaxis=dict(title_text="loss", rangemode="tozero", nticks=5),
        annotations=[dict(x=last["step"].iloc[-1], y=now, text=words.number(now, 3), showarrow=False,
                          xanchor="left", yanchor="bottom", xshift=6, font=dict(color=look.accent, size=13))],
    )  # fmt: skip
    figure = go.Figure(dict(data=data, layout=layout))
    fallen = (
        f"The denoiser’s loss fell from {words.number(first, 2)} to {words.number(now, 2)}"
        if now < first
        else f"The denoiser’s loss is {words.number(now, 2)}"
    )
    return charts.finish(figure, look, fallen, 300, note).update_layout(margin=dict(t=76, r=56))
