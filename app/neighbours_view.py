"""The neighbours panel: what is nearest to a point, and what a cell without a sample would look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import items, joined, loading, near_cell, near_strip, state, widgets, words
from app.explored import Explored
from gelda import nearby
from gelda.nearby import Near

POOLS = {"train": "Training samples", "real": "All real items", "synthetic": "Synthetic latents"}
HOW_MANY = ("5", "8", "10", "15", "20", "30", "50")
_WALKED = "_walked"
CHOICES = 200  # points of the selection to choose from


def view(explored: Explored) -> None:
    """A point's neighbours where something is selected, and the question about a cell."""
    row = _row(explored)
    _bind()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.select_slider("How many", HOW_MANY, key="k", width=260)
        st.segmented_control("Nearest among", list(POOLS), key="among", format_func=POOLS.get, required=True)
        if row is not None:
            _choose_point(explored, row)
            _back(explored)
    if row is None:
        near_cell.view(explored)
        widgets.note("For the neighbours of one point, click it on the map, or search for it.")
    else:
        _point(explored, row)
        near_cell.view(explored)


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
    _path(explored.run.id).clear()  # another selection is another walk
    return int(explored.selected[0]) if len(explored.selected) else None


def found(explored: Explored, row: int) -> tuple[Near, str]:
    """The neighbours of a point as the controls ask for them, and what must be said of them."""
    among, k = state.value("among"), int(state.value("k"))
    made = explored.made is not None and (row >= explored.made.first or among == "synthetic")
    layer, said = near_strip.layer(explored, bool(explored.synthetic[row]) or among == "synthetic", made)
    key = loading.points_stamp(explored.run.path), explored.key
    latents = explored.latents(layer)
    return _nearest(explored.run.path, layer, key, row, among, k, latents, explored.points), said


@st.cache_resource(max_entries=64, show_spinner=False)
def _nearest(run: Path, layer: str, key: tuple[int, str], row: int, among: str, k: int, _latents: Any,
             _points: pd.DataFrame) -> Near:  # fmt: skip
    """Asked for by the map's lines and by the panel in one drawing of the page, and again on the way back."""
    return nearby.to_point(_latents, row, nearby.pool(_points, among), k)


def lines(explored: Explored) -> np.ndarray:
    """Pairs of rows ``[M, 2]`` that the map joins: the point and each of its neighbours."""
    _bind()
    row = _row(explored)
    if row is None:
        return np.empty((0, 2), np.int64)
    near, _ = found(explored, row)
    return np.stack([np.full(len(near.rows), row), near.rows], axis=1)


def _choose_point(explored: Explored, row: int) -> None:
    rows = [row, *explored.selected[:CHOICES].tolist()]
    offered = {str(explored.points["id"].iloc[one]): one for one in dict.fromkeys(rows)}
    if len(offered) > 1:
        now = str(explored.points["id"].iloc[row])
        key = f"point_choice.{now}"  # another widget for each: what was chosen before is not this one's
        st.selectbox(
            "Of the point", list(offered), list(offered).index(now), width=320, key=key,
            format_func=lambda one: _called(explored, offered[one]),
            on_change=lambda: state.put("point", st.session_state[key]),
        )  # fmt: skip


def _called(explored: Explored, row: int) -> str:
    point = explored.points.iloc[row]
    return f"{point['id']} · {words.cell(point, explored.classes, explored.subdomains)}"


def _point(explored: Explored, row: int) -> None:
    point, things = explored.points.iloc[row], items.thing(explored.meta)
    near, said = found(explored, row)
    made = point["origin"] == "synthetic"
    kind = "the synthetic latent" if made else f"the real {items.thing(explored.meta, 1)}"
    st.subheader(f"Nearest to {kind} {words.escaped(point['id'])}")
    cell = words.cell(point, explored.classes, explored.subdomains, mark=True)
    share = _share(explored, near.rows, int(point["label"]))
    maker = f", made by {words.safe(joined.makers(explored.points.iloc[[row]])[0])}" if made else ""
    widgets.note(f"It is for {cell}{maker}. {said}{share} {_on_map(explored, row, near)}")
    if not len(near.rows):
        widgets.note(f"There are no such {things} in this layer.")
        return
    own = [] if made else [(row, "this one", False)]
    near_strip.strip(explored, own, near)
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
    if explored.info is None or (explored.made and row >= explored.made.first):
        return ""  # what edits made is placed by its neighbours
    xy = explored.coordinates(explored.info)
    number = nearby.also_near(xy, row, near, nearby.pool(explored.points, state.value("among")))
    if number is None:
        return "This map does not hold the point."
    return f"On the map, {number} of them are among its {len(near.rows)} nearest, too."


def _table(explored: Explored, row: int, near: Near) -> None:
    part = explored.points.iloc[near.rows]
    table = pd.DataFrame(
        {
            "": np.arange(1, len(part) + 1),
            "id": part["id"].to_numpy(),
            "class": np.asarray(explored.classes)[part["label"]],
            explored.axis: np.asarray(explored.subdomains)[part["subdomain"]],
            "what": np.where(part["origin"] == "synthetic", joined.makers(part), part["split"]),
            "distance": np.round(near.distance, 3),
        }
    )

    def walk() -> None:
        picked = st.session_state["walk"].selection.rows
        if picked:
            _go_on(explored, row, str(table["id"].iloc[picked[0]]))

    with st.expander(f"The {len(table)} neighbours as a table", expanded=True):
        widgets.note("Choose a row to go on from that point; the selection stays as it is.")
        st.dataframe(table, hide_index=True, key="walk", on_select=walk, selection_mode="single-row")


def _go_on(explored: Explored, row: int, point: str) -> None:
    """To a neighbour of the point in question, with a way back."""
    _path(explored.run.id).append(str(explored.points["id"].iloc[row]))
    state.put("point", point)


def _path(run: str) -> list[str]:
    """The points walked over to this one, of this run."""
    held: dict[str, list[str]] = st.session_state.setdefault(_WALKED, {})
    return held.setdefault(run, [])


def _back(explored: Explored) -> None:
    path = _path(explored.run.id)

    def back() -> None:
        if not state.along():
            state.put("point", path.pop())

    if path:
        st.button(f"Back to {words.escaped(path[-1])}", on_click=back)
