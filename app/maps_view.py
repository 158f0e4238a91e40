"""The panel of maps: side by side by layer, class or subdomain; others made, named, kept and deleted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app import colouring, loading, map_choice, multiples, state, widgets, words
from app import explore_filters as filters
from app.explored import Explored
from gelda import aligned_maps, layer_maps, map_jobs, projection, runs
from gelda.projection import MapInfo
from gelda.settings import ProjectionConfig

BESIDE = ("layers", "classes", "subdomains")
MOST = 24  # small maps at once
ROWS = 12  # kept maps that are listed
FIELDS = ("n_neighbors", "min_dist", "metric", "seed", "pca", "fit_on")


def view(explored: Explored) -> None:
    state.bind("beside", BESIDE[0], _ways(explored))
    _beside(explored)
    left, right = st.columns([0.42, 0.58], gap="large")
    with left:
        _form(explored)
    with right:
        _kept(explored)


def _ways(explored: Explored) -> list[str]:
    """What small maps can lie side by side by: of one subdomain they would be the map in view."""
    return [way for way in BESIDE if way != "subdomains" or len(explored.subdomains) > 1]


def _beside(explored: Explored) -> None:
    """Small maps of every layer, class or subdomain, and an offer to make those that are missing."""
    titles = {
        "layers": "Layers",
        "classes": "Classes",
        "subdomains": words.escaped(words.plural(explored.axis).capitalize()),
    }
    st.segmented_control(
        "Side by side", _ways(explored), key="beside", required=True, format_func=titles.get,
        help="Click one to put it into view.",
    )  # fmt: skip
    scopes, names, more = _scopes(explored)
    wanted = map_choice.wanted(explored.run, explored.maps)
    found = [map_choice.nearest([m for m in explored.maps if m.scope == scope], wanted) for scope in scopes]
    tiles = [
        multiples.Tile(name, "not made yet")
        if info is None
        else multiples.Tile(
            name,
            _trust(info),
            info.key,
            explored.coordinates(info),
            info == explored.info,
        )
        for name, info in zip(names, found, strict=True)
    ]
    data = multiples.pack(tiles, explored.points, _colours(explored), explored.visible, explored.rows)
    multiples.draw(data, "multiples", lambda key: _show(explored.maps, key))
    if more:
        widgets.note(
            f"{more} more: choose classes or {words.plural(explored.axis)} in the filters to see theirs."
        )
    if state.value("beside") == "layers" and map_choice.scope()[1] == "all":
        _together(explored, found)
    else:
        _missing(explored, [s for s, info in zip(scopes, found, strict=True) if info is None])


def _scopes(explored: Explored) -> tuple[list[tuple[str, str, str]], list[str], int]:
    """Scopes of the small maps, their names, and how many were left out; the scarcest come first."""
    layer, kind, name = map_choice.scope()
    if state.value("beside") == "layers":
        scopes = [(entry.name, kind, name) for entry in explored.layers]
        return scopes, [entry.title for entry in explored.layers], 0
    axis, field = ("class", "classes") if state.value("beside") == "classes" else ("subdomain", "conditions")
    names = state.value(field) or colouring.scarcest(
        "class" if axis == "class" else "condition", explored.meta
    )
    return [(layer, axis, n) for n in names[:MOST]], list(names[:MOST]), max(0, len(names) - MOST)


def _colours(explored: Explored) -> np.ndarray:
    """The colours of the large map."""
    colour, meta = state.value("colour"), explored.meta
    chosen = filters.highlighted(explored.run.path, meta)
    head = loading.scored_by(explored.run.path)
    return colouring.make(colour, explored.points, meta, explored.axis, head, chosen).numbers


def _show(maps: Sequence[MapInfo], key: str) -> None:
    map_choice.show(next(info for info in maps if info.key == key))


def _missing(explored: Explored, scopes: Sequence[tuple[str, str, str]]) -> None:
    """One job for all of them; what is being made or failed is said."""
    here = [info for info in explored.maps if info.scope in scopes]
    going = [info.key for info in here if info.state == "running"]
    failed = {info.message for info in here if info.state == "failed"}
    for message in sorted(failed):
        widgets.warn(message)
    if going:
        map_choice.follow(explored.run, going)
    elif scopes and not runs.readonly():
        about = map_choice.alone(explored.run, scopes)
        what = "missing one" if len(scopes) == 1 else f"{len(scopes)} missing ones"
        st.button(
            f"Make the {what}, {about}", on_click=map_choice.start,
            args=(explored.run, explored.maps, scopes),
        )  # fmt: skip


def _together(explored: Explored, found: Sequence[MapInfo | None]) -> None:
    """The layers of everything are laid out together; where they cannot be, each alone."""
    config = map_choice.config(explored.run, explored.maps)
    why = aligned_maps.refusal(explored.run.path, config)
    missing = [entry for entry, info in zip(explored.layers, found, strict=True) if info is None]
    going = [m.key for m in explored.maps if m.scope_kind == "all" and m.state == "running"]
    if why or going or runs.readonly() or all(info is not None and info.aligned for info in found):
        _missing(explored, [(entry.name, "all", "") for entry in missing])
        return
    for message in sorted({m.message for m in explored.maps if m.scope_kind == "all" and m.message}):
        widgets.warn(message)
    about = map_choice.together(explored.run, explored.layers)
    st.button(
        f"Lay all {len(found)} layers out together, {about}", on_click=map_choice.start_together,
        args=(explored.run, explored.maps), help="A point then keeps its place from layer to layer.",
    )  # fmt: skip


def _form(explored: Explored) -> None:
    """A map of this layer and scope with other settings, under a name."""
    from app import form  # it imports torch, which no other part of this page needs

    st.markdown("**Another map of what is in view**")
    if runs.readonly():
        widgets.note("This server is for looking only: no maps are made here.")
        return
    own = loading.projection_config(explored.run.path)
    changed = form.settings(FIELDS, own, prefix=_prefix(explored.run), across=2)
    st.text_input("Name", key="map_name", placeholder="Optional", max_chars=60)
    config = ProjectionConfig(**{**own.model_dump(), **changed})
    here = [m for m in explored.maps if m.scope == map_choice.scope() and m.settings == config.model_dump()]
    there = min(here, key=lambda m: m != explored.info, default=None)
    if there is not None and there.state == "running":
        map_choice.follow(explored.run, [there.key])
    elif there is not None and there.state == "done":
        st.button("Show this map", on_click=map_choice.show, args=(there,), disabled=there == explored.info)
        widgets.note("It has been made before.")
    else:
        if there is not None:
            widgets.warn(there.message)
        about = map_choice.alone(explored.run, [map_choice.scope()])
        st.button(
            f"Make this map, {about}", key="make_map", on_click=_make,
            args=(explored.run, own),
            type="primary" if explored.info else "secondary",  # without one, the place of the map offers it
        )  # fmt: skip


def _make(run: runs.RunState, own: ProjectionConfig) -> None:
    """Start the map that the fields ask for now: typed, and clicked at once, they are ahead of the page."""
    asked = {field: st.session_state[f"{_prefix(run)}.{field}"] for field in FIELDS}
    config = ProjectionConfig(**{**own.model_dump(), **asked})
    name = st.session_state["map_name"].strip()
    state.put("map", map_jobs.start_projection(run.id, *map_choice.scope(), config, name))
    state.put("map_name", "")


def _prefix(run: runs.RunState) -> str:
    return f"map.{run.id}"


def _kept(explored: Explored) -> None:
    """Maps that were named or made with settings of their own, and those of what is in view."""
    own = loading.projection_config(explored.run.path).model_dump()
    kept = [
        info
        for info in explored.maps
        if info.state == "done"
        and (
            info.name
            or info.scope == map_choice.scope()
            or any(info.settings[name] != own[name] for name in layer_maps.SAME)
        )
    ]
    st.markdown("**Kept maps**")
    if not kept:
        widgets.note("None yet of what is in view.")
    kept.sort(key=lambda info: (info != explored.info, info.scope != map_choice.scope()))
    anchor = layer_maps.anchor(explored.run.path, explored.maps, ProjectionConfig(**own))
    for info in kept[:ROWS]:
        _row(explored, info, info == anchor)
    if len(kept) > ROWS:
        widgets.note(f"{len(kept) - ROWS} more: choose their layer or scope to see them here.")


def _row(explored: Explored, info: MapInfo, own: bool) -> None:
    kind = f"{info.scope_kind}:{info.scope_name}" if info.scope_name else "all"
    scope = filters.scope_title(kind, explored.axis)
    title = f"<strong>{words.safe(info.name)}</strong>, " if info.name else ""
    how = "laid out with the other layers" if info.aligned else ""
    facts = [how, map_choice.said(info), _trust(info), words.ago(info.created) if info.created else ""]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"kept-{info.key}"):
        st.html(
            f'<p class="kept">{title}{words.safe(scope)}, {words.safe(info.layer_title)}'
            f"<small>{words.safe('; '.join(filter(None, facts)))}</small></p>"
        )
        seen = info == explored.info
        st.button(
            "In view" if seen else "Show", key=f"show.{info.key}", on_click=map_choice.show, args=(info,),
            disabled=seen,
        )  # fmt: skip
        if runs.readonly() or info.path.parent != _folder(explored.run):
            return
        with st.popover("Rename"):
            st.text_input(
                "Name", info.name, key=f"name.{info.key}", max_chars=60, on_change=_rename, args=(info,)
            )
        if not own:
            st.button("Delete", key=f"delete.{info.key}", on_click=projection.delete_map, args=(info,))


def _trust(info: MapInfo) -> str:
    return "" if info.trustworthiness is None else f"trustworthiness {info.trustworthiness:.2f}"


def _rename(info: MapInfo) -> None:
    projection.rename_map(info, st.session_state[f"name.{info.key}"])


def _folder(run: runs.RunState) -> object:
    """Where a person's own maps of this run lie; the others ship with it."""
    return projection.maps_folders(run.path, map_jobs.map_workspace(run.path))[-1]
