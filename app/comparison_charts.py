"""Charts of a comparison: GeLDA minus every other method, one row each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app import charts, words
from app.palette import theme

ROW = 23  # pixels
NO_INTERVAL = "Dot: one seed, or the mean of two. Without an interval nothing is told apart."


def differences(
    frame: pd.DataFrame,
    theme_name: str | None,
    title: str,
    note: str = "",
    ours: str = "GeLDA",
    axis: str = "",
    prefix: str | None = None,
    enough: bool = True,
) -> go.Figure:
    """Paired differences ours − method with 95 % intervals; a heading above each kind where there are kinds.

    Columns: kind, method, title, mean, low, high. Filled where the interval excludes zero. The axis ends at
    ±100 points, which is all a difference can be; an interval that is longer runs out of the plot. `axis` and
    `prefix` are said in place of "right of zero {ours} is ahead" and, before a hovered title, "{ours} − ".
    Without `enough` seeds and test groups nothing is filled.
    """
    look = theme(theme_name)
    heads = list(dict.fromkeys(frame["kind"]))
    labels: list[str] = []
    at: list[int] = []
    for kind in heads:
        if kind:
            labels.append(f"<b>{kind[:1].upper()}{kind[1:]}</b>")
        for name in frame.loc[frame["kind"] == kind, "title"]:
            at.append(len(labels))
            labels.append(name)
    ahead, behind = (enough & (frame["low"] > 0)).to_numpy(), (enough & (frame["high"] < 0)).to_numpy()
    before, data = f"{ours} − " if prefix is None else prefix, []
    for keep, colour, filled in (
        (ahead, look.accent, True),
        (behind, look.diverging[0], True),
        (~ahead & ~behind, look.muted, False),
    ):
        part, y = frame[keep], np.asarray(at)[keep]
        data.append(
            dict(
                type="scatter", mode="markers", x=part["mean"], y=y, cliponaxis=True,
                error_x=dict(type="data", symmetric=False, array=part["high"] - part["mean"],
                             arrayminus=part["mean"] - part["low"], color=colour, thickness=1.5, width=0),
                marker=dict(size=8, color=colour if filled else look.paper, opacity=1,
                            line=dict(color=colour, width=1.5)),
                customdata=np.stack([part["title"], words.hovered(part)], 1),
                hovertemplate=before + "%{customdata[0]}: %{customdata[1]}<extra></extra>",
            )
        )  # fmt: skip
    there = frame.assign(**{end: frame[end].fillna(frame["mean"]) for end in ("low", "high")})
    bounds = charts.bounds(there)
    layout = dict(
        xaxis=dict(title_text=axis or f"points; right of zero {ours} is ahead", range=bounds, zeroline=True),
        yaxis=dict(tickmode="array", tickvals=list(range(len(labels))), ticktext=labels, showgrid=True,
                   range=[len(labels) - 0.4, -0.6], tickfont=dict(color=look.ink), zeroline=False,
                   ticklabelstandoff=8),
    )  # fmt: skip
    figure = go.Figure(dict(data=data, layout=layout))
    if not note:
        sure = frame["low"].notna().any()
        open_dot = "inside the noise" if enough else "too few seeds or test groups to tell"
        note = f"Dot: mean over seeds. Line: 95 % interval. Open: {open_dot}." if sure else NO_INTERVAL
    charts.finish(figure, look, title, 150 + ROW * len(labels), note)
    return figure.update_layout(margin=dict(t=84))
