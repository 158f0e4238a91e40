"""What can be done with the selection: buttons and small forms that each make one step."""

from __future__ import annotations

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import editing, loading, state, widgets, words
from app.explored import Explored
from gelda import edit_figures, edits, runs
from gelda.edits import Add, Drop, Edits, Resample, Weight

MOST_CELLS = 60  # cells that one step makes anew


def actions(explored: Explored) -> None:
    """The one primary action, and the others beside it."""
    run = explored.run
    ids = editing.selected_ids(run, explored.points, explored.selected)
    these = words.count(len(ids), "synthetic latent")
    with st.container(horizontal=True):
        st.button(
            f"Drop {'these ' if len(ids) != 1 else 'this '}{these}" if ids else "Drop the selection",
            type="primary", disabled=not ids, on_click=editing.attempt, args=(lambda: drop(run, ids),),
        )  # fmt: skip
        with _popover(run, f"Weight of {'these' if ids else 'all'}", "weight"):
            _weight(run, ids, these)
        if makes(run):
            with _popover(run, "Resample", "resample", disabled=not ids):
                _resample(explored, ids)
            with _popover(run, "Generate more", "more"):
                widgets.note("New latents for one cell, whatever is selected.")
                _add(explored, *_first_cell(explored))
    asked = _asked(explored)
    if asked and makes(run):
        with st.container(border=True):
            st.markdown(f"**Generate into {words.escaped(asked[0])}, {words.escaped(asked[1])}**")
            _add(explored, *asked, key="edit_cell_add")
            st.button("Not now", on_click=state.put, args=("edit_cell", ""))
    if not ids:
        said = "Nothing that can be dropped is selected: a weight is given to all synthetic latents."
        if len(explored.selected):
            said += " Real items stay, and so do latents that are dropped already or of another method."
        widgets.note(said)


def _popover(run: runs.RunState, label: str, name: str, disabled: bool = False) -> DeltaGenerator:
    """A popover that closes when the list of steps changes: under its new key it is another one."""
    stamp = loading.stamp(edits.path_of(run.id, edits.DEFAULT))
    return st.popover(label, disabled=disabled, key=f"edit_popover.{name}.{stamp}")


def makes(run: runs.RunState) -> bool:
    """Whether the run keeps the generator that can make latents."""
    return all((run.path / name).is_file() for name in ("generator.json", "generator.safetensors"))


def rename(run: runs.RunState, mine: Edits) -> None:
    """A name of one's own for a step."""
    with _popover(run, "Name", "name", disabled=not mine.at):
        titles = [f"{k + 1}. {edit_figures.title(step)}" for k, step in enumerate(mine.active)]
        chosen = st.selectbox("Step", range(len(titles)), index=len(titles) - 1 if titles else None,
                              format_func=lambda k: titles[k], key="edit_rename")  # fmt: skip
        if chosen is None:
            return
        key = f"edit_title.{chosen}"
        st.text_input(
            "Its name", mine.steps[chosen].title, key=key, placeholder="What it does", max_chars=200
        )
        st.button(
            "Keep", key="edit_keep_name", on_click=editing.attempt,
            args=(lambda: editing.rename(run, chosen, st.session_state[key]),),  # typed, and clicked at once
        )  # fmt: skip


def drop(run: runs.RunState, ids: tuple[str, ...]) -> None:
    """Leave latents out, and start the selection afresh."""
    editing.push(run, Drop(ids=ids))
    state.select(run.id, [], "")


def _weight(run: runs.RunState, ids: tuple[str, ...], these: str) -> None:
    """The selection, or all of them, to count more or less."""
    whom = f"these {these}" if ids else "all synthetic latents"
    factor = st.select_slider(
        f"Let {whom} count", [0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0], 0.5, key="edit_factor",
        format_func=lambda f: f"{f:g} ×",
    )  # fmt: skip
    step = Weight(factor=factor, ids=ids)
    st.button("Apply", key="edit_weight", type="primary", on_click=editing.attempt,
              args=(lambda: editing.push(run, step),))  # fmt: skip


def _guidance(run: runs.RunState, key: str) -> dict[str, float | None]:
    """How strongly latents are drawn toward their condition; None is the run's own, which it starts at."""
    own = loading.guidance(run.path)
    said = "1 is unguided; more draws latents toward what is typical of the class."
    asked = (
        st.slider("Class guidance", 0.0, 5.0, own[0], 0.1, key=f"{key}.class", help=said),
        st.slider("Condition guidance", 0.0, 5.0, own[1], 0.1, key=f"{key}.condition"),
    )
    names = ("guidance_class", "guidance_subdomain")
    return {n: None if a == o else a for n, a, o in zip(names, asked, own, strict=True)}


def _resample(explored: Explored, ids: tuple[str, ...]) -> None:
    """Make the cells of the selection anew."""
    run = explored.run
    part = explored.points.loc[explored.points["id"].isin(set(ids)), ["label", "subdomain"]]
    pairs = part.drop_duplicates().itertuples(index=False)
    cells = tuple((explored.classes[c], explored.subdomains[s]) for c, s in pairs)
    if not 0 < len(cells) <= MOST_CELLS:
        widgets.note(f"The selection lies in {len(cells)} cells: select latents of 1 to {MOST_CELLS}.")
        return
    widgets.note(
        f"All synthetic latents of {words.count(len(cells), 'cell')} are made anew, as many as there are now."
    )
    step = Resample(cells=cells, seed=_seed(run), **_guidance(run, "edit_resample"))
    st.button("Make them anew", key="edit_make_anew", type="primary",
              on_click=editing.attempt, args=(lambda: editing.push(run, step),))  # fmt: skip


def _asked(explored: Explored) -> tuple[str, str] | None:
    """The cell that the grid asks to generate into."""
    label, _, place = (state.value("edit_cell") or "").partition("|")
    return (label, place) if label in explored.classes and place in explored.subdomains else None


def _first_cell(explored: Explored) -> tuple[str, str]:
    """A cell to begin with: the first that has no training item."""
    empty = np.argwhere(np.asarray(explored.meta["real"]) == 0)
    label, place = empty[0] if len(empty) else (0, 0)
    return explored.classes[label], explored.subdomains[place]


def _add(explored: Explored, label: str, place: str, key: str = "edit_add") -> None:
    """More latents for one cell."""
    run = explored.run
    classes, subdomains = list(explored.classes), list(explored.subdomains)
    if key == "edit_add":
        label = st.selectbox("Class", classes, classes.index(label), key="edit_add_class")
        place = st.selectbox(
            words.escaped(explored.axis.capitalize()),
            subdomains,
            subdomains.index(place),
            key="edit_add_place",
        )
    st.number_input("How many", 1, edits.MOST_MADE, 20, key=f"{key}.count")
    guidance = _guidance(run, key)

    def push() -> None:
        count = int(st.session_state[f"{key}.count"])  # typed, and clicked at once
        editing.push(run, Add(cells=((label, place),), count=count, seed=_seed(run), **guidance))
        state.put("edit_cell", "")

    st.button("Generate", key=f"{key}.go", type="primary", on_click=editing.attempt, args=(push,))


def _seed(run: runs.RunState) -> int:
    """A seed that no step before has: new noise every time."""
    return 1 + len(editing.current(run).active)
