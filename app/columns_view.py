"""Columns: every column of the points in small charts, the selection laid over, what sets it apart first."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from app import components, facets, selecting, state, widgets, words
from app.explored import Explored
from app.facets import Told

LIST = 8  # groups that a chart names
FEW = 12  # or all of them, where they are no more
COMPONENT = "columns"  # its key
MEANS = (
    "Total variation: the share of the selection that would have to be of another group to be like the rest.",
    "Kolmogorov-Smirnov distance: the largest gap between the shares of selection and rest below any value.",
)

_component = components.declare("columns", "columns", "columns/columns.css", "columns/columns.js")


def view(explored: Explored) -> None:
    """The charts of what is in view; a bar selects its points, a name colours the map."""
    found = explored.facets
    selected = np.zeros(len(explored.points), bool)
    selected[explored.rows] = True
    view_of = facets.in_view(explored.visible, explored.synthetic, selected)
    told = facets.ordered([facets.told(facet, *view_of) for facet in found])
    some = bool(len(explored.rows))
    _lead(explored, told)
    data = {
        "some": some,
        "colour": state.value("colour"),
        "facets": [_packed(one, some) for one in told],
    }

    def pick() -> None:
        event = st.session_state[COMPONENT].get("pick")
        facet = next((f for f in found if event and f.name == event["facet"]), None)
        if facet is not None:
            rows = np.flatnonzero(explored.visible & inside(facet, int(event["from"]), int(event["to"])))
            selecting.pick(explored.run.id, rows, "columns")

    def colour() -> None:
        name = st.session_state[COMPONENT].get("colour")
        if name in {facet.name for facet in found}:
            state.put("colour", name)

    _component(
        key=COMPONENT, data=components.numbered(COMPONENT, data), on_pick_change=pick, on_colour_change=colour
    )


def inside(facet: facets.Facet, first: int, last: int) -> np.ndarray:
    """Which points lie in the bars from `first` to `last`, ``[N]``; those without a value in none."""
    return (facet.codes >= first) & (facet.codes <= last) & (facet.codes < len(facet.bars))


def _lead(explored: Explored, told: list[Told]) -> None:
    number = len(explored.rows)
    apart = [one for one in told if one.beyond > 0]
    if not number:
        st.subheader("What is in view, column by column")
        first = "Select points, and what sets them apart comes first. "
    elif number == int(explored.visible.sum()):
        st.subheader(f"All {words.count(number, 'point')} in view are selected")
        first = "There is no rest to set them apart from. "
    elif not apart:
        what = "point is" if number == 1 else f"{words.thousands(number)} points are"
        st.subheader(f"The {'one ' if number == 1 else ''}selected {what} like the rest")
        first = "As many points drawn at random would differ as much in every column. "
    else:
        st.subheader(
            f"What sets {words.count(number, 'selected point')} apart: {words.escaped(apart[0].facet.title)}"
        )
        first = (
            "The number at each name is how far the selection differs from the rest in view, from 0 (alike) "
            "to 1; it is grey where as many points drawn at random would differ as much. "
        )
    blue = "; blue: the selection" if number else ""
    widgets.note(
        f"{first}Filled: real points; outlined: synthetic latents{blue}; each as shares of its own. Click a "
        "bar, or drag over several, to select its points; click a name to colour the map by it."
    )


def _packed(told: Told, some: bool) -> dict[str, Any]:
    """One chart for the browser: the height or width of each bar and what stands beside it."""
    facet, parts = told.facet, (told.real, told.made, told.chosen)
    shares = [part / max(1, part.sum()) for part in parts]
    # a bar's length is told by what is drawn: the selection only where there is one
    most = max(float(share.max(initial=0)) for share in shares[: 3 if some else 2]) or 1.0
    every = (told.real + told.made) / max(1, (told.real + told.made).sum())
    shown = np.arange(len(facet.bars))
    others = ""
    if not facet.ordered and len(shown) > FEW:
        by = np.abs(shares[2] - every) if told.difference is not None else every
        shown = np.argsort(-by, kind="stable")[:LIST]
        others = f"and {words.thousands(len(facet.bars) - LIST)} others"
    bars = [
        {
            "at": int(k),
            "label": facet.bars[k],
            **{
                name: [round(float(share[k]) / most, 4), int(part[k])]
                for name, share, part in zip(("real", "made", "own"), shares, parts, strict=True)
            },
            "said": words.share(float((shares[2] if some else every)[k])),
        }
        for k in shown
    ]
    return {
        "name": facet.name,
        "title": facet.title,
        "ordered": facet.ordered,
        "bars": bars,
        "others": others,
        "ends": _ends(facet),
        "said": _said(told, some),
        **_score(told),
    }


def _ends(facet: facets.Facet) -> list[str]:
    """What stands at both ends of a histogram."""
    if not facet.ordered:
        return []
    return [facet.written(float(end)) for end in facet.steps[[0, -1]]]


def _score(told: Told) -> dict[str, Any]:
    if told.difference is None:
        return {"score": ""}
    chance = f"As many points drawn at random: about {words.number(told.chance, 2)}."
    return {
        "score": words.number(told.difference, 2),
        "scored": f"{MEANS[told.facet.ordered]} {chance}",
        "faint": told.beyond <= 0,
    }


def _said(told: Told, some: bool) -> str:
    if told.said:
        return told.said[:1].upper() + told.said[1:] + "."
    lacking = "Synthetic latents have none." if not told.made.any() and told.real.any() else ""
    if some and not told.chosen.any():
        return f"No selected point has a value. {lacking}".strip()
    return lacking
