"""The neighbours panel: what is nearest to a point, and what a cell without a sample would look like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app import items, loading, state, widgets, words
from app.explored import Explored
from gelda import nearby
from gelda.nearby import Near
from gelda.report import method_title

POOLS = {"train": "Training samples", "real": "All real items", "synthetic": "Synthetic latents"}
HOW_MANY = ("5", "8", "10", "15", "20", "30", "50")
MOST = {"audio": 16}  # shown at once of a kind that takes room
ACROSS = 4  # players in a row
CHOICES = 200  # points of the selection to choose from
VERBS = {"audio": "sound like", "image": "look like"}


def view(explored: Explored) -> None:
    """A point's neighbours where something is selected, and the question about a cell."""
    row = _row(explored)
    _bind()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.select_slider("How many", HOW_MANY, key="k", width=260)
        st.segmented_control("Nearest among", list(POOLS), key="among", format_func=POOLS.get, required=True)
        if row is not None:
            _choose_point(explored, row)
    if row is None:
        _cell(explored)
        widgets.note("For the neighbours of one point, click it on the map, or search for it.")
    else:
        _point(explored, row)
        _cell(explored)


def _bind() -> None:
    state.bind("k", "10", HOW_MANY)
    state.bind("among", "train", list(POOLS))


def _row(explored: Explored) -> int | None:
    """The point in question: the one chosen, else the first of the selection."""
    state.bind("point", "")
    asked = state.value("point")
    if asked:
        found = np.flatnonzero((explored.points["id"].astype(str) == asked).to_numpy())
        if len(found):
            return int(found[0])
        state.put("point", "")
    return int(explored.selected[0]) if len(explored.selected) else None


def _layer(explored: Explored, synthetic: bool) -> tuple[str, str]:
    """The layer in view, or the generation layer where synthetic latents are asked for and it has none."""
    layers = {layer.name: layer for layer in explored.layers}
    shown = layers[state.value("layer")]
    if synthetic and not shown.has_synthetic:
        own = next(layer for layer in explored.layers if layer.generation_layer)
        return (
            own.name,
            f"{words.safe(shown.title)} holds no synthetic latents: measured in {words.safe(own.title)}. ",
        )
    return shown.name, ""


def found(explored: Explored, row: int) -> tuple[Near, str]:
    """The neighbours of a point as the controls ask for them, and what must be said of the layer."""
    among = state.value("among")
    layer, said = _layer(explored, bool(explored.synthetic[row]) or among == "synthetic")
    latents = loading.latents(explored.run.path, layer)
    return nearby.to_point(latents, row, nearby.pool(explored.points, among), int(state.value("k"))), said


def lines(explored: Explored) -> np.ndarray:
    """Pairs of rows ``[M, 2]`` that the map joins: the point and each of its neighbours."""
    _bind()
    row = _row(explored)
    if row is None:
        return np.empty((0, 2), np.int64)
    near, _ = found(explored, row)
    return np.stack([np.full(len(near.rows), row), near.rows], axis=1)


def _choose_point(explored: Explored, row: int) -> None:
    ids = explored.points["id"].astype(str)
    rows = dict.fromkeys([row, *explored.selected[:CHOICES].tolist()])
    offered = {str(ids.iloc[one]): one for one in rows}
    if len(offered) > 1:
        now = str(ids.iloc[row])
        key = f"point_choice.{now}"  # another widget for each: what was chosen before is not this one's
        st.selectbox(
            "Of the point", list(offered), list(offered).index(now), width=320, key=key,
            format_func=lambda one: _called(explored, offered[one]),
            on_change=lambda: state.put("point", st.session_state[key]),
        )  # fmt: skip


def _called(explored: Explored, row: int) -> str:
    return f"{explored.points['id'].iloc[row]} · {_cell_name(explored, row)}"


def _cell_name(explored: Explored, row: int) -> str:
    return words.cell(explored.points.iloc[row], explored.classes, explored.subdomains)


def _point(explored: Explored, row: int) -> None:
    point, things = explored.points.iloc[row], items.thing(explored.meta)
    near, said = found(explored, row)
    kind = "the synthetic latent" if explored.synthetic[row] else f"the real {items.thing(explored.meta, 1)}"
    st.subheader(f"Nearest to {kind} {words.escaped(point['id'])}")
    cell = words.cell(point, explored.classes, explored.subdomains, mark=True)
    share = _share(explored, near.rows, int(point["label"]))
    widgets.note(f"It is for {cell}. {said}{share} {_on_map(explored, row, near)}")
    if not len(near.rows):
        widgets.note(f"There are no such {things} in this layer.")
        return
    own = [] if explored.synthetic[row] else [(row, "this one", False)]
    _strip(explored, own, near)
    _table(explored, row, near)


def _share(explored: Explored, rows: np.ndarray, label: int) -> str:
    same = int((explored.points["label"].iloc[rows] == label).sum())
    return (
        f"{same} of these {len(rows)} are <em>{words.safe(explored.classes[label])}</em>."
        if len(rows)
        else ""
    )


def _on_map(explored: Explored, row: int, near: Near) -> str:
    """How far the picture tells the same: neighbours are of latent space, not of the map."""
    if explored.info is None:
        return ""
    xy = loading.coordinates(explored.run.path, explored.info)
    number = nearby.also_near(xy, row, near, nearby.pool(explored.points, state.value("among")))
    if number is None:
        return "This map does not hold the point."
    return f"On the map, {number} of them are among its {len(near.rows)} nearest, too."


def _strip(explored: Explored, own: list[tuple[int, str, bool]], near: Near) -> None:
    """Neighbours to see or hear; a synthetic one is stood in for by its own nearest training item."""
    if not items.kind(explored.meta):
        return
    stand_in = loading.neighbours(explored.run.path)[0][:, 0]
    most = MOST.get(items.kind(explored.meta), len(near.rows))
    figures = list(own)
    for row, far in list(zip(near.rows, near.distance, strict=True))[:most]:
        held = "" if explored.points["split"].iloc[row] in ("train", "") else ", held-out"
        caption = f"{_cell_name(explored, row)}{held}, at {far:.1f}"
        if not explored.synthetic[row]:
            figures.append((int(row), caption, False))
        elif stand_in[row] >= 0:
            figures.append((int(stand_in[row]), f"near a latent for {caption}", True))
    uris = explored.points["uri"]
    items.draw([(items.shown(explored.meta, uris.iloc[r]), said, made) for r, said, made in figures],
               explored.meta, ACROSS)  # fmt: skip
    if len(near.rows) > most:
        widgets.note(f"The first {most}; the table holds all {len(near.rows)}.")


def _table(explored: Explored, row: int, near: Near) -> None:
    part = explored.points.iloc[near.rows]
    table = pd.DataFrame(
        {
            "": np.arange(1, len(part) + 1),
            "id": part["id"].to_numpy(),
            "class": np.asarray(explored.classes)[part["label"]],
            explored.axis: np.asarray(explored.subdomains)[part["subdomain"]],
            "what": np.where(part["origin"] == "synthetic", part["method"].map(method_title), part["split"]),
            "distance": np.round(near.distance, 3),
        }
    )

    def walk() -> None:
        picked = st.session_state["walk"].selection.rows
        if picked:
            state.put("point", str(table["id"].iloc[picked[0]]))

    with st.expander(f"The {len(table)} neighbours as a table"):
        widgets.note("Choose a row to go on from that point; the selection stays as it is.")
        st.dataframe(table, hide_index=True, key="walk", on_select=walk, selection_mode="single-row")


def _methods(explored: Explored) -> list[str]:
    return [m for m in explored.points["method"].unique() if m]


def cell_text(classes: Sequence[str], subdomains: Sequence[str], cell: tuple[int, int]) -> str:
    """A cell as the URL has it, "seven|inverted"."""
    return f"{classes[cell[0]]}|{subdomains[cell[1]]}"


def _cell(explored: Explored) -> None:
    """What would *sad* sound like in *Polish*: real items nearest to the centre of what was made for it."""
    methods = _methods(explored)
    if not methods:
        return
    state.bind("maker", methods[0], methods)
    cells = nearby.cells_made(explored.points, state.value("maker"))
    every = {cell_text(explored.classes, explored.subdomains, cell): cell for cell in cells}
    if not every:
        return
    state.bind("cell", next(iter(every)), list(every))
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
    layer, said = _layer(explored, synthetic=True)
    latents = loading.latents(explored.run.path, layer)
    near = nearby.to_centre(latents, cell, nearby.pool(points, among), int(state.value("k")))
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
    _strip(explored, [], near)
    widgets.note(
        f"Synthetic latents cannot be turned back into {thing}, so real ones stand in. {_scale(explored)}"
    )
    widgets.caution(explored.meta)


def _scale(explored: Explored) -> str:
    """What a distance is to be compared with."""
    distance = loading.neighbours(explored.run.path)[1][:, 0]
    train = distance[(explored.points["split"] == "train").to_numpy()]
    train = train[np.isfinite(train)]
    if not len(train):
        return ""
    return (
        "For scale: where latents are made, a training sample’s nearest other one is at "
        f"{np.median(train):.1f} (median)."
    )
