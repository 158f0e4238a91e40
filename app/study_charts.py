"""Charts of a study: each setting as a line through its levels to its figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from app import charts, words
from app.palette import mixed, theme

SPREAD = 0.5  # of a level's room that its lines share, so that none hides another


def lines(result: dict[str, Any], measure: str, theme_name: str | None) -> go.Figure | None:
    """Parallel coordinates of the settings in a study's design and their mean; None below two factors.

    Drawn as plain lines, which can be saved, hovered and told apart, where plotly's own cannot.
    """
    look = theme(theme_name)
    cells = [c for c in result["cells"] if c["levels"] and c["state"] == "done"]
    factors = list(cells[0]["levels"]) if cells else []
    if len(factors) < 2 or len(cells) < 4:
        return None
    means = np.array([c["figures"][measure]["mean"] for c in cells])
    low, high = float(means.min()), float(means.max())
    share = (means - low) / (high - low) if high > low else np.full(len(means), 0.5)
    places, notes = [], []
    for x, factor in enumerate(factors):
        levels = list(dict.fromkeys(c["levels"][factor] for c in cells))
        at = np.array([levels.index(c["levels"][factor]) for c in cells])
        places.append(_spread(at, share, len(levels)))
        notes += [_label(x, (k + 0.5) / len(levels), level, look, "right") for k, level in enumerate(levels)]
        notes.append(_label(x, 1.03, factor, look))
    places.append(share)
    notes += [_label(len(factors), k, words.number(v), look, "left") for k, v in ((0, low), (1, high))]
    notes.append(_label(len(factors), 1.03, f"{words.METRICS[measure]}, %", look))
    colours = [_shade(look.ramp, s) for s in share]
    data = [
        dict(
            type="scatter", mode="lines+markers", x=list(range(len(places))), y=[p[k] for p in places],
            line=dict(color=colours[k], width=2.2, shape="spline", smoothing=0.6),
            marker=dict(size=6, color=colours[k]), name="",
            hovertemplate=f"{words.safe(cell['title'])}: {words.number(means[k])} %<extra></extra>",
        )
        for k, cell in enumerate(cells)
    ]  # fmt: skip
    rail = dict(showgrid=True, gridcolor=look.muted, tickvals=list(range(len(places))), showticklabels=False)
    layout = dict(
        annotations=notes,
        xaxis=dict(**rail, range=[-0.45, len(factors) + 0.3], zeroline=False),
        yaxis=dict(visible=False, range=[-0.04, 1.12]),
    )
    best = cells[int(means.argmax())]
    title = f"Of {len(cells)} combinations the highest: {words.safe(best['title'])} ({words.number(high)} %)"
    note = "A line is one setting, from its levels to its mean; what can be told apart is above."
    figure = charts.finish(go.Figure(dict(data=data, layout=layout)), look, title, 400, note)
    return figure.update_layout(margin=dict(t=72))


def _spread(at: np.ndarray, share: np.ndarray, levels: int) -> np.ndarray:
    """Heights [cells] of lines at their levels, the first one lowest; side by side in the order of means."""
    place = np.empty(len(at))
    for level in range(levels):
        own = np.flatnonzero(at == level)
        step = np.arange(len(own)) / max(1, len(own) - 1) - 0.5 if len(own) > 1 else np.zeros(1)
        place[own[np.argsort(share[own], kind="stable")]] = (level + 0.5 + SPREAD * step) / levels
    return place


def _shade(ramp: tuple[str, ...], share: float) -> str:
    at = share * (len(ramp) - 1)
    low = min(int(at), len(ramp) - 2)
    return mixed(ramp[low], ramp[low + 1], at - low)


def _label(x: float, y: float, text: str, look: Any, side: str = "center") -> dict[str, Any]:
    """A level beside its rail, or a name above one."""
    return dict(
        x=x, y=y, text=words.safe(text), showarrow=False, xanchor=side, font=dict(size=14, color=look.ink),
        xshift={"left": 12, "right": -12}.get(side, 0), yanchor="bottom" if side == "center" else "middle",
        bgcolor=look.paper, opacity=0.9,
    )  # fmt: skip
