"""The scrubber panel: latents of a cell on their way out of noise, without guidance beside with it."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import charts, drawing, state, way_charts, widgets, words
from app.explored import Explored
from gelda import samples
from gelda.samples import Drawn

SHOWN = {"latent": "The latent, noise and all", "estimate": "What it takes the end to be"}


def view(explored: Explored) -> None:
    """Controls, then both maps, or the offer to draw what was asked for."""
    if not drawing.ready(explored):
        return
    _take_selected(explored)
    scales = [f"{scale:g}" for scale in samples.SCALES if scale > 1]
    drawing.bind_settings(explored)
    state.bind("guidance", "3", scales)
    state.bind("shown", "latent", list(SHOWN))
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        first = drawing.default_cell(explored)
        names = ("Class", explored.axis.capitalize())
        label, subdomain = drawing.cell(explored, "from", names, first)
        st.segmented_control("Guidance, right", scales, key="guidance", required=True)
        st.segmented_control(
            "What the maps show", list(SHOWN), key="shown", required=True, format_func=SHOWN.get
        )
    wanted = drawing.request(explored, kind="way", start=(label, subdomain))
    cell = drawing.named(explored, label, subdomain)
    found = drawing.drawn(explored, wanted, f"{words.thousands(wanted.count)} latents of {cell}")
    if found is not None:
        _figure(explored, found, (label, subdomain))
    drawing.settings(explored)


def _take_selected(explored: Explored) -> None:
    """Offer the cell of the first selected synthetic latent."""
    rows = explored.selected[explored.synthetic[explored.selected]]
    if not len(rows):
        return
    point = explored.points.iloc[int(rows[0])]
    names = explored.classes[int(point["label"])], explored.subdomains[int(point["subdomain"])]
    fields = "from_class", f"from_{explored.axis}"
    if tuple(map(state.value, fields)) == names or point["subdomain"] < 0:
        return

    def take() -> None:
        for field, name in zip(fields, names, strict=True):
            state.put(field, name)

    cell = drawing.named(explored, int(point["label"]), int(point["subdomain"]))
    st.button(f"Take the selected latents’ cell: {words.escaped(cell)}", on_click=take)


def _marked(explored: Explored, found: Drawn, cell: tuple[int, int]) -> np.ndarray:
    """Which of the drawn latents are selected ones, [n]: of the run's own noise, in the order of its points.

    A comparison's points are thinned out, so their places in the cell are not known.
    """
    asked = found.document["request"]
    marked = np.zeros(int(asked["count"]), bool)
    if asked["seed"] is None and not explored.run.comparison:
        points = explored.points
        own = explored.synthetic & (points["label"] == cell[0]).to_numpy()
        if explored.made:  # of other noise
            own[explored.made.first :] = False
        rows = np.flatnonzero(own & (points["subdomain"] == cell[1]).to_numpy())[: len(marked)]
        marked[: len(rows)] = np.isin(rows, explored.selected)
    return marked


def _figure(explored: Explored, found: Drawn, cell: tuple[int, int]) -> None:
    scale, noisy = float(state.value("guidance")), state.value("shown") == "latent"
    at, name = samples.VIEWS.index(state.value("shown")), words.safe(explored.classes[cell[0]])
    xy = explored.coordinates(explored.info)
    sides = []
    for value, title, short in (
        (1.0, "Without guidance, w = 1", "without"),
        (scale, f"With guidance, w = {scale:g}", f"w = {scale:g}"),
    ):
        place = found.scales.index(value)
        sides.append(
            way_charts.Way(
                title,
                short,
                samples.place(found.arrays["near"][at, place], xy),
                found.arrays["said"][at, place] == cell[0],
                found.arrays["variance"][at, place],
            )
        )
    behind = drawing.backdrop(explored, xy)
    marked = _marked(explored, found, cell)
    title = _finding(sides, name, scale)
    made = way_charts.figure(
        sides, found.spread, behind, cell[0], name, noisy, marked, title, st.context.theme.type
    )
    st.plotly_chart(made, theme=None, key="way", config=charts.config("way"), alt=words.plain(title))
    widgets.note(" ".join(_notes(explored, found, sides, noisy, marked, xy)))


def _finding(sides: list[way_charts.Way], name: str, scale: float) -> str:
    """The title: what guidance did at the end."""
    without, guided = (f"{100 * side.right[-1].mean():.0f} %" for side in sides)
    said = f"With guidance {scale:g}, the head takes {guided} of them for {name}"
    spread = [side.variance[-1] for side in sides]
    if not np.isfinite(spread).all():
        return f"{said}; without, {without}"
    return f"{said} at {spread[1]:.2f} times the real variance; without, {without} at {spread[0]:.2f} times"


def _notes(
    explored: Explored, found: Drawn, sides: list[way_charts.Way], noisy: bool, marked: np.ndarray,
    xy: np.ndarray,
) -> list[str]:  # fmt: skip
    told = [drawing.how_placed(found, xy)]
    if noisy:
        told.append(
            "Early steps are noise, far from all data: where they lie means little, so they are faint."
        )
    reference = found.document["reference"]
    what = {
        "cell": "Variance: over that of the cell’s real latents.",
        "class": "Variance: over that of the class’s real latents, each about the mean of its "
        f"{explored.axis}, for the cell has too few.",
        "": "There are too few real latents of this class to compare a variance with.",
    }  # fmt: skip
    told.append(what[reference])
    away = int(np.isnan(sides[1].xy[-1, :, 0]).sum())
    if away:
        told.append(f"{away} of them have no neighbour on this map and are not drawn.")
    if marked.any():
        told.append(f"Filled: the {int(marked.sum())} of them that are selected.")
    return told
