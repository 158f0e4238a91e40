"""Data frames in, plotly figures out; one template in light and dark, titles that say the finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app import words
from app.palette import Theme, entries, legible, mixed, theme
from gelda.projection import thinned

BODY = "IBM Plex Sans, Helvetica Neue, Arial, sans-serif"
BINS = 30  # means along a line of gains, at most
SERIF = "Newsreader, Georgia, serif"
PLAIN_LIMIT = 6_000  # points of a map drawn without WebGL2, that is as SVG
GROUPS = {"head": "frequent", "medium": "medium", "tail": "rare"}


def config(name: str, form: str = "svg") -> dict[str, Any]:
    """Mode bar of every chart: one button, a file called `name`; a PNG at three times the screen's points."""
    return {
        "displaylogo": False,
        "modeBarButtons": [["toImage"]],
        "toImageButtonOptions": {
            "format": form,
            "filename": f"gelda-{name}",
            "scale": 3 if form == "png" else 1,
        },
    }


def template(look: Theme) -> go.layout.Template:
    """The one template: serif titles on the left, values on a light grid, no frame.

    The page's colour lies behind it, so that a saved chart can be read on any other.
    """
    axis = dict(
        gridcolor=look.line, linecolor=look.line, zerolinecolor=look.muted, zerolinewidth=1, showline=False,
        ticks="", tickfont=dict(color=look.muted, size=13), automargin=True,
        title=dict(font=dict(size=13, color=look.muted), standoff=10),
    )  # fmt: skip
    layout = go.Layout(
        font=dict(family=BODY, size=13, color=look.ink),
        title=dict(font=dict(family=SERIF, size=19, color=look.ink), x=0, xref="container", xanchor="left",
                   y=1, yref="container", yanchor="top", pad=dict(t=4)),
        paper_bgcolor=look.paper, plot_bgcolor="rgba(0,0,0,0)", colorway=list(look.hues),
        margin=dict(l=8, r=16, t=64, b=8), xaxis=axis, yaxis=axis, showlegend=False,
        hoverlabel=dict(bgcolor=look.paper, bordercolor=look.line,
                        font=dict(family=BODY, color=look.ink, size=13)),
        modebar=dict(bgcolor="rgba(0,0,0,0)", color=look.muted, activecolor=look.accent),
    )  # fmt: skip
    return go.layout.Template(layout=layout)


def bounds(frame: pd.DataFrame) -> list[float]:
    """Ends of an axis of differences (columns low, high): zero is inside, and ±100 points are the most."""
    low, high = min(0.0, frame["low"].min()), max(0.0, frame["high"].max())
    edge = 0.05 * (high - low) or 1.0
    return [max(-100.0, low - edge), min(100.0, high + edge)]


def finish(figure: go.Figure, look: Theme, title: str, height: int, note: str = "") -> go.Figure:
    """Template, title with its quiet second line, and height."""
    subtitle = (
        dict(subtitle=dict(text=note, font=dict(family=BODY, size=13, color=look.muted))) if note else {}
    )
    figure.update_layout(template=template(look), title=dict(text=title, **subtitle), height=height)
    return figure


def gain_by_size(frame: pd.DataFrame, theme_name: str | None, method: str, reference: str) -> go.Figure:
    """Per-class gain in recall against the class's number of training samples (log).

    Columns: seed, class_name, count, group, gain. Dots: one class in one seed; diamonds: means over seeds.
    """
    look = theme(theme_name)
    colours = dict(zip(("head", "medium", "tail"), (look.quiet, look.muted, look.accent), strict=True))
    figure = go.Figure()
    figure.add_hline(y=0, line=dict(color=look.muted, width=1))
    named: dict[str, float] = {}
    for group, colour in colours.items():
        part = frame[frame["group"] == group]
        if part.empty:
            continue
        figure.add_trace(
            go.Scatter(
                x=part["count"], y=part["gain"], mode="markers", name=GROUPS[group],
                marker=dict(size=7, color=colour, opacity=0.45), customdata=part[["class_name", "seed"]],
                hovertemplate="<i>%{customdata[0]}</i>, seed %{customdata[1]}<br>%{x} training samples, "
                              "%{y:+.1f} points<extra></extra>",
            )
        )  # fmt: skip
        named[group] = np.log10(part["count"]).agg(["min", "max"]).mean()
    gap = 0.22 * np.log10(frame["count"].max() / frame["count"].min())  # a name is about so wide
    at = -np.inf
    for group in sorted(named, key=lambda name: named[name]):
        gain, at = frame.loc[frame["group"] == group, "gain"].mean(), max(named[group], at + gap)
        figure.add_annotation(
            x=at, y=1.0, yref="paper", yanchor="bottom", showarrow=False,
            text=f"{GROUPS[group]}: {words.number(gain, signed=True)}",
            font=dict(size=13, color=look.ink if group != "tail" else look.accent),
        )  # fmt: skip
    rank = frame.groupby("seed")["count"].rank(method="first")  # each seed orders the classes anew
    together = -(
        -int(rank.max()) // BINS
    )  # neighbours in size: a line through hundreds of means is a scribble
    means = frame.groupby((rank - 1) // together)[["count", "gain"]].mean()
    figure.add_trace(
        go.Scatter(
            x=means["count"], y=means["gain"], mode="lines+markers", hoverinfo="skip",
            line=dict(color=look.ink, width=1.5), marker=dict(symbol="diamond", size=8, color=look.ink),
        )
    )  # fmt: skip
    ticks = _log_ticks(frame["count"].min(), frame["count"].max())
    figure.update_xaxes(type="log", title_text="training samples of the class (log)", tickvals=ticks,
                        ticktext=[str(t) for t in ticks], showgrid=False)  # fmt: skip
    figure.update_yaxes(title_text=f"gain in recall over {reference}, points")
    tail = frame.loc[frame["group"] == "tail", "gain"].mean()
    rest = frame.loc[frame["group"] != "tail", "gain"].mean()
    title = (
        f"{method} changes recall by {words.number(tail, signed=True)} points in rare classes, "
        f"{words.number(rest, signed=True)} elsewhere"
    )
    every = f" of {together} classes" if together > 1 else ""
    note = f"Pale dots: one class in one seed. Line: mean over seeds{every} by rank of size; no intervals."
    return finish(figure, look, title, 500, note).update_layout(margin=dict(t=104))


def confusion(counts: np.ndarray, names: Sequence[str], title: str, theme_name: str | None,
              reference: np.ndarray | None = None) -> go.Figure:  # fmt: skip
    """Row-normalised confusion in percent; with `reference`, the difference to its rows in points."""
    look = theme(theme_name)
    share = row_percent(counts)
    low, high = look.scale
    scale: list[list[Any]] = [[0, low], [1, high]]
    shown, limit = share, 100.0
    if reference is not None:
        shown = share - row_percent(reference)
        limit = max(1.0, float(np.nanmax(np.abs(shown))))
        scale = [[0, look.diverging[0]], [0.5, look.diverging[1]], [1, look.diverging[2]]]
    signed = reference is not None
    notes = []
    for i, row in enumerate(shown if len(names) <= 24 else []):
        for j, value in enumerate(row):
            if value == value and round(value):
                end = look.diverging[0 if value < 0 else 2] if signed else high
                ground = mixed(look.diverging[1] if signed else low, end, abs(value) / limit)
                font = dict(size=12, color=legible(look, ground))
                text = words.number(value, 0, signed)
                notes.append(dict(x=names[j], y=names[i], text=text, showarrow=False, font=font))
    unit = " points" if signed else " %"
    heat = dict(
        type="heatmap", z=shown, x=list(names), y=list(names), colorscale=scale, zmin=-limit if signed else 0,
        zmax=limit, xgap=1.5, ygap=1.5, showscale=False, hoverongaps=False,
        hovertemplate="true <i>%{y}</i>, said <i>%{x}</i>: %{z:.1f}" + unit + "<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(dict(data=[heat], layout=dict(annotations=notes)))
    figure.update_xaxes(title_text="said", side="bottom", showgrid=False, zeroline=False)
    figure.update_yaxes(title_text="true", autorange="reversed", showgrid=False, zeroline=False)
    note = (
        "Share of each true class, percent"
        if reference is None
        else "Difference in points; the diagonal is recall"
    )
    return finish(figure, look, title, 150 + min(34 * len(names), 900), note)


def confusion_title(counts: np.ndarray, names: Sequence[str], method: str) -> str:
    """The largest confusion in words."""
    share = row_percent(counts)
    np.fill_diagonal(share, -1)
    i, j = np.unravel_index(int(np.nanargmax(share)), share.shape)
    return (
        f"{method} takes <i>{names[i]}</i> for <i>{names[j]}</i> most often ({words.number(share[i, j])} %)"
    )


def row_percent(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, dtype=np.float64)
    total = counts.sum(axis=1, keepdims=True)
    return 100 * np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)


def seconds(frame: pd.DataFrame, theme_name: str | None) -> go.Figure:
    """Where the time went. Columns: title, seconds."""
    look = theme(theme_name)
    figure = go.Figure(
        go.Bar(
            x=frame["seconds"], y=frame["title"], orientation="h", marker_color=look.quiet, width=0.62,
            text=[words.duration(s) for s in frame["seconds"]], textposition="outside", cliponaxis=False,
            hovertemplate="%{y}: %{x:.1f} s<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title_text="seconds", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont=dict(color=look.ink))
    title = f"The run took {words.duration(frame['seconds'].sum())}"
    return finish(figure, look, title, 110 + 30 * len(frame)).update_layout(margin=dict(r=56))


def plain_map(xy: np.ndarray, points: pd.DataFrame, colours: np.ndarray, theme_name: str | None) -> go.Figure:
    """The map without WebGL2: discs for real points, open diamonds for synthetic ones."""
    look = theme(theme_name)
    hues = entries(look)
    synthetic = (points["origin"] == "synthetic").to_numpy()
    figure = go.Figure(
        go.Scatter(
            x=xy[:, 0], y=xy[:, 1], mode="markers", hoverinfo="skip",
            marker=dict(color=[hues[int(c)] for c in colours], size=5, opacity=0.8,
                        symbol=np.where(synthetic, "diamond-open", "circle")),
        )
    )  # fmt: skip
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, scaleanchor="x")
    return finish(figure, look, "", 520).update_layout(margin=dict(t=8), dragmode="lasso")


def stratified(points: pd.DataFrame, rows: np.ndarray, limit: int = PLAIN_LIMIT) -> np.ndarray:
    """At most `limit` of `rows`; small (class, subdomain, origin) cells stay whole, large ones thin out."""
    cells = points.iloc[rows].groupby(["label", "subdomain", "origin"], sort=False).ngroup().to_numpy()
    return rows[thinned(cells, limit, np.random.default_rng(0))]


def _log_ticks(low: float, high: float) -> list[int]:
    every = [m * 10**p for p in range(0, 7) for m in (1, 2, 5)]
    return [t for t in every if low / 1.3 <= t <= high * 1.3]
