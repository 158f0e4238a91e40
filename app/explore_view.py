"""Explore: the map of one run with its grid, filters, and what a person has selected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import (
    colouring,
    density,
    editing,
    explore_panels,
    items,
    joined,
    layer_slider,
    loading,
    loop_bar,
    map_choice,
    selecting,
    selection_bar,
    state,
    widgets,
    words,
)
from app import explore_filters as filters
from app import map as latent_map
from app.explored import Explored
from app.palette import entries, theme
from gelda import layer_maps, projection, report, runs
from gelda.embedding import NEIGHBOURS

HEIGHT = 456  # of the map at least, in pixels: with its slider and what stands above, it fits a screen of 800


def view(run: runs.RunState, head: Any) -> None:
    """The whole page; `head` is the place of the headline beside the run picker.

    assets/app.css lays out its three parts: the map beside its settings, the panels below both; on a wide
    screen the map stays in sight beside the panels.
    """
    meta = editing.counted(run, loading.meta(run.path))
    with head:
        st.title(_headline(meta))
        widgets.caution(meta)
    loading.prepare()
    made = editing.made(run, loading.points(run.path))
    points = editing.shown(run, loading.points(run.path), made)
    layers, maps = projection.layers(run.path), loading.maps(run.path)
    axis = words.axis(run, meta)
    colours = loading.colourings(run.path, axis)
    filters.bind(run.path, meta, layers, maps, points, colours, axis)
    map_choice.bind(maps)
    page = st.container(key="explore")
    left, right, below = page.container(gap="xsmall"), page.container(key="explore-side"), page.container()
    cells, settings = right.container(), right.container()
    with cells:
        filters.controls(meta, axis, colours)
        filters.grid(meta, axis)
        actions = st.container(horizontal=True)
    with settings:
        visible = filters.view(run.path, meta, points, axis, colours)
    info = map_choice.chosen(run, maps)
    rows = selecting.opened(run, points, made)
    explored = Explored(run, meta, points, layers, maps, info, visible, rows[visible[rows]], rows, made)
    panels = explore_panels.bind(explored)
    with actions:
        explore_panels.for_cell(explored, *filters.chosen(meta))
    with left:
        said = ""
        loop_bar.view(explored)
        if info is None:
            map_choice.offer(run, layers, maps, filters.scope_title(state.value("scope"), axis))
        else:
            said = _map(explored)
        changed = layer_slider.view(run, layers, meta, info is not None and info.aligned)
        selection_bar.view(explored)
        for told in filter(None, (words.safe(changed), said)):
            widgets.note(told)
    with below:
        explore_panels.view(explored, panels)
    with head:
        widgets.absent()
    state.publish()


def _headline(meta: dict[str, Any]) -> str:
    """What the grid says in one sentence."""
    real, made = np.asarray(meta["real"]), np.asarray(meta["synthetic"])
    empty = real == 0
    if not empty.any():
        both = words.count(int(real.sum()), "real latent"), words.count(int(made.sum()), "synthetic one")
        return " and ".join(both)
    number, latents = int(made[empty].sum()), words.count(int(made[empty].sum()), "synthetic latent")
    if empty.sum() == 1:
        said = f"1 of {words.thousands(empty.size)} cells holds no training sample"
    else:
        some, every = words.thousands(int(empty.sum())), words.thousands(empty.size)
        said = f"{some} of {every} cells hold no training sample"
    stand = "stands" if number == 1 else "stand"
    return f"{said}; {latents} {stand} in for {'it' if empty.sum() == 1 else 'them'}" if number else said


def _map(explored: Explored) -> str:
    """Draw the map; returns what is to be said of it."""
    run, info, points, meta = explored.run, explored.info, explored.points, explored.meta
    visible = explored.visible
    chosen = filters.highlighted(run.path, meta)
    colour = state.value("colour")
    layout = layout_of(run, info, points, visible, explored.rows, meta, colour, chosen, explored.made)
    source = state.value("density")
    if source != "off":
        of_source = (points["origin"] == source).to_numpy()
        layout = replace(layout, density=density.of(layout.xy, visible & of_source, source))
    lines = explore_panels.lines(explored)
    if lines is not None:
        layout = replace(layout, lines=lines)

    def on_pick(event: dict[str, Any]) -> None:
        if event.get("polygon"):
            inside = latent_map.inside(event["polygon"], layout.xy)
            selecting.pick(run.id, inside[visible[inside]], "lasso")
        elif event.get("row") is not None:
            selecting.pick(run.id, [event["row"]], "click", "toggle" if event.get("more") else "")
        else:
            state.select(run.id, [], "")

    _legend(layout.colouring, layout.visible)
    drawn = latent_map.draw(layout, key="latents", height=HEIGHT, tall=True, run=run.path, on_pick=on_pick)
    on_map = np.isfinite(layout.xy[:, 0])
    wanted = int((layout.visible & on_map).sum())
    total = int(on_map[filters.offered(layout.points)].sum())
    said = f"{words.thousands(drawn)} of {words.thousands(total)} points drawn."
    if drawn < wanted:
        said = (
            f"Drawn {words.thousands(drawn)} of {words.thousands(wanted)} points in view, every cell kept; "
            "the lasso selects all that lie inside, also those not drawn."
        )
    if not info.has_synthetic:
        said += " Synthetic latents start at the layer they are generated at, so this layer has none."
    told = [words.safe(layout.colouring.meaning), *map(words.safe, meta.get("notes", ()))]
    trust = words.trust(info.trustworthiness, NEIGHBOURS)
    return " ".join(filter(None, [said, *told, _which(explored), trust]))


def _which(explored: Explored) -> str:
    """The map's own name, and what sets it apart from the run's other maps."""
    info = explored.info
    own = loading.projection_config(explored.run.path).model_dump()
    apart = [name for name in map_choice.differing(info, own) if name in layer_maps.SAME]
    made = map_choice.said(info, apart)
    named = f"Map \u201c{words.safe(info.name)}\u201d" if info.name else "This map" if made else ""
    said = f"{named}{': ' if made else ''}{made}." if named else ""
    return f"{said} {words.safe(info.message)}".strip()


def layout_of(
    run: runs.RunState,
    info: Any,
    points: pd.DataFrame,
    visible: np.ndarray,
    rows: np.ndarray,
    meta: dict[str, Any],
    colour: str,
    chosen: Sequence[str] | None = None,
    more: editing.MadePoints | None = None,
) -> latent_map.Layout:
    """What the map component draws, for this page and for Home's picture; chosen: see `colouring.make`.

    more: what edits made, the last of the points.
    """
    xy = joined.coordinates(run.path, info, more)
    near, distance = joined.neighbours(run.path, more)
    axis = words.axis(run, meta)
    made = colouring.make(colour, points, meta, axis, loading.scored_by(run.path), chosen)
    synthetic = int(((points["origin"] == "synthetic").to_numpy() & visible).sum())
    return latent_map.Layout(
        view=f"{run.id}/{info.key}",
        xy=xy,
        points=points,
        colouring=made,
        visible=visible,
        selected=rows,
        labels=latent_map.labels_at_modes(xy, made, visible),
        class_names=meta["class_names"],
        subdomain_names=meta["subdomain_names"],
        sources=report.METHOD_TITLES,
        near=near,
        distance=distance,
        things=items.thing(meta),
        mode=selecting.mode(),
        alt=f"Map of {int(visible.sum()) - synthetic} real and {synthetic} synthetic latents, coloured by "
        f"{made.title}.",
    )


def _legend(made: colouring.Colouring, visible: np.ndarray) -> None:
    """What shapes and colours mean; how many points in view have no colour."""
    look = theme(st.context.theme.type)
    hues = entries(look)
    real, synthetic = (look.quiet, look.accent) if made.title == "source" else (look.muted, look.muted)
    parts = [
        f'<span><i style="--hue:{real}"></i>real</span>',
        f'<span><i class="open" style="--hue:{synthetic}"></i>synthetic</span>',
    ]
    parts += [f'<span><i style="--hue:{hues[k]}"></i>{words.safe(name)}</span>' for k, name in made.legend]
    if made.ramp is not None:
        parts.append(_ramp(made.title, made.ramp, look))
    grey = 0 if made.without is None else int((made.without & visible).sum())
    if grey:
        parts.append(f'<span><i style="--hue:{look.quiet}"></i>{words.thousands(grey)} {made.lack}</span>')
    st.html(f'<div class="legend">{"".join(parts)}</div>')


def _ramp(title: str, ramp: colouring.Ramp, look: Any) -> str:
    """The ramp with its ends and its middle; both ends stand for what lies beyond them, too."""
    low, middle, high = ramp.written()
    scale = " (logarithmic)" if ramp.logarithmic else ""
    shades = ", ".join(look.ramp)
    return (
        f'<span class="ramp">{words.safe(title)}{scale}: {low} or less '
        f'<b style="background:linear-gradient(to right, {shades})"></b> {high} or more, '
        f"half below {middle}</span>"
    )
