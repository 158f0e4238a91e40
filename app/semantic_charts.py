"""Figures of semantic vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app import words
from app.charts import finish
from app.palette import legible, mixed, theme


def similarity_heatmap(names: Sequence[str], matrix: np.ndarray, theme_name: str | None) -> go.Figure:
    """Cosine similarity [n, n] of names, −1 to 1; figures in the cells where there is room for them."""
    look = theme(theme_name)
    table = np.asarray(matrix, dtype=np.float64)
    notes: list[dict[str, Any]] = []
    for i, row in enumerate(table if len(names) <= 16 else []):
        for j, value in enumerate(row):
            ground = mixed(look.diverging[1], look.diverging[0 if value < 0 else 2], min(abs(value), 1.0))
            font = dict(size=12, color=legible(look, ground))
            notes.append(dict(x=j, y=i, text=words.number(value, 2), showarrow=False, font=font))
    low, middle, high = look.diverging
    places = list(range(len(names)))  # two names that are numbers must not become an axis of numbers
    heat = dict(
        type="heatmap", z=table, x=places, y=places, colorscale=[[0, low], [0.5, middle], [1, high]],
        zmin=-1, zmax=1, xgap=1.5, ygap=1.5, showscale=False,
        text=[[f"<i>{a}</i> and <i>{b}</i>" for b in names] for a in names],
        hovertemplate="%{text}: %{z:.2f}<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(dict(data=[heat], layout=dict(annotations=notes)))
    shown = dict(tickvals=places, ticktext=list(names), showgrid=False, zeroline=False)
    if len(names) > 60:  # names would run into one another
        shown = dict(showticklabels=False, showgrid=False, zeroline=False)
    figure.update_xaxes(side="bottom", **shown)
    figure.update_yaxes(autorange="reversed", **shown)
    note = "Cosine of centred vectors: 1 the same direction, 0 unrelated, −1 opposite"
    return finish(figure, look, similarity_title(names, table), 150 + min(34 * len(names), 900), note)


def similarity_title(names: Sequence[str], matrix: np.ndarray) -> str:
    """The pair that is most alike, in words."""
    table = np.array(matrix, dtype=np.float64)
    np.fill_diagonal(table, -np.inf)
    i, j = np.unravel_index(int(np.argmax(table)), table.shape)
    return f"<i>{names[i]}</i> and <i>{names[j]}</i> are most alike ({words.number(table[i, j], 2)})"
