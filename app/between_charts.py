"""Latents between two cells: where they fall, what the head says along the way, how far from real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app import charts, words
from app.drawing import Backdrop
from app.palette import Theme, theme

MAP, RIGHT = (0.0, 0.54), (0.62, 0.96)
UPPER, LOWER = (0.46, 1.0), (0.0, 0.24)
NAMED = 5  # classes that have a line of their own
LEAST = 0.08  # mean probability at which a class is worth a line
SURE = 0.5  # mean probability from which the head is said to be sure of a class
LETTER, LINE = 1.8, 7.0  # room that a name takes: percent of the way a letter, and percent of probability


@dataclass(frozen=True)
class Between:
    """Shares [S] of the way, places [S, n, 2], mean probabilities [S, C], and distances to real ones [S, n]
    over the usual one between real ones. ends: the two cells as text; classes: their numbers."""

    shares: np.ndarray
    xy: np.ndarray
    probability: np.ndarray
    far: np.ndarray
    ends: tuple[str, str]
    classes: tuple[int, int]


def finding(between: Between, names: Sequence[str]) -> str:
    """The title: where the head changes its mind, or that it keeps to it."""
    first, second = (words.safe(names[c]) for c in between.classes)
    own = between.probability[:, between.classes[0]]
    other = between.probability[:, between.classes[1]]
    if between.classes[0] == between.classes[1]:
        share, at = 100 * own.min(), 100 * between.shares[own.argmin()]
        return f"On the whole way the head says {first} with at least {share:.0f} % (at {at:.0f} % of it)"
    if max(own.max(), other.max()) < SURE:
        return f"The head is sure of neither {first} nor {second} anywhere on this way"
    after = np.flatnonzero(other > own)
    if not len(after):
        return f"The head never prefers {second} to {first} on this way"
    if after[0] == 0:
        return f"The head prefers {second} to {first} from the start of this way"
    at, ahead = 100 * between.shares[after[0]], between.probability[after[0]].max()
    sure = "" if ahead >= SURE else ", at first sure of neither"
    return f"From {at:.0f} % of the way on, the head prefers {second} to {first}{sure}"


def figure(between: Between, behind: Backdrop, names: Sequence[str], title: str,
           theme_name: str | None) -> go.Figure:  # fmt: skip
    look = theme(theme_name)
    hues = look.accent, look.diverging[0]
    layout: dict[str, Any] = {"annotations": []}
    data = [*_map(between, behind, look, hues, layout), *_said(between, names, look, hues, layout)]
    data += _far(between, look, layout)
    note = (
        f'<span style="color:{hues[0]}">◇</span> {words.safe(between.ends[0])}   to   '
        f'<span style="color:{hues[1]}">◇</span> {words.safe(between.ends[1])}; '
        "a line joins latents of the same noise"
    )
    made = go.Figure(dict(data=data, layout=layout))
    charts.finish(made, look, title, 560, note)
    return made.update_layout(margin=dict(t=108, b=8, r=8))


def _map(between: Between, behind: Backdrop, look: Theme, hues: tuple[str, str],
         layout: dict[str, Any]) -> list[dict[str, Any]]:  # fmt: skip
    low, high = behind.xy.min(0), behind.xy.max(0)
    edge = 0.05 * (high - low)
    hidden = dict(showgrid=False, zeroline=False, showticklabels=False)
    layout["xaxis"] = dict(
        domain=list(MAP), range=[low[0] - edge[0], high[0] + edge[0]], constrain="domain", **hidden
    )
    layout["yaxis"] = dict(  # as long a unit as across: the map's own shape
        range=[low[1] - edge[1], high[1] + 2 * edge[1]], scaleanchor="x", constrain="domain", **hidden
    )
    for name in behind.names:
        layout["annotations"].append(
            dict(
                text=words.safe(name["text"]), x=name["x"], y=name["y"], xref="x", yref="y", showarrow=False,
                yanchor="bottom", yshift=12, font=dict(size=12, color=look.muted),
            )
        )  # fmt: skip
    steps, count = between.xy.shape[:2]
    gap = np.full((count, 1, 2), np.nan, np.float32)
    lines = np.concatenate([between.xy.swapaxes(0, 1), gap], 1).reshape(-1, 2)
    flat, share = between.xy.reshape(-1, 2), np.repeat(between.shares, count)
    backdrop = dict(
        type="scatter", x=behind.xy[:, 0], y=behind.xy[:, 1], mode="markers", hoverinfo="skip",
        marker=dict(size=3, color=look.quiet, opacity=0.4),
    )  # fmt: skip
    paths = dict(
        type="scatter", x=lines[:, 0], y=lines[:, 1], mode="lines", hoverinfo="skip", opacity=0.35,
        line=dict(color=look.muted, width=0.6),
    )  # fmt: skip
    drawn = dict(
        type="scatter", x=flat[:, 0], y=flat[:, 1], mode="markers", customdata=100 * share, opacity=0.9,
        hovertemplate="%{customdata:.0f} % of the way<extra></extra>",
        marker=dict(
            symbol="diamond-open", size=8, color=share, cmin=0, cmax=1, line=dict(width=1.5),
            colorscale=[[0, hues[0]], [1, hues[1]]],
        ),
    )  # fmt: skip
    return [backdrop, paths, drawn]


def _said(between: Between, names: Sequence[str], look: Theme, hues: tuple[str, str],
          layout: dict[str, Any]) -> list[dict[str, Any]]:  # fmt: skip
    """Mean probability of the classes that matter anywhere on the way; the rest together."""
    layout["xaxis2"] = _way_axis("y2", "")
    layout["yaxis2"] = dict(domain=list(UPPER), anchor="x2", range=[0, 102], nticks=5, ticklabelstandoff=5)
    layout["annotations"].append(_heading("The head’s mean probability, percent", UPPER[1], look))
    most = between.probability.max(0)
    ends = list(dict.fromkeys(between.classes))
    others = [int(c) for c in np.argsort(-most, kind="stable") if c not in ends and most[c] >= LEAST]
    shown = [*ends, *others[: NAMED - len(ends)]]
    found, taken = [], []
    for number in shown:
        own = 100 * between.probability[:, number]
        colour = hues[between.classes.index(number)] if number in ends else look.muted
        found.append(_line(between, own, words.safe(names[number]), colour, 2.2 if number in ends else 1.4))
        place = _place(between, names[number], own, taken)
        layout["annotations"].append(_label(between, names[number], place, float(own[place]), look))
    rest = 100 * (1 - between.probability[:, shown].sum(1))
    if rest.max() >= 1:
        found.append(_line(between, rest, "all others", look.quiet, 1.2, "dot"))
        place = _place(between, "all others", rest, taken)
        layout["annotations"].append(_label(between, "all others", place, float(rest[place]), look, True))
    return found


def _line(between: Between, values: np.ndarray, name: str, colour: str, width: float,
          dash: str = "solid") -> dict[str, Any]:  # fmt: skip
    return dict(
        type="scatter", mode="lines", x=100 * between.shares, y=values, name=name, xaxis="x2", yaxis="y2",
        line=dict(color=colour, width=width, dash=dash),
        hovertemplate=f"{name}: %{{y:.0f}} % at %{{x:.0f}} % of the way<extra></extra>",
    )  # fmt: skip


def _place(between: Between, text: str, values: np.ndarray, taken: list[tuple[float, float, float]]) -> int:
    """Where on its line a name stands: as high as it can without covering one of those before, in `taken`."""
    last, wide = len(values) - 1, LETTER * len(text)

    def room(place: int) -> tuple[float, float, float]:
        """Left and right end, and height."""
        x = 100 * between.shares[place]
        left = x if place == 0 else x - wide if place == last else x - wide / 2
        return left, left + wide, float(values[place]) - LINE * (place in (0, last))

    def free(place: int) -> bool:
        left, right, height = room(place)
        return all(right < a or left > b or abs(height - y) >= LINE for a, b, y in taken)

    order = [int(place) for place in np.argsort(-values, kind="stable")]
    place = next((place for place in order if free(place)), order[0])
    taken.append(room(place))
    return place


def _label(between: Between, text: str, place: int, y: float, look: Theme,
           quiet: bool = False) -> dict[str, Any]:  # fmt: skip
    last = len(between.shares) - 1
    anchor = "left" if place == 0 else "right" if place == last else "center"
    inside = 0 < place < last
    return dict(
        text=words.safe(text), x=100 * between.shares[place], y=y, xref="x2", yref="y2", showarrow=False,
        xanchor=anchor, yanchor="bottom" if inside else "top", yshift=1 if inside else -3,
        xshift=4 if anchor == "left" else -4 if anchor == "right" else 0,
        font=dict(size=12, color=look.muted if quiet else look.ink),
    )  # fmt: skip


def _far(between: Between, look: Theme, layout: dict[str, Any]) -> list[dict[str, Any]]:
    """Distance to the nearest real latent: median, with the middle half of the latents."""
    low, middle, high = np.nanquantile(between.far, [0.25, 0.5, 0.75], axis=1)
    layout["xaxis3"] = _way_axis("y3", "percent of the way")
    layout["yaxis3"] = dict(
        domain=list(LOWER),
        anchor="x3",
        nticks=4,
        ticklabelstandoff=5,
        range=[0, float(1.1 * max(1.1, np.nanmax(high)))],
    )
    layout["annotations"].append(_heading("Distance to the nearest real one, usual = 1", LOWER[1], look))
    x = 100 * between.shares
    axes = dict(type="scatter", mode="lines", xaxis="x3", yaxis="y3")
    return [
        dict(
            x=[0, 100], y=[1, 1], line=dict(color=look.muted, width=1, dash="dot"), hoverinfo="skip", **axes
        ),
        dict(x=x, y=low, line=dict(width=0), hoverinfo="skip", **axes),
        dict(
            x=x, y=high, line=dict(width=0), fill="tonexty", fillcolor=_pale(look.ink), hoverinfo="skip",
            **axes,
        ),
        dict(
            x=x, y=middle, line=dict(color=look.ink, width=2),
            hovertemplate="median %{y:.2f} at %{x:.0f} % of the way<extra></extra>", **axes,
        ),
    ]  # fmt: skip


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"


def _way_axis(anchor: str, title: str) -> dict[str, Any]:
    return dict(
        domain=list(RIGHT), anchor=anchor, range=[0, 100], tickvals=[0, 25, 50, 75, 100], showgrid=False,
        title=dict(text=title, standoff=4), showticklabels=bool(title),
    )  # fmt: skip


def _heading(text: str, y: float, look: Theme) -> dict[str, Any]:
    return dict(
        text=text, x=RIGHT[0], y=y, xref="paper", yref="paper", xanchor="left", yanchor="bottom", yshift=6,
        showarrow=False, font=dict(size=13, color=look.ink),
    )  # fmt: skip
