"""Generate: a run's settings, what they cost, the start, and the loss while it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from app import cost_view, form, going_view, plan_form, run_list, run_settings, sources, state, widgets, words
from gelda import jobs, runs
from gelda.config import PRESETS, resolve_config
from gelda.errors import UserError

STARTS = {
    "digits": ("Handwritten digits", "Ten kinds, five writing conditions, five seeds."),
    "tiny": ("A quick look", "The digits with every stage at its smallest; its figures mean nothing."),
    "speech": ("Synthetic speech", "Five emotions in six languages, each language left out in turn."),
    "own": ("Your own latents", "Every method on a bank, a file of latents or an encoded folder."),
    "plan": (
        "A known benchmark on your disk",
        "From its files to every comparison, by a plan that is ready.",
    ),
}


def view() -> None:
    """The whole page: what to run, what it costs, and what is going on."""
    st.title("Train a generator, and see whether its latents help")
    widgets.lead(
        "A run encodes, adapts, trains the denoiser, draws synthetic latents for what is scarce, retrains "
        "the layers after, and compares every method with intervals."
    )
    above = going_view.view()
    if above:
        st.header("Another one")
    left, right = st.columns([0.6, 0.4], gap="large")
    with left:
        state.bind("preset", "digits", list(STARTS))
        preset = st.radio(
            "Start from", list(STARTS), key="preset", horizontal=False,
            format_func=lambda name: STARTS[name][0], captions=[note for _, note in STARTS.values()],
        )  # fmt: skip
    if preset in PRESETS:
        with left:
            changed = run_settings.view(preset)
        with right:
            _run(preset, changed)
    elif preset == "speech":
        with right:
            _speech()
    elif preset == "plan":
        plan_form.view(left, right)
    else:
        with left:
            bank = _bank()
            values, effort = form.comparison(bank) if bank else ({}, "")
        with right:
            _comparison(values, effort)
    run_list.view(
        "Runs", lambda run: run.reported and run.status not in widgets.ALIVE and run.id not in above
    )
    state.publish()


def _run(preset: str, changed: dict[str, Any]) -> None:
    try:
        config = resolve_config(changed, preset)
    except UserError as error:
        widgets.warn(error)
        return
    cost_view.view(config)
    asked = config.model_dump(mode="json")
    if any(runs.read_spec(run.path) == asked for run in going_view.alive()):
        widgets.note("A run of these very settings is going or waits already: this would be the same again.")
    _start("Start", lambda: jobs.start_run(changed, preset))
    run_settings.reset(preset, changed)


def _speech() -> None:
    widgets.note(
        "One encoding, then six comparisons, one a language; on processors as many at once as "
        "there are cores."
    )
    _start("Start", lambda: jobs.start_demo("speech"))


def _bank() -> str:
    """The latents of a comparison: a bank of the workspace, or a path."""
    known = [str(folder) for folder in sources.banks()]
    state.bind("bank", known[0] if known else "")
    given = state.value("bank")
    offered = list(dict.fromkeys([*known, *([given] if given else []), ""]))
    if offered != [""]:
        titles = words.distinct({path: Path(path).name or "Another path" for path in offered})
        picked = st.selectbox("Latents", offered, key=state.key("bank"), format_func=titles.get)
        if picked:
            widgets.note(words.safe(picked))
            return picked
    st.text_input(
        "Path of the latents", key="generate.path", placeholder="/path/to/latents.npz", on_change=_typed,
        help="A bank folder, or a file of latents: z_<layer>, y, class_names and, for a transfer, subdomain "
        "and subdomain_names.",
    )  # fmt: skip
    widgets.note("Pictures, recordings or texts are encoded first.")
    st.page_link(run_list.PAGES / "data.py", label="Choose data")
    return ""


def _typed() -> None:
    state.put("bank", st.session_state["generate.path"].strip())


def _comparison(values: dict[str, Any], effort: str) -> None:
    if not values:
        return
    wrong = form.problem(values, effort)
    if wrong:
        widgets.warn(wrong)
        return
    cost_view.compared(values, effort)
    _start("Compare", lambda: jobs.start_comparison(values, effort))


def _start(label: str, act: Any) -> None:
    if runs.readonly():
        widgets.note("This server is for looking only (GELDA_READONLY is set): it starts no jobs.")
        return
    if st.button(label, type="primary"):
        with st.spinner("Checking"):
            run_list.attempt(act)
    run_list.waits()
