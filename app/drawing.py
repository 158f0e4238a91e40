"""What the panels that draw fresh latents share: which cell, how, asking for it, and its place on the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from app import charts, colouring, loading, state, widgets, words
from app import map as latent_map
from app.explored import Explored
from gelda import jobs, runs, samples, schedulers
from gelda.samples import Drawn, SampleRequest

COUNTS = ("20", "40", "80")
SEEDS = ("own", *map(str, range(1, 10)))
STEERED = {"both": "Class and {axis}", "class": "Class alone", "subdomain": "{axis} alone"}
WIDE = 165  # pixels of a choice of class or subdomain
BACKGROUND = 1_500  # real points behind the drawn ones, every cell kept
TOLD = 6  # cells drawn before that are named
FAR_OFF = 0.1  # of the map's width: places that are off by more are said to be uncertain


@dataclass(frozen=True)
class Backdrop:
    """Real points behind what is drawn: places [N, 2] of some of them, their classes, names on the map."""

    xy: np.ndarray
    label: np.ndarray
    names: list[dict[str, Any]]


def ready(explored: Explored) -> bool:
    """Whether this run can draw fresh latents; says what to do where it cannot."""
    run = explored.run
    if samples.drawable(run.path):
        return True
    st.subheader("This run keeps no generator")
    if not explored.synthetic.any():
        widgets.note("Nothing was generated in it: choose a run with GeLDA among its methods.")
        return False
    again = "" if runs.readonly() else " Resume it: what is finished is reused, and its figures stay."
    widgets.note(f"It was finished before runs kept theirs.{again}")
    if not runs.readonly() and st.button("Keep its generator", type="primary"):
        jobs.resume(run.id)
        st.rerun()
    return False


def default_cell(explored: Explored) -> tuple[int, int]:
    """A cell without any training sample for which latents were made, else one of a scarcest class."""
    real, made = np.asarray(explored.meta["real"]), np.asarray(explored.meta["synthetic"])
    empty = np.argwhere((real == 0) & (made > 0))
    if len(empty):
        return int(empty[0, 0]), int(empty[0, 1])
    label = int(real.sum(1).argmin())
    return label, int(real[label].argmin())


def cell(
    explored: Explored, prefix: str, titles: tuple[str, str], default: tuple[int, int]
) -> tuple[int, int]:
    """A class and a subdomain to choose, side by side."""
    classes, subdomains = list(explored.classes), list(explored.subdomains)
    fields = f"{prefix}_class", f"{prefix}_{explored.axis}"
    nouns = explored.kind, explored.axis
    for field, names, number, noun in zip(fields, (classes, subdomains), default, nouns, strict=True):
        state.bind(field, names[number], names, noun)
    st.selectbox(words.escaped(titles[0]), classes, key=state.key(fields[0]), width=WIDE)
    if len(subdomains) > 1:
        st.selectbox(words.escaped(titles[1]), subdomains, key=state.key(fields[1]), width=WIDE)
    return classes.index(state.value(fields[0])), subdomains.index(state.value(fields[1]))


def bind_settings(explored: Explored) -> None:
    """Seed what both panels ask for, so that a link reopens it."""
    own, steps = own_steps(explored)
    state.bind("steps", own, steps)
    state.bind("number", "40", COUNTS)
    state.bind("noise", "own", SEEDS)
    several = len(explored.subdomains) > 1
    state.bind("steer", "both", list(STEERED) if several else ["both"])


def own_steps(explored: Explored) -> tuple[str, list[str]]:
    """The run's own number of sampling steps, and those that can be had of its noise scheduler at once."""
    sampling = loading.spec(explored.run.path)["sampling"]
    own = int(sampling["num_inference_steps"])
    known = schedulers.get(sampling["scheduler"]).steps or (own,)
    return str(own), [str(n) for n in sorted({own, *known})]


def settings(explored: Explored) -> None:
    """Steps, number, noise and what guidance works on."""
    own, steps = own_steps(explored)
    axis = words.escaped(explored.axis)
    with st.expander("How they are drawn"), st.container(horizontal=True, gap="medium"):
        st.segmented_control(
            "Sampling steps", steps, key="steps", required=True,
            format_func=lambda n: f"{n} (the run’s)" if n == own else n,
        )  # fmt: skip
        st.segmented_control("How many latents", COUNTS, key="number", required=True)
        st.selectbox(
            "Noise they start from", SEEDS, key="noise", width=220,
            format_func=lambda s: "The run’s own" if s == "own" else f"Another, number {s}",
        )  # fmt: skip
        if len(explored.subdomains) > 1:
            st.segmented_control(
                "Guidance towards", list(STEERED), key="steer", required=True,
                format_func=lambda s: STEERED[s].format(axis=axis).capitalize(),
            )  # fmt: skip


def request(explored: Explored, **what: Any) -> SampleRequest:
    """What the settings ask for; what is the run's own stays unnamed, as in the sets that ship."""
    own, _ = own_steps(explored)
    steps, noise = state.value("steps"), state.value("noise")
    return SampleRequest(
        **what, count=int(state.value("number")), steer=state.value("steer"),
        num_inference_steps=None if steps == own else int(steps), seed=None if noise == "own" else int(noise),
    )  # fmt: skip


def drawn(explored: Explored, wanted: SampleRequest, what: str) -> Drawn | None:
    """The set that was asked for; until it is there, the offer to draw it, and how that goes."""
    path = explored.run.path
    found = samples.find(path, wanted)
    if found is not None and found.state == "done":
        return found
    with st.container(border=True, height=300, vertical_alignment="center", horizontal_alignment="center"):
        if found is not None and found.state == "running":
            st.markdown(f"**{words.escaped(what)}: being drawn.**", width="content")
            _follow(explored, wanted)
            return None
        st.markdown(f"**{words.escaped(what)}: not drawn yet.**", width="content")
        if found is not None:
            widgets.warn(found.message or "Drawing failed.")
        if runs.readonly():
            widgets.note(f"This server is for looking only. {_before(explored, wanted)}")
        elif st.button("Draw them, about 5 s", type="primary", key=f"draw-{wanted.kind}"):
            jobs.start_samples(explored.run.id, wanted)
            st.rerun()
    return None


def _before(explored: Explored, wanted: SampleRequest) -> str:
    """What can be chosen, with the settings as they are: the cells, or pairs of them, that were drawn."""
    same = [r for r in samples.drawn(explored.run.path)
            if r.model_copy(update={"start": wanted.start, "end": wanted.end}) == wanted]  # fmt: skip
    if not same:
        return "Nothing was drawn before with these settings."
    cells = [" to ".join(named(explored, *cell) for cell in (r.start, r.end) if cell) for r in same]
    more = f" and {len(cells) - TOLD} more" if len(cells) > TOLD else ""
    return f"Drawn before, with these settings: {'; '.join(cells[:TOLD])}{more}."


@st.fragment(run_every=0.5)
def _follow(explored: Explored, wanted: SampleRequest) -> None:
    found = samples.find(explored.run.path, wanted)
    if found is None or found.state != "running":
        st.rerun()
    widgets.note("In a process of its own, usually about 5 s; it goes on if you leave.")


def backdrop(explored: Explored, xy: np.ndarray) -> Backdrop:
    """Real points that are on the map, held-out ones aside, thinned where there are many."""
    points = explored.points
    own = (points["origin"] == "real") & (points["split"] != "test")
    rows = np.flatnonzero(own.to_numpy() & np.isfinite(xy[:, 0]))
    rows = charts.stratified(points, rows, BACKGROUND)
    coloured = colouring.make("class", points, explored.meta, explored.axis)
    shown = np.zeros(len(points), bool)
    shown[rows] = True
    names = latent_map.labels_at_modes(xy, coloured, shown)
    return Backdrop(xy[rows], points["label"].to_numpy()[rows], names)


def named(explored: Explored, label: int, subdomain: int) -> str:
    """A cell for titles: *zero*, slanted."""
    row = {"label": label, "subdomain": subdomain}
    return words.safe(words.cell(row, explored.classes, explored.subdomains))


def how_placed(found: Drawn, xy: np.ndarray) -> str:
    """What a place on the map means, and how well it agrees with the map's own."""
    said = "A latent lies at the median of its eight nearest real latents on the map"
    off = samples.misplaced(found, xy)
    if off is None:
        return f"{said}."
    care = " Read places here with care." if off[1] > FAR_OFF else ""
    return (
        f"{said}: of the run’s own synthetic latents that is, for nine in ten, within "
        f"{100 * off[1]:.1f} % of the map’s width of where UMAP itself puts them.{care}"
    )
