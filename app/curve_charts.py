"""The denoiser's loss while it trains: one line a seed, the current one in the accent."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app import charts, words
from app.palette import theme


def losses(frame: pd.DataFrame, theme_name: str | None, steps: int, seeds: int) -> go.Figure:
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
    of = f"seed {len(stages)} of {seeds}" if seeds > 1 else "one seed"
    note = f"Blue: {of}. Grey: the seeds before it." if len(stages) > 1 else f"{of.capitalize()}."
    return charts.finish(figure, look, fallen, 300, note).update_layout(margin=dict(t=76, r=56))
