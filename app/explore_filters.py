"""Explore's settings: layer, scope and colour, the grid, and which points are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import colouring, column_filters, density, items, loading, missing, state, widgets, words
from app.palette import LIMIT
from gelda.report import method_title

SOURCES = ("real", "synthetic")
DENSITIES = ("off", *density.SOURCES)
HELD = "test"  # a comparison's tested items
HELD_WORDS = "Held-out items are what the figures were measured on: for looking only, choose nothing by them."


def bind(run: Path, meta: dict[str, Any], layers: Sequence[Any], maps: Sequence[Any], points: pd.DataFrame,
         colours: Mapping[str, str], axis: str) -> None:  # fmt: skip
    """Seed every setting of the view from the URL or what it was on the last page."""
    first = next((m for m in maps if m.scope_kind == "all" and m.has_synthetic), maps[0] if maps else None)
    own = next((layer.name for layer in layers if layer.generation_layer), layers[0].name)
    state.bind("layer", first.layer if first else own, [layer.name for layer in layers], "layer")
    state.bind("scope", "all", _scopes(meta), "map fitted on")
    state.bind("colour", "class", list(colours), "colour")
    known = many(run, meta)
    if known:
        state.bind("highlight", known[:LIMIT], known, "coloured group")
    state.bind("classes", [], list(meta["class_names"]), words.kind(meta))
    state.bind("conditions", [], list(meta["subdomain_names"]), axis)
    state.bind("show", list(SOURCES), SOURCES)
    state.bind("split", [], _splits(points), "split")
    made = _methods(points)
    one = made[:1] if len(made) > 1 else []  # several at once would hide each other
    state.bind("made", one, made, "method")
    state.bind("density", DENSITIES[0], DENSITIES)
    state.bind("rejected", True)
    state.bind("held", False)
    column_filters.bind(run, points, column_filters.offered(colours))


def many(run: Path, meta: dict[str, Any]) -> list[str]:
    """All groups of the colouring in view where there are more than hues, so that a person chooses among
    them: the scarcest classes and subdomains first, of a column the largest; else []."""
    colour = state.value("colour")
    if colour in colouring.GROUPED:
        names = colouring.scarcest(colour, meta)
    elif colour in colouring.SCORES or colour == "source":
        names = []
    else:
        names = loading.column_groups(run, colour)
    return names if len(names) > LIMIT else []


def highlighted(run: Path, meta: dict[str, Any]) -> list[str] | None:
    """The groups in colour, where a person chooses them."""
    return state.value("highlight") if many(run, meta) else None


def _splits(points: pd.DataFrame) -> list[str]:
    return [s for s in points["split"].unique() if s not in ("", HELD)]


def _methods(points: pd.DataFrame) -> list[str]:
    return [m for m in points["method"].unique() if m]


def _scopes(meta: dict[str, Any]) -> list[str]:
    kinds = (("class", meta["class_names"]), ("subdomain", meta["subdomain_names"]))
    return ["all", *(f"{kind}:{name}" for kind, names in kinds if len(names) > 1 for name in names)]


def scope_title(scope: str, axis: str) -> str:
    kind, _, name = scope.partition(":")
    return {"all": "Everything", "class": f"Class {name}", "subdomain": f"{axis.capitalize()} {name}"}[kind]


def controls(meta: dict[str, Any], axis: str, colours: dict[str, str]) -> None:
    scope, colour = st.columns(2)
    scope.selectbox("Map fitted on", _scopes(meta), key=state.key("scope"),
                    format_func=lambda s: scope_title(s, axis))  # fmt: skip
    colour.selectbox("Colour by", list(colours), key=state.key("colour"), format_func=colours.get)


def chosen(meta: dict[str, Any]) -> tuple[list[int], list[int]]:
    """Numbers of the classes and of the subdomains that the filters name; empty is all of them."""
    fields = (("classes", meta["class_names"]), ("conditions", meta["subdomain_names"]))
    first, second = ([names.index(n) for n in state.value(field)] for field, names in fields)
    return first, second


def grid(meta: dict[str, Any], axis: str) -> None:
    """Counts by class and subdomain; a click filters."""
    names = {"classes": meta["class_names"], "conditions": meta["subdomain_names"]}

    def to_cell(label: int, subdomain: int) -> None:
        wanted = {
            "classes": [names["classes"][label]] if label >= 0 else [],
            "conditions": [names["conditions"][subdomain]] if subdomain >= 0 else [],
        }
        same = all(state.value(field) == value for field, value in wanted.items())
        for field, value in wanted.items():
            state.put(field, [] if same else value)  # a second click shows everything again

    st.markdown("**Training samples and synthetic latents**")
    widgets.cell_grid(meta, *chosen(meta), to_cell)
    kind = words.kind(meta)
    lacking = missing.sentence(
        meta["real"], meta["class_names"], meta["subdomain_names"], items.thing(meta, 1), kind, "in training"
    )
    if lacking:
        widgets.note(f"<strong>{words.safe(lacking)}</strong>")
    dashed = " Dashed: none in training." if (np.asarray(meta["real"]) == 0).any() else ""
    several = len(meta["subdomain_names"]) > 1
    what = f"a cell, {words.article(kind)} or {words.article(axis)}" if several else words.article(kind)
    widgets.note(
        f"Real samples in training, +synthetic.{dashed} Click {what} to see it alone; click again for "
        "everything."
    )


def view(run: Path, meta: dict[str, Any], points: pd.DataFrame, axis: str,
         colours: Mapping[str, str]) -> np.ndarray:  # fmt: skip
    """The filters; returns which points are visible, ``[N]``."""
    st.pills("Show", SOURCES, key="show", selection_mode="multi", format_func=str.capitalize)
    st.segmented_control(
        "Density of points in view", DENSITIES, key="density", required=True, format_func=str.capitalize,
        help=f"Lines around {words.listed([str(share) for share in density.HELD])} % of them.",
    )  # fmt: skip
    if known := many(run, meta):
        _highlight(known, axis)
    splits, made = _splits(points), _methods(points)
    if len(made) > 1:
        st.pills("Made by", made, key="made", selection_mode="multi", format_func=method_title)
    with st.expander("More filters", expanded=any(map(state.value, ("split", "held", "where")))):
        for noun, key, names in (
            (words.kind(meta), "classes", meta["class_names"]),
            (axis, "conditions", meta["subdomain_names"]),
        ):
            if len(names) == 1:
                continue
            several = words.plural(noun)
            label = words.escaped(several.capitalize())
            st.multiselect(label, names, key=state.key(key), placeholder=f"All {several}")
        if len(splits) > 1:
            st.pills("Split of real points", splits, key="split", selection_mode="multi")
        if not points["kept"].all():
            st.toggle("Synthetic latents that were set aside or dropped", key="rejected")
        if (points["split"] == HELD).any():
            st.toggle("Held-out items (test)", key="held")
            widgets.note(HELD_WORDS)
        column_filters.view(run, points, {name: colours[name] for name in column_filters.offered(colours)})
    return visible(points, meta)


def _highlight(known: list[str], axis: str) -> None:
    """Which groups are in colour where there are more than hues; all others are grey."""
    plural = words.escaped(words.plural(axis))
    kind = {"class": "classes", "condition": plural}.get(state.value("colour"), "groups")
    st.multiselect(
        f"In colour, {words.thousands(len(known))} {kind} in all", known, key=state.key("highlight"),
        max_selections=LIMIT, placeholder="Search by name",
    )  # fmt: skip
    if list(state.value("highlight")) != known[:LIMIT]:
        which = "scarcest" if state.value("colour") in colouring.GROUPED else "largest"
        st.button(f"The ten {which}", on_click=state.put, args=("highlight", known[:LIMIT]))


def visible(points: pd.DataFrame, meta: dict[str, Any]) -> np.ndarray:
    """Which points the filters let through, ``[N]``."""
    classes, conditions = chosen(meta)
    shown = points["origin"].isin(state.value("show")).to_numpy()
    real = (points["origin"] == "real").to_numpy()
    if classes:
        shown = shown & points["label"].isin(classes).to_numpy()
    if conditions:
        shown = shown & points["subdomain"].isin(conditions).to_numpy()
    if state.value("split"):
        shown = shown & (~real | points["split"].isin(state.value("split")).to_numpy())
    if state.value("made"):
        shown = shown & (real | points["method"].isin(state.value("made")).to_numpy())
    if not state.value("rejected"):
        shown = shown & points["kept"].to_numpy(dtype=bool)
    return shown & offered(points) & column_filters.inside(points)


def offered(points: pd.DataFrame) -> np.ndarray:
    """Which points the filters choose from, ``[N]``: held-out items only where they were asked for."""
    return (points["split"] != HELD).to_numpy() | bool(state.value("held"))
