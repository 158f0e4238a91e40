"""Paired differences of methods with intervals, one panel a metric, and what they say in a title."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app import charts, words
from app.palette import theme


def forest(
    frame: pd.DataFrame, theme_name: str | None, reference: str = "logit adjustment", enough: bool = True
) -> go.Figure:
    """Paired differences with 95 % intervals, one panel a metric, one row a method.

    Columns: metric, method, title, mean, low, high. Filled where the interval excludes zero, open elsewhere,
    and everywhere where there are not `enough` seeds and test groups to tell.
    """
    look = theme(theme_name)
    metrics = list(dict.fromkeys(frame["metric"]))
    titles = list(dict.fromkeys(frame["title"]))
    width, gap = 1 / len(metrics), 0.035
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": []}
    # Plain dicts, checked once: adding shapes and notes one by one costs plotly half a second.
    for number, metric in enumerate(metrics):
        part = frame[frame["metric"] == metric]
        suffix = "" if number == 0 else str(number + 1)
        for own, colour in ((False, look.ink), (True, look.accent)):
            rows = part[(part["method"] == "gelda") == own]
            sure = enough & ((rows["low"] > 0) | (rows["high"] < 0))
            data.append(
                dict(
                    type="scatter", mode="markers", x=rows["mean"], y=rows["title"],
                    xaxis=f"x{suffix}", yaxis=f"y{suffix}",
                    error_x=dict(type="data", symmetric=False, array=rows["high"] - rows["mean"],
                                 arrayminus=rows["mean"] - rows["low"], color=colour, thickness=1.6, width=0),
                    marker=dict(size=9, color=list(np.where(sure, colour, look.paper)), opacity=1,
                                line=dict(color=colour, width=1.6)),
                    customdata=words.hovered(rows), hovertemplate="%{y}: %{customdata}<extra></extra>",
                )
            )  # fmt: skip
        start = number * width + gap / 2
        layout[f"xaxis{suffix}"] = dict(
            domain=[start, start + width - gap], anchor=f"y{suffix}", title_text=f"points to {reference}",
            range=charts.bounds(part), zeroline=True,
        )  # fmt: skip
        layout[f"yaxis{suffix}"] = dict(
            anchor=f"x{suffix}", categoryorder="array", categoryarray=titles[::-1], showgrid=False,
            range=[-0.6, len(titles) - 0.4], showticklabels=number == 0, ticklabelstandoff=10,
            tickfont=dict(color=look.ink),
        )  # fmt: skip
        layout["annotations"].append(
            dict(
                text=words.METRICS.get(metric, metric), x=start + (width - gap) / 2, y=1, xref="paper",
                yref="paper", yanchor="bottom", yshift=6, showarrow=False, font=dict(size=14, color=look.ink),
            )
        )  # fmt: skip
    figure = go.Figure(dict(data=data, layout=layout))
    own = frame[frame["method"] == "gelda"]
    open_dots = "inside the noise" if enough else "too few seeds or test groups to tell"
    note = f"Dot: mean over seeds. Line: 95 % interval. Open dots: {open_dots}."
    said = title(own, reference) if enough else f"GeLDA beside {reference}"
    charts.finish(figure, look, said, 128 + 34 * len(titles), note)
    return figure.update_layout(margin=dict(t=98))


def title(own: pd.DataFrame, reference: str) -> str:
    """What the rows of one method say: where it is ahead or behind, and where nothing can be told."""
    said: dict[str, list[str]] = {"ahead": [], "behind": [], "inside the noise": []}
    for row in own.to_dict("records"):
        name = {"tail": "the rare classes", "unseen": "cells never seen", "overall": "all items"}.get(
            row["metric"]
        )
        pair = {"mean": row["mean"], "ci95": [row["low"], row["high"]]}
        said[words.verdict(pair)].append(name or words.METRICS.get(row["metric"], row["metric"]))
    parts = []
    if said["ahead"]:
        parts.append(f"ahead of {reference} on {words.listed(said['ahead'])}")
    if said["behind"]:
        parts.append(f"behind {reference} on {words.listed(said['behind'])}")
    if said["inside the noise"]:
        parts.append(f"inside the noise on {words.listed(said['inside the noise'])}")
    return f"GeLDA is {', '.join(parts)}" if parts else f"Paired differences to {reference}"
