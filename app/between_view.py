"""The panel of what lies between two cells: one noise, and a condition that moves from one to the other."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import between_charts, charts, drawing, items, state, widgets, words
from app.explored import Explored
from gelda import samples
from gelda.samples import Drawn

STOPS = ("At the start", "A quarter on", "Half-way", "Three quarters on", "At the end")
FOLLOWED = {"image": 2}  # latents whose nearest items are shown, by kind; else one


def view(explored: Explored) -> None:
    """Both cells, then the figure with its items, or the offer to draw them."""
    if not drawing.ready(explored):
        return
    drawing.bind_settings(explored)
    scales = [f"{scale:g}" for scale in samples.SCALES]
    state.bind("between_guidance", "1", scales)
    first, last = default_cells(explored)
    axis = explored.axis
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        start = drawing.cell(explored, "start", ("From the class", f"in the {axis}"), first)
        end = drawing.cell(explored, "end", ("to the class", f"in the {axis}"), last)
        st.segmented_control("Guidance", scales, key="between_guidance", required=True)
    if start == end:
        widgets.note("Both ends are the same cell: choose another class or another " + words.safe(axis) + ".")
        return
    ends = tuple(words.cell(_row(cell), explored.classes, explored.subdomains) for cell in (start, end))
    found = drawing.drawn(
        explored,
        drawing.request(explored, kind="between", start=start, end=end),
        f"From {words.escaped(ends[0])} to {words.escaped(ends[1])}",
    )
    if found is not None:
        _figure(explored, found, (start, end), (ends[0], ends[1]))
    drawing.settings(explored)


def default_cells(explored: Explored) -> tuple[tuple[int, int], tuple[int, int]]:
    """From the richest class to the scarcest, in the subdomain that has most."""
    real = np.asarray(explored.meta["real"])
    if len(real) == 1:
        return (0, int(real[0].argmax())), (0, int(real[0].argmin()))
    subdomain, order = int(real.sum(0).argmax()), np.argsort(-real.sum(1), kind="stable")
    return (int(order[0]), subdomain), (int(order[-1]), subdomain)


def _row(cell: tuple[int, int]) -> dict[str, int]:
    return {"label": cell[0], "subdomain": cell[1]}


def _figure(explored: Explored, found: Drawn, cells: tuple[tuple[int, int], tuple[int, int]],
            ends: tuple[str, str]) -> None:  # fmt: skip
    place = found.scales.index(float(state.value("between_guidance")))
    near = found.arrays["near"][place]
    xy = explored.coordinates(explored.info)
    between = between_charts.Between(
        np.asarray(samples.SHARES),
        samples.place(near, xy),
        found.arrays["probability"][place],
        found.arrays["far"][place].astype(np.float32) / found.document["apart"],
        ends,
        (cells[0][0], cells[1][0]),
    )
    title = between_charts.finding(between, explored.classes)
    made = between_charts.figure(
        between, drawing.backdrop(explored, xy), explored.classes, title, st.context.theme.type
    )
    st.plotly_chart(made, theme=None, key="between", config=charts.config("between"), alt=words.plain(title))
    widgets.note(
        "Every latent starts from the noise of one of the first cell’s own; only the condition changes, "
        f"from one cell’s to the other’s. {drawing.how_placed(found, xy)}"
    )
    _items(explored, found, near)


def _items(explored: Explored, found: Drawn, near: np.ndarray) -> None:
    """The nearest real items of some latents at five stops of the way."""
    kind, thing = items.kind(explored.meta), items.thing(explored.meta)
    if not kind:
        return
    followed = min(FOLLOWED.get(kind, 1), near.shape[1])
    at = np.linspace(0, len(near) - 1, len(STOPS)).round().astype(int)
    far = found.arrays["far"][found.scales.index(float(state.value("between_guidance")))]
    st.markdown(f"**The nearest real {thing} along the way**")
    columns = st.columns(len(STOPS), gap="small")
    uris = explored.points["uri"]
    for column, place, stop in zip(columns, at, STOPS, strict=True):
        with column:
            widgets.note(stop)
            shown = []
            for latent in range(followed):
                row = int(near[place, latent, 0])
                cell = words.cell(explored.points.iloc[row], explored.classes, explored.subdomains)
                said = f"{cell}, at {float(far[place, latent]):.1f}"
                shown.append((items.shown(explored.meta, uris.iloc[row]), said, True))
            items.draw(shown, explored.meta, 1)
    many = f"{followed} latents, the same in every column" if followed > 1 else "one latent"
    widgets.note(
        f"Of {many}: synthetic latents cannot be turned back into {thing}, so the nearest real ones stand in."
    )
