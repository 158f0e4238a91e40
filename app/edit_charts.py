"""Figures of the edit panel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app import charts, words
from app.palette import theme

MOST = 24  # classes in the strip; of more, those that changed most


def by_class(classes: list[dict[str, Any]], theme_name: str | None) -> go.Figure:
    """Change of every class's recall with its interval; filled where it is beyond the noise of all."""
    look = theme(theme_name)
    frame = pd.DataFrame(
        {
            "name": [c["name"] for c in classes],
            "mean": [c["mean"] for c in classes],
            "low": [c["ci95"][0] for c in classes],
            "high": [c["ci95"][1] for c in classes],
            "before": [c["before"] for c in classes],
            "after": [c["after"] for c in classes],
            "sure": [c["beyond"] for c in classes],
        }
    )
    total = len(frame)
    if total > MOST:
        frame = frame.loc[frame["mean"].abs().nlargest(MOST).index]
    frame = frame.sort_values("mean", ascending=False)
    sure = frame["sure"]
    colour = np.where(frame["mean"] < 0, look.diverging[0], look.diverging[2])
    whole = frame[["low", "high"]].fillna(0.0)
    figure = go.Figure(
        go.Scatter(
            x=frame["mean"], y=frame["name"], mode="markers", cliponaxis=False,
            error_x=dict(type="data", symmetric=False, array=(frame["high"] - frame["mean"]).fillna(0),
                         arrayminus=(frame["mean"] - frame["low"]).fillna(0), color=look.muted,
                         thickness=1.6, width=0),
            marker=dict(size=9, color=list(np.where(sure, colour, look.paper)), opacity=1,
                        line=dict(color=list(np.where(sure, colour, look.muted)), width=1.6)),
            customdata=frame[["low", "high", "before", "after"]],
            hovertemplate="<i>%{y}</i>: %{x:+.1f} points<br>95 % interval %{customdata[0]:+.1f} to "
                          "%{customdata[1]:+.1f}<br>recall %{customdata[2]:.1f} to %{customdata[3]:.1f} %"
                          "<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title_text="change in recall on dev, points", range=charts.bounds(whole))
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont=dict(color=look.ink))
    figure.add_vline(x=0, line=dict(color=look.muted, width=1))
    note = "Dot: mean over head seeds. Line: 95 % interval. Filled: beyond the noise of all classes at once."
    if total > MOST:
        note += f" The {MOST} of {total} classes that changed most."
    figure = charts.finish(figure, look, class_title(classes), 132 + 25 * len(frame), note)
    return figure.update_layout(margin=dict(t=82))


def class_title(classes: list[dict[str, Any]]) -> str:
    """The largest changes that are not noise."""
    sure = [c for c in classes if c["beyond"]]
    if not sure:
        return "No class changed beyond the noise"
    best, worst = max(sure, key=lambda c: c["mean"]), min(sure, key=lambda c: c["mean"])
    parts = []
    if best["mean"] > 0:
        parts.append(f"{words.safe(best['name'])} gains {words.number(best['mean'])}")
    if worst["mean"] < 0:
        parts.append(f"{words.safe(worst['name'])} loses {words.number(-worst['mean'])}")
    return f"{', '.join(parts)} points of recall"
