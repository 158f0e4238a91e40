"""What a cell would look or sound like: the real items nearest to the centre of what was made for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app import items, near_strip, state, widgets, words
from app.explored import Explored
from gelda import nearby
from gelda.report import method_title

VERBS = {"audio": "sound like", "image": "look like"}


def _methods(explored: Explored) -> list[str]:
    return [m for m in explored.points["method"].unique() if m]


def cell_text(classes: Sequence[str], subdomains: Sequence[str], cell: tuple[int, int]) -> str:
    """A cell as the URL has it, "seven|inverted"."""
    return f"{classes[cell[0]]}|{subdomains[cell[1]]}"


def view(explored: Explored) -> None:
    """What would *sad* sound like in *Polish*: real items nearest to the centre of what was made for it."""
    methods = _methods(explored)
    if not methods:
        return
    state.bind("maker", methods[0], methods, "method")
    cells = nearby.cells_made(explored.points, state.value("maker"))
    every = {cell_text(explored.classes, explored.subdomains, cell): cell for cell in cells}
    if not every:
        return
    state.bind("cell", next(iter(every)), list(every), "cell")
    verb = VERBS.get(items.kind(explored.meta), "be like")
    label, subdomain = every[state.value("cell")]
    name = f"*{words.escaped(explored.classes[label])}*"
    several = len(explored.subdomains) > 1
    joint = " " if explored.axis == "condition" else " in "  # "look like inverted", "sound like in Polish"
    where = f"{joint}*{words.escaped(explored.subdomains[subdomain])}*" if several else ""
    st.subheader(f"What would {name} {verb}{where}?")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.selectbox(
            "Cell", list(every), key="cell", width=320,
            format_func=lambda text: text.replace("|", ", ") if several else text.partition("|")[0],
        )  # fmt: skip
        if len(methods) > 1:
            st.segmented_control("Made by", methods, key="maker", format_func=method_title, required=True)
    _answer(explored, label, subdomain)


def _answer(explored: Explored, label: int, subdomain: int) -> None:
    points, thing = explored.points, items.thing(explored.meta)
    cell = nearby.made_for(points, label, subdomain, state.value("maker"))
    among = "real" if state.value("among") == "real" else "train"
    edited = explored.made is not None and cell.max(initial=0) >= explored.made.first
    layer, said = near_strip.layer(explored, synthetic=True, made=edited)
    near = nearby.to_centre(explored.latents(layer), cell, nearby.pool(points, among), int(state.value("k")))
    part, of = points.iloc[near.rows], words.count(len(near.rows), f"real {items.thing(explored.meta, 1)}")
    right = int((part["label"] == label).sum())
    inside = int(((part["label"] == label) & (part["subdomain"] == subdomain)).sum())
    seen = bool(explored.meta["real"][label][subdomain])
    name = f"<em>{words.safe(explored.classes[label])}</em>"
    mark = words.cell(
        {"label": label, "subdomain": subdomain}, explored.classes, explored.subdomains, mark=True
    )
    made = words.count(len(cell), "synthetic latent")
    told = [
        f"{made} by {words.safe(method_title(state.value('maker')))} stand{'s' * (len(cell) == 1)} "
        f"for {mark}{'' if seen else ', of which training has no sample'}.",
        f"Of the {of} nearest to their centre, {right} {'is' if right == 1 else 'are'} {name} "
        f"({words.number(100 * right / max(1, len(near.rows)), 0)} %)"
        + (f", {inside or 'none'} of them of {mark} itself." if len(explored.subdomains) > 1 else "."),
    ]
    origins = [
        f"{words.cell({'label': c, 'subdomain': s}, explored.classes, explored.subdomains)} ({n})"
        for c, s, n in nearby.sources(points, near.rows)
    ]
    told.append(
        f"They come from {words.safe('; '.join(origins[:8]))}{' and others' if len(origins) > 8 else ''}."
    )
    if among == "real":
        told.append(f"Held-out {thing} are among them: for looking only.")
    widgets.note(said + " ".join(told))
    near_strip.strip(explored, [], near)
    widgets.note(
        f"Synthetic latents cannot be turned back into {thing}, so real ones stand in. {_scale(explored)}"
    )
    widgets.caution(explored.meta)


def _scale(explored: Explored) -> str:
    """What a distance is to be compared with."""
    distance = explored.neighbours[1][:, 0]
    train = distance[(explored.points["split"] == "train").to_numpy()]
    train = train[np.isfinite(train)]
    if not len(train):
        return ""
    return (
        "For scale: where latents are made, a training sample’s nearest other one is at "
        f"{np.median(train):.1f} (median)."
    )
