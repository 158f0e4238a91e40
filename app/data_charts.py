"""Counts of items as figures: a heat map of class x subdomain, or bars where there is one subdomain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from app import words
from app.charts import finish
from app.palette import Theme, legible, mixed, theme

FEW, MANY = 20, 100  # Liu et al. 2019 (arXiv 1904.05160): few-shot under 20 training items, many over 100
KINDS = {"none": "empty", "few": "few", "medium": "medium", "many": "many"}
MARKS = {"none": "×", "few": "○", "medium": "", "many": ""}  # where a cell has no room for a word
WORDY, NUMBERED = 14, 30  # columns up to which a cell holds a number and a word, a number
MARKED = 120  # columns up to which a mark has room
FULL = 6  # bars that fill the width: fewer stay as narrow
NAMED = 40  # classes whose names are written


def kind(count: int) -> str:
    """none, few, medium or many items."""
    return "none" if not count else "few" if count < FEW else "medium" if count <= MANY else "many"


def counts(
    table: np.ndarray, classes: Sequence[str], subdomains: Sequence[str], noun: str,
    theme_name: str | None, chosen: tuple[int, int] = (-1, -1),
) -> go.Figure:  # fmt: skip
    """Items per cell [C, S], classes from large to small; `chosen` (class, subdomain) is outlined, -1 is all.

    Every mark carries (class, subdomain) as customdata.
    """
    classes, subdomains = ([words.safe(name) for name in names] for names in (classes, subdomains))
    order = np.argsort(-table.sum(1), kind="stable")
    if table.shape[1] == 1:
        return _bars(table[order, 0], order, classes, noun, theme(theme_name), chosen[0])
    return _heat(table[order], order, classes, subdomains, noun, theme(theme_name), chosen)


def _heat(
    table: np.ndarray, order: np.ndarray, classes: Sequence[str], subdomains: Sequence[str], noun: str,
    look: Theme, chosen: tuple[int, int],
) -> go.Figure:  # fmt: skip
    shown = table.T  # subdomains below each other, classes side by side: there are more of them
    down, across = shown.shape
    kinds = np.vectorize(kind)(shown)
    depth = np.sqrt(shown / max(MANY, shown.max()))
    plain = len(np.unique(kinds)) == 1  # what every cell is, the title says
    if across <= WORDY and not plain:
        text = [
            [f"{words.thousands(n)}<br>{KINDS[k]}" if n else f"no {noun}" for n, k in zip(*row, strict=True)]
            for row in zip(shown, kinds, strict=True)
        ]
    elif across <= NUMBERED:
        text = [[words.thousands(n) for n in row] for row in shown]
    elif across <= MARKED:
        text = [[MARKS[k] for k in row] for row in kinds]
    else:
        text = [[""] * across for _ in range(down)]
    heat = go.Heatmap(
        z=depth, x=np.arange(across), y=np.arange(down), showscale=False, zmin=0, zmax=1,
        xgap=2 if across <= NAMED else 0, ygap=2,
        colorscale=[[0, look.scale[0]], [1, look.scale[1]]], hoverinfo="skip",
    )  # fmt: skip
    notes = [
        dict(x=c, y=s, text=text[s][c], showarrow=False,
             font=dict(size=13 if across <= NAMED else 8,
                       color=legible(look, mixed(*look.scale, depth[s, c]))))
        for s in range(down) for c in range(across) if text[s][c]
    ]  # fmt: skip
    places = [(s, c) for s in range(down) for c in range(across)]
    cells = go.Scatter(  # a heat map takes no clicks: these unseen marks do
        x=[c for _, c in places], y=[s for s, _ in places], mode="markers",
        marker=dict(symbol="square", size=30, opacity=0), selected=dict(marker=dict(opacity=0)),
        unselected=dict(marker=dict(opacity=0)), customdata=[(int(order[c]), s) for s, c in places],
        text=[
            f"<i>{classes[order[c]]}</i>, {subdomains[s]}: {words.count(int(shown[s, c]), noun)}"
            f" ({KINDS[kinds[s, c]]})" for s, c in places
        ], hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    figure = go.Figure(dict(data=[heat, cells], layout=dict(annotations=notes)))
    named = across <= NAMED
    figure.update_xaxes(
        tickvals=list(range(across)), ticktext=[classes[c] for c in order], showticklabels=named,
        showgrid=False, zeroline=False, fixedrange=True, range=[-0.5, across - 0.5],
        tickfont=dict(color=look.ink),
        title_text="" if named else f"{across} classes, from large to small",
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(down)), ticktext=list(subdomains), autorange="reversed", showgrid=False,
        zeroline=False, fixedrange=True, tickfont=dict(color=look.ink), ticklabelstandoff=8,
    )  # fmt: skip
    if across <= NUMBERED:
        for s, c in zip(*np.nonzero(shown == 0), strict=True):
            box = dict(x0=c - 0.47, x1=c + 0.47, y0=s - 0.44, y1=s + 0.44)
            figure.add_shape(type="rect", **box, line=dict(color=look.muted, width=1.2, dash="dash"))
    _outline(figure, look, order, chosen, down)
    figure.update_layout(hovermode="closest", hoverdistance=-1, clickmode="event+select", dragmode=False)
    note = _legend(kinds, "cell", marked=NUMBERED < across <= MARKED)
    return finish(figure, look, heat_title(table, classes, subdomains, order), 130 + 58 * min(down, 12), note)


def _outline(figure: go.Figure, look: Theme, order: np.ndarray, chosen: tuple[int, int], down: int) -> None:
    label, subdomain = chosen
    if label < 0 and subdomain < 0:
        return
    x = (-0.5, len(order) - 0.5) if label < 0 else _around(int(np.flatnonzero(order == label)[0]))
    y = (-0.5, down - 0.5) if subdomain < 0 else _around(subdomain)
    figure.add_shape(type="rect", x0=x[0], x1=x[1], y0=y[0], y1=y[1], line=dict(color=look.ink, width=2.5))


def _around(place: int) -> tuple[float, float]:
    return place - 0.5, place + 0.5


def _bars(
    sizes: np.ndarray, order: np.ndarray, classes: Sequence[str], noun: str, look: Theme, chosen: int
) -> go.Figure:
    kinds = [kind(int(n)) for n in sizes]
    patterns = {"none": "", "few": "/", "medium": "", "many": ""}
    colours = {"none": look.quiet, "few": look.accent, "medium": look.muted, "many": look.quiet}
    named = len(sizes) <= NAMED
    plain = len(set(kinds)) == 1
    text = None
    if len(sizes) <= NUMBERED:
        wordy = len(sizes) <= WORDY and not plain
        text = [
            f"{words.thousands(n)}<br>{KINDS[k]}" if wordy else words.thousands(n)
            for n, k in zip(sizes, kinds, strict=True)
        ]
    figure = go.Figure(
        go.Bar(
            x=np.arange(len(sizes)), y=sizes, customdata=[(int(c), 0) for c in order],
            marker=dict(
                color=[colours[k] for k in kinds],
                pattern=dict(shape=[patterns[k] for k in kinds], solidity=0.35),
                line=dict(color=look.ink, width=[2.5 if c == chosen else 0 for c in order]),
            ),
            selected=dict(marker=dict(opacity=1)), unselected=dict(marker=dict(opacity=1)),
            text=text, textposition="outside",
            hovertext=[
                f"<i>{classes[c]}</i>: {words.count(int(n), noun)} ({KINDS[k]})"
                for c, n, k in zip(order, sizes, kinds, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>", cliponaxis=False,
        )
    )  # fmt: skip
    figure.update_xaxes(
        range=[-0.5, max(len(sizes), FULL) - 0.5],
        tickvals=list(range(len(sizes))), ticktext=[classes[c] for c in order], showticklabels=named,
        showgrid=False, fixedrange=True, tickfont=dict(color=look.ink),
        title_text="" if named else f"{len(sizes)} classes, from large to small",
    )  # fmt: skip
    steep = sizes.max() > 30 * max(1, sizes.min())
    figure.update_yaxes(
        type="log" if steep else "linear", dtick=1 if steep else None, fixedrange=True,
        title_text=f"{noun}s{' (log)' if steep else ''}",
    )  # fmt: skip
    if text is None and not plain:  # classes are in order of size: a kind is a stretch of them
        for name in dict.fromkeys(kinds):
            places = [i for i, k in enumerate(kinds) if k == name]
            figure.add_annotation(
                x=np.mean(places), y=1, yref="paper", yanchor="bottom", text=f"{KINDS[name]}: {len(places)}",
                showarrow=False, font=dict(size=13, color=look.ink),
            )  # fmt: skip
    figure.update_layout(hovermode="closest", clickmode="event+select", dragmode=False, bargap=0.25)
    finish(figure, look, bars_title(sizes, classes, order), 380, _legend(np.array(kinds), "class"))
    return figure.update_layout(margin=dict(t=92))


def heat_title(
    table: np.ndarray, classes: Sequence[str], subdomains: Sequence[str], order: np.ndarray
) -> str:
    """What the cells say: how many are empty, and where the least and the most is."""
    empty = int((table == 0).sum())
    filled = table[table > 0]
    least, most = words.thousands(filled.min()), words.thousands(filled.max())
    spread = (
        f"{least} in every {'other ' if empty else ''}cell"
        if filled.min() == filled.max()
        else f"{least} to {most} in {'the others' if empty else 'a cell'}"
    )
    if empty == 1:
        c, s = np.argwhere(table == 0)[0]
        return f"No <i>{classes[order[c]]}</i> in <i>{subdomains[s]}</i>; {spread}"
    return f"{empty} of {table.size} cells are empty; {spread}" if empty else spread[0].upper() + spread[1:]


def bars_title(sizes: np.ndarray, classes: Sequence[str], order: np.ndarray) -> str:
    """How uneven the classes are."""
    if sizes.min() == sizes.max():
        return f"{words.thousands(sizes[0])} in every class"
    most, least = sizes[0], sizes[-1]
    said = f"<i>{classes[order[0]]}</i> has {words.thousands(most)}, <i>{classes[order[-1]]}</i> "
    if not least:
        return f"{said}has none"
    return f"{said}has {words.thousands(least)}: {words.number(most / least, int(most < 10 * least))} to 1"


def _legend(kinds: np.ndarray, what: str, marked: bool = False) -> str:
    """What the marks mean and how many have them."""
    ranges = {
        "many": f"over {MANY}",
        "medium": f"{FEW} to {MANY}",
        "few": f"under {FEW}",
        "none": "no item",
    }
    names, numbers = np.unique(kinds, return_counts=True)
    found = dict(zip(names.tolist(), numbers.tolist(), strict=True))
    plural = {"cell": "cells", "class": "classes"}[what]
    if len(found) == 1:
        much = "a medium number of items" if names[0] == "medium" else f"{KINDS[names[0]]} items"
        return f"Every {what} has {much} ({ranges[names[0]]})"
    parts = []
    for name in ("many", "medium", "few", "none"):
        if name in found:
            mark = f" {MARKS[name]}" if marked and MARKS[name] else ""
            parts.append(f"{KINDS[name]}{mark} ({ranges[name]}): {found[name]}")
    return f"{plural[0].upper() + plural[1:]} by items: " + " · ".join(parts)
