"""Latents on their way out of noise: two maps side by side, step by step, and what the steps do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from app import charts, words
from app.drawing import Backdrop
from app.palette import Theme, theme

TRAIL = 3  # steps that a latent's trail goes back
SIDES = ((0.0, 0.49), (0.51, 1.0))
UPPER, LOWER = (0.40, 1.0), (0.0, 0.17)
PANELS = ((0.0, 0.28), (0.36, 0.64), (0.72, 1.0))
PACE = 320  # milliseconds a step
TITLE = 80  # letters in a line of the title: what a panel beside the map holds


@dataclass(frozen=True)
class Way:
    """One side: places [T + 1, n, 2] on the map, what the head takes for the wanted class [T + 1, n], and the
    variance of latents over that of real ones [T + 1]."""

    title: str
    short: str  # "without", "w = 3"
    xy: np.ndarray
    right: np.ndarray
    variance: np.ndarray


def figure(sides: Sequence[Way], spread: Sequence[float], behind: Backdrop, label: int, wanted: str,
           noisy: bool, marked: np.ndarray, title: str, theme_name: str | None) -> go.Figure:  # fmt: skip
    """One send: the page is not asked again while it plays. `noisy`: latents fade with their share of noise.

    label: the wanted class; wanted: its name. marked [n]: latents that are to stand out (selected ones).
    """
    look = theme(theme_name)
    last = len(spread) - 1
    data: list[dict[str, Any]] = []
    for number in range(2):
        data += _behind(behind, label, look, number)
    moving = len(data)
    for number, side in enumerate(sides):
        data += _moving(side, last, spread, noisy, marked, look, number)
    lines = _lines(sides, spread, look)
    cursors = len(data) + len(lines)
    data += lines + [_cursor(last, low, high, look, place) for place, (low, high) in enumerate(_ends(sides))]
    updated = [*range(moving, moving + 4), *range(cursors, cursors + 3)]
    frames = []
    for step in range(last + 1):
        parts = [
            p for n, side in enumerate(sides) for p in _moving(side, step, spread, noisy, marked, look, n)
        ]
        parts += [_cursor(step, low, high, look, place) for place, (low, high) in enumerate(_ends(sides))]
        frames.append(dict(name=str(step), data=parts, traces=updated))
    made = go.Figure(dict(data=data, frames=frames, layout=_layout(sides, behind, spread, wanted, look)))
    note = (
        f'<span style="color:{look.diverging[2]}">◇</span> the head takes it for <i>{wanted}</i>   '
        f'<span style="color:{look.diverging[0]}">◇</span> for another class   '
        f'<span style="color:{look.muted}">●</span> real <i>{wanted}</i>   '
        f"lines below: {sides[1].short}, dotted {sides[0].short}"
    )
    lines = textwrap.wrap(title, TITLE)
    charts.finish(made, look, "<br>".join(lines), 760, note)
    below = 24 * (len(lines) - 1)
    return made.update_layout(margin=dict(t=112 + below, b=36, l=8, r=8), title_pad_t=4 + below)


def _behind(behind: Backdrop, label: int, look: Theme, number: int) -> list[dict[str, Any]]:
    axes = dict(xaxis=f"x{number + 1}", yaxis=f"y{number + 1}", hoverinfo="skip", mode="markers")
    own = behind.label == label
    return [
        dict(
            type="scatter",
            x=behind.xy[rows, 0],
            y=behind.xy[rows, 1],
            marker=dict(size=4 if rows is own else 3, color=colour, opacity=0.55 if rows is own else 0.35),
            **axes,
        )
        for rows, colour in ((~own, look.quiet), (own, look.muted))
    ]


def _moving(side: Way, step: int, spread: Sequence[float], noisy: bool, marked: np.ndarray, look: Theme,
            number: int) -> list[dict[str, Any]]:  # fmt: skip
    """The trails and the latents of one side at a step."""
    axes = dict(type="scatter", xaxis=f"x{number + 1}", yaxis=f"y{number + 1}", hoverinfo="skip")
    back = np.round(side.xy[max(0, step - TRAIL) : step + 1].swapaxes(0, 1), 3)  # [n, steps, 2]
    gap = np.full((len(back), 1, 2), np.nan, np.float32)
    trail = np.concatenate([back, gap], 1).reshape(-1, 2)
    here = np.round(side.xy[step], 3)
    colour = np.where(side.right[step], look.diverging[2], look.diverging[0])
    fade = 0.3 + 0.65 * (1 - spread[step]) if noisy else 0.95
    return [
        dict(
            x=_plain(trail[:, 0]),
            y=_plain(trail[:, 1]),
            mode="lines",
            line=dict(color=look.muted, width=0.8),
            opacity=0.35,
            **axes,
        ),
        dict(
            x=_plain(here[:, 0]),
            y=_plain(here[:, 1]),
            mode="markers",
            opacity=fade,
            marker=dict(
                symbol=list(np.where(marked, "diamond", "diamond-open")), size=9, color=list(colour),
                line=dict(width=1.7, color=list(colour)),
            ),
            **axes,
        ),
    ]  # fmt: skip


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if v != v else float(v) for v in values]


def _ends(sides: Sequence[Way]) -> list[tuple[float, float]]:
    """Ends of the value axes of the three small panels."""
    seen = np.concatenate([side.variance for side in sides])
    seen = seen[np.isfinite(seen)]
    return [(0, 100), (0, float(1.08 * max(1.2, seen.max() if len(seen) else 0))), (0, 104)]


def _lines(sides: Sequence[Way], spread: Sequence[float], look: Theme) -> list[dict[str, Any]]:
    """Noise, variance and recognition over the steps; the first side dashed."""
    steps = list(range(len(spread)))
    styles = (dict(color=look.muted, width=1.8, dash="dot"), dict(color=look.ink, width=2))
    found = [_line(steps, 100 * np.asarray(spread), styles[1], 0, "σ", "noise %{y:.0f} %")]
    for side, style in zip(sides, styles, strict=True):
        found.append(_line(steps, side.variance, style, 1, side.short, "%{y:.2f} of the real variance"))
    for side, style in zip(sides, styles, strict=True):
        found.append(_line(steps, 100 * side.right.mean(1), style, 2, side.short, "%{y:.0f} %"))
    return found


def _line(
    steps: list[int], values: np.ndarray, style: dict[str, Any], place: int, name: str, said: str
) -> dict[str, Any]:
    return dict(
        type="scatter", mode="lines", x=steps, y=_plain(np.asarray(values, float)), line=style, name=name,
        xaxis=f"x{place + 3}", yaxis=f"y{place + 3}",
        hovertemplate=f"step %{{x}}, {name}: {said}<extra></extra>",
    )  # fmt: skip


def _cursor(step: int, low: float, high: float, look: Theme, place: int) -> dict[str, Any]:
    return dict(
        type="scatter", mode="lines", x=[step, step], y=[low, high], hoverinfo="skip",
        line=dict(color=look.accent, width=1.5), xaxis=f"x{place + 3}", yaxis=f"y{place + 3}",
    )  # fmt: skip


def _layout(sides: Sequence[Way], behind: Backdrop, spread: Sequence[float], wanted: str,
            look: Theme) -> dict[str, Any]:  # fmt: skip
    last = len(spread) - 1
    layout: dict[str, Any] = {"annotations": []}
    low, high = behind.xy.min(0), behind.xy.max(0)
    edge = 0.04 * (high - low)
    for number, (side, span) in enumerate(zip(sides, SIDES, strict=True)):
        hidden = dict(showgrid=False, zeroline=False, showticklabels=False, fixedrange=True)
        layout[f"xaxis{number + 1}"] = dict(
            domain=list(span), anchor=f"y{number + 1}", range=[low[0] - edge[0], high[0] + edge[0]],
            constrain="domain", **hidden,
        )  # fmt: skip
        layout[f"yaxis{number + 1}"] = dict(  # as long a unit as across: the map's own shape
            domain=list(UPPER), anchor=f"x{number + 1}", range=[low[1] - edge[1], high[1] + 3 * edge[1]],
            scaleanchor=f"x{number + 1}", constrain="domain", constraintoward="top", **hidden,
        )  # fmt: skip
        layout["annotations"].append(_heading(side.title, sum(span) / 2, UPPER[1], look))
        for name in behind.names:
            layout["annotations"].append(
                dict(
                    text=words.safe(name["text"]), x=name["x"], y=name["y"], xref=f"x{number + 1}",
                    yref=f"y{number + 1}", showarrow=False, yanchor="bottom", yshift=12,
                    font=dict(size=12, color=look.muted),
                )
            )  # fmt: skip
    texts = ("Noise left, percent", "Variance, real = 1", f"Taken for {wanted}, percent")
    for place, (span, ends, text) in enumerate(zip(PANELS, _ends(sides), texts, strict=True)):
        layout[f"xaxis{place + 3}"] = dict(
            domain=list(span), anchor=f"y{place + 3}", range=[0, last], showgrid=False,
            dtick=max(1, last // 4), title=dict(text="step", standoff=2),
        )  # fmt: skip
        layout[f"yaxis{place + 3}"] = dict(
            domain=list(LOWER), anchor=f"x{place + 3}", range=list(ends), nticks=4, ticklabelstandoff=5
        )
        layout["annotations"].append(_heading(text, span[0], LOWER[1], look, "left"))
    layout["sliders"] = [_slider(spread, look)]
    layout["updatemenus"] = [_buttons(look)]
    return layout


def _heading(text: str, x: float, y: float, look: Theme, anchor: str = "center") -> dict[str, Any]:
    return dict(
        text=text, x=x, y=y, xref="paper", yref="paper", xanchor=anchor, yanchor="bottom", yshift=5,
        showarrow=False, font=dict(size=14 if anchor == "center" else 13, color=look.ink),
    )  # fmt: skip


def _slider(spread: Sequence[float], look: Theme) -> dict[str, Any]:
    last = len(spread) - 1

    def go_to(step: int) -> dict[str, Any]:
        said = f"step {step} of {last}, noise {100 * spread[step]:.0f} %"
        how = dict(mode="immediate", frame=dict(duration=0, redraw=False), transition=dict(duration=120))
        return dict(method="animate", label=said, args=[[str(step)], how])

    return dict(
        active=last, x=0.17, len=0.83, y=0.30, yanchor="top", pad=dict(t=0, b=0), 
        steps=[*map(go_to, range(last + 1))],
        currentvalue=dict(visible=True, xanchor="right", font=dict(size=13, color=look.muted)),
        ticklen=0, minorticklen=0, font=dict(size=1, color="rgba(0,0,0,0)"), bgcolor=look.line,
        bordercolor=look.line, activebgcolor=look.accent,
    )  # fmt: skip


def _buttons(look: Theme) -> dict[str, Any]:
    play = dict(
        fromcurrent=False, mode="immediate", frame=dict(duration=PACE, redraw=False),
        transition=dict(duration=PACE - 70, easing="cubic-in-out"),
    )  # fmt: skip
    stop = dict(mode="immediate", frame=dict(duration=0, redraw=False), transition=dict(duration=0))
    return dict(
        type="buttons", direction="left", x=0, xanchor="left", y=0.285, yanchor="top", showactive=False,
        pad=dict(t=0, r=0), bgcolor=look.paper, bordercolor=look.line, font=dict(color=look.ink, size=13),
        buttons=[
            dict(label="Play", method="animate", args=[None, play]),
            dict(label="Pause", method="animate", args=[[None], stop]),
        ],
    )  # fmt: skip
