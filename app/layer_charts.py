"""Layers as figures: how well each separates the classes, in depth order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app import words
from app.charts import finish
from app.palette import theme

SPREAD = 0.1  # of silhouettes that are shown at least
NAMED = 16  # layers whose names all stand below the axis


def separability(result: Mapping[str, Any], classes: int, theme_name: str | None) -> go.Figure:
    """Two panels over the layers of a probe's result: balanced accuracy and silhouette."""
    look = theme(theme_name)
    names = list(result["layers"])
    figures = list(result["layers"].values())
    uar = [None if f["uar"] is None else 100 * f["uar"] for f in figures]
    alike = as_good(result)
    data: list[dict[str, Any]] = []
    width, gap = 0.5, 0.09
    panels = (("uar", uar, 0, " %"), ("silhouette", [f["silhouette"] for f in figures], 2, ""))
    layout: dict[str, Any] = {"annotations": []}
    for number, (key, values, digits, unit) in enumerate(panels):
        suffix = "" if number == 0 else "2"
        best = _best(values)
        filled = [look.accent if key == "uar" and name in alike else look.paper for name in names]
        data.append(
            dict(
                type="scatter", mode="lines+markers+text", x=list(range(len(names))), y=values,
                xaxis=f"x{suffix}", yaxis=f"y{suffix}", line=dict(color=look.accent, width=1.8),
                marker=dict(size=9, color=filled, line=dict(color=look.accent, width=1.8)),
                text=[words.number(v, digits) + unit if i == best else "" for i, v in enumerate(values)],
                textposition="top center", textfont=dict(color=look.ink, size=14), cliponaxis=False,
                customdata=names, hovertemplate=f"%{{customdata}}: %{{y:.{digits}f}}{unit}<extra></extra>",
            )
        )  # fmt: skip
        start = number * width + (gap / 2 if number else 0)
        layout[f"xaxis{suffix}"] = dict(
            domain=[start, start + width - gap / 2], anchor=f"y{suffix}", tickvals=list(range(len(names))),
            ticktext=[n if len(names) <= NAMED or i % 2 == 0 else "" for i, n in enumerate(names)],
            range=[-0.35, len(names) - 0.65], showgrid=False, tickfont=dict(color=look.ink), zeroline=False,
        )  # fmt: skip
        layout[f"yaxis{suffix}"] = dict(anchor=f"x{suffix}", zeroline=False, nticks=6)
        if key == "silhouette":  # differences of a few hundredths must not look like cliffs
            known = [v for v in values if v is not None]
            layout[f"yaxis{suffix}"]["range"] = [min([-SPREAD, *known]) - 0.02, max([SPREAD, *known]) + 0.06]
        layout["annotations"].append(
            dict(
                text=("Balanced accuracy of a linear probe, %", "Silhouette of the classes, −1 to 1")[number],
                x=start, y=1, xref="paper", yref="paper", xanchor="left", yanchor="bottom", yshift=10,
                showarrow=False, font=dict(size=14, color=look.ink),
            )
        )  # fmt: skip
    figure = go.Figure(dict(data=data, layout=layout))
    chance = 100 / classes
    figure.add_shape(
        type="line", x0=0, x1=1, xref="x domain", y0=chance, y1=chance, yref="y",
        line=dict(color=look.muted, width=1, dash="dot"),
    )  # fmt: skip
    figure.add_annotation(
        x=1, xref="x domain", y=chance, yref="y", text=f"chance {chance:.0f} %", showarrow=False,
        xanchor="right", yanchor="bottom", font=dict(size=13, color=look.muted),
    )  # fmt: skip
    note = f"{result['items']} {result['which']}; filled: no worse than the best beyond sampling error"
    return finish(figure, look, title(result), 400, note).update_layout(margin=dict(t=110))


def as_good(result: Mapping[str, Any]) -> list[str]:
    """Layers within two standard errors of the best probe, as of so many independent items: at least it."""
    known = {name: f["uar"] for name, f in result["layers"].items() if f["uar"] is not None}
    if not known:
        return []
    best = max(known.values())
    room = 2 * np.sqrt(best * (1 - best) / max(result["items"], 1))
    return [name for name, value in known.items() if value >= best - room]


def title(result: Mapping[str, Any]) -> str:
    """The finding: which layer, or that it hardly matters."""
    known = {name: f["uar"] for name, f in result["layers"].items() if f["uar"] is not None}
    if not known:
        return "Too few items to tell the layers apart"
    best = max(known, key=lambda name: known[name])
    others = [name for name in as_good(result) if name != best]
    figure = f"{100 * known[best]:.0f} %"
    if len(known) == 1:
        return f"A linear probe is right in {figure}"
    if not others:
        return f"<i>{best}</i> separates the classes best ({figure})"
    if len(others) + 1 == len(known):
        return f"All layers separate the classes alike (best {figure})"
    alike = words.listed([f"<i>{name}</i>" for name in others[:3]])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return f"<i>{best}</i> separates the classes best ({figure}); {alike}{more} within the noise of it"


def _best(values: list[float | None]) -> int:
    known = [i for i, v in enumerate(values) if v is not None]
    return max(known, key=lambda i: values[i] or 0.0) if known else -1
