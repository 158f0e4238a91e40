"""Which of a run's maps is in view, and one that has to be made first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from app import loading, state, widgets, words
from gelda import map_costs, map_jobs, projection, runs
from gelda.projection import SETTINGS, LayerInfo, MapInfo
from gelda.settings import ProjectionConfig

SHORT = {
    "n_neighbors": "{} neighbours",
    "min_dist": "least distance {:g}",
    "metric": "{}",
    "pca": "{} components",
    "fit_on": "fitted on {}",
    "seed": "seed {}",
}


def bind(maps: Sequence[MapInfo]) -> None:
    """`map` in the URL is the key of a map: it is shown, and so are others with its settings."""
    state.bind("map", "", ["", *(info.key for info in maps)], "map")


def scope() -> tuple[str, str, str]:
    """The layer, kind and name of the scope that the page is about."""
    kind, _, name = state.value("scope").partition(":")
    return state.value("layer"), kind, name


def wanted(run: runs.RunState, maps: Sequence[MapInfo]) -> dict[str, Any]:
    """The settings that the view asks for: those of the chosen map, else the run's own."""
    named = next((info for info in maps if info.key == state.value("map")), None)
    return named.settings if named else loading.projection_config(run.path).model_dump()


def config(run: runs.RunState, maps: Sequence[MapInfo]) -> ProjectionConfig:
    """What a new map is made with: those settings; maps of earlier releases kept all dimensions (pca 0)."""
    asked = wanted(run, maps)
    return ProjectionConfig(**{**asked, "pca": asked["pca"] or loading.projection_config(run.path).pca})


def chosen(run: runs.RunState, maps: Sequence[MapInfo]) -> MapInfo | None:
    """The map of this layer and scope whose settings come nearest to those that are asked for."""
    here = [m for m in maps if m.scope == scope()]
    named = next((m for m in here if m.key == state.value("map") and m.state == "done"), None)
    return named or nearest(here, wanted(run, maps))


def nearest(maps: Sequence[MapInfo], settings: dict[str, Any]) -> MapInfo | None:
    """The finished map that differs in the fewest of the settings; of several the one that is laid out with
    the other layers, else the earliest."""
    done = [info for info in maps if info.state == "done"]
    return min(
        done, key=lambda m: (len(differing(m, settings)), not m.aligned, m.created, m.key), default=None
    )


def differing(info: MapInfo, settings: dict[str, Any]) -> list[str]:
    return [name for name in SETTINGS if info.settings[name] != settings[name]]


def said(info: MapInfo, names: Sequence[str] = SETTINGS) -> str:
    """Settings of a map in few words."""
    known = [name for name in SETTINGS if name in names and not (name == "pca" and info.pca == 0)]
    return ", ".join(SHORT[name].format(info.settings[name]) for name in known)


def show(info: MapInfo) -> None:
    """Put a map into view; for a callback."""
    state.put("layer", info.layer)
    state.put("scope", f"{info.scope_kind}:{info.scope_name}" if info.scope_name else "all")
    state.put("map", info.key)


@st.cache_data(ttl=20, show_spinner=False)
def _timed(home: str) -> list[MapInfo]:
    return map_costs.timed()


def alone(run: runs.RunState, scopes: Sequence[tuple[str, str, str]]) -> str:
    """About how long it takes to make maps of these scopes, each on its own."""
    points = loading.points(run.path)
    sizes = [int(projection.in_scope(run.path, points, *scope[1:]).sum()) for scope in scopes]
    return words.about(*map_costs.alone(sizes, _timed(str(runs.home()))))


def together(run: runs.RunState, layers: Sequence[LayerInfo]) -> str:
    """About how long it takes to lay out the maps of everything at all layers together."""
    size = len(loading.points(run.path))
    return words.about(*map_costs.together(size, len(layers), _timed(str(runs.home()))))


def offer(run: runs.RunState, layers: Sequence[LayerInfo], maps: Sequence[MapInfo], title: str) -> None:
    """A map that does not exist yet: offer to make it, and follow it while it is made."""
    layer = next(entry for entry in layers if entry.name == state.value("layer"))
    here = [info for info in maps if info.scope == scope()]
    going = [info for info in here if info.state == "running"]
    with st.container(
        key="vacant", border=True, height=514, vertical_alignment="center", horizontal_alignment="center"
    ):
        st.markdown(f"**{words.escaped(f'{title}, {layer.title}')}: no map has been made yet.**")
        for failed in [info for info in here if info.state == "failed"]:
            widgets.warn(failed.message or "Making this map failed.")
        if going:
            follow(run, [info.key for info in going])
        elif runs.readonly():
            widgets.note("This server is for looking only: choose a layer and a scope that have a map.")
        else:
            about, every = alone(run, [scope()]), scope()[1] == "all" and len(layers) > 1
            if every:
                long = together(run, layers)
                st.button(
                    f"Make the maps of all {len(layers)} layers, {long}", type="primary",
                    help="They are laid out together: a point keeps its place from layer to layer.",
                    on_click=start_together, args=(run, maps),
                )  # fmt: skip
            st.button(
                f"Make this map{' alone' if every else ''}, {about}",
                type="secondary" if every else "primary", on_click=start, args=(run, maps, [scope()]),
            )  # fmt: skip


def start_together(run: runs.RunState, maps: Sequence[MapInfo]) -> None:
    """Start laying out all layers with the settings that the view asks for; for a callback."""
    map_jobs.start_aligned(run.id, config(run, maps))


def start(run: runs.RunState, maps: Sequence[MapInfo], scopes: Sequence[tuple[str, str, str]]) -> None:
    """Start making maps with the settings that the view asks for; for a callback."""
    map_jobs.start_projections(run.id, scopes, config(run, maps))


@st.fragment(run_every=1)
def follow(run: runs.RunState, keys: Sequence[str]) -> None:
    """How far maps are in the making; draws the page again when one of them is there."""
    going = [m for m in loading.maps(run.path) if m.key in keys and m.state == "running"]
    if len(going) < len(keys):
        st.rerun()
    began = min(datetime.fromisoformat(info.created) for info in going)
    passed = words.duration((datetime.now(UTC) - began).total_seconds())
    what = "the map" if len(going) == 1 else f"{len(going)} maps"
    widgets.note(f"Making {what}: {passed} so far. It goes on if you leave this page.")
