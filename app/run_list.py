"""Runs as rows: status, progress while one is alive, and what can be done with each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from app import comparison, loading, run_care, widgets, words
from gelda import jobs, runs, slots
from gelda.errors import UserError

PAGES = Path(__file__).resolve().parent.parent / "pages"
SHOWN = 8  # runs in the list before "older runs"
RECENT = 100  # runs read at all: a workspace may hold thousands


def going() -> bool:
    """Whether a run of this workspace is alive: what is started now waits in line for it."""
    return any(r.status in widgets.ALIVE for r in runs.list_runs(limit=RECENT))


def waits() -> None:
    """Say that what is started now comes to its turn later, where that is so."""
    if going():
        widgets.note("A run is going: what you start now waits in line for it, and begins by itself.")


def attempt(act: Callable[..., Any], *arguments: Any) -> None:
    """Do something to a run and draw the page again; a refusal becomes a sentence."""
    try:
        act(*arguments)
    except UserError as error:
        widgets.warn(error)
    else:
        st.rerun()


def view(title: str, keep: Callable[[runs.RunState], bool] = lambda run: True) -> None:
    """Recent runs that are kept; while one is alive this part alone is drawn again every second."""
    found = _found(keep)
    run_care.dialog(found)
    alive = any(r.status in widgets.ALIVE for r in found)
    st.fragment(_list, run_every=1 if alive else None)(title, keep, alive)


def _found(keep: Callable[[runs.RunState], bool]) -> list[runs.RunState]:
    return [run for run in [*runs.list_runs(limit=RECENT), *runs.shipped_runs()] if keep(run)]


def _list(title: str, keep: Callable[[runs.RunState], bool], was_alive: bool) -> None:
    found = _found(keep)
    if was_alive and not any(r.status in widgets.ALIVE for r in found):
        st.rerun()
    if not found:
        return
    st.header(title)
    ended = [run_care.size(run) for run in found if not run.shipped and run.status not in widgets.ALIVE]
    if len(ended) > 1:
        widgets.note(
            f"{words.count(len(ended), 'run')} that have ended, {words.size(sum(ended))} on the disk."
        )
    for run in found[:SHOWN]:
        row(run)
    if len(found) > SHOWN:
        with st.expander(f"{len(found) - SHOWN} older runs"):
            for run in found[SHOWN:]:
                row(run)


def row(run: runs.RunState) -> None:
    """One run: what it is, how it stands, and what can be done with it."""
    with st.container(border=True):
        text, actions = st.columns([0.72, 0.28], vertical_alignment="center", gap="medium")
        when = "ships with the product" if run.shipped else words.ago(run.created)
        size = "" if run.shipped or run.status in widgets.ALIVE else words.size(run_care.size(run))
        parts = (_kind(run), _status(run), when, size, run.id)
        facts = " · ".join(words.safe(part) for part in parts if part)
        said = words.minus(run.error or (_headline(run) if run.status == "done" else "") or "")
        with text:
            st.html(f"<strong>{words.safe(run.name)}</strong><p class='note'>{facts}</p>{words.safe(said)}")
        aligned = {"horizontal_alignment": "right", "vertical_alignment": "center"}
        with actions, st.container(horizontal=True, **aligned):
            _actions(run)
            run_care.button(run)
        if run.status in widgets.ALIVE:
            widgets.progress(run)


def _headline(run: runs.RunState) -> str | None:
    """What a run found; a study as its page says it, which is not always as it was stored."""
    try:
        return loading.study(run.path)["headline"] if run.study else run.headline
    except UserError:  # its table cannot be read
        return run.headline


def _status(run: runs.RunState) -> str:
    """How a run stands; one that waits says for what."""
    waiting = [other.id for other in slots.line()] if run.status == "queued" else []
    if run.id not in waiting:
        return words.STATUS.get(run.status, run.status)
    before = waiting.index(run.id)
    return f"waiting: {words.count(before, 'run')} before it in line" if before else "waiting: next in line"


def _kind(run: runs.RunState) -> str:
    """What kind of work a run is; nothing for runs of a demo."""
    if run.extraction:
        return "extraction of latents"
    if run.probe:
        return "separability of layers"
    if run.study:
        return "study of settings"
    if not run.comparison:
        return ""
    try:
        config = loading.spec(run.path)
    except UserError:
        return "comparison of methods"
    return f"comparison of methods on {Path(config['bank']).stem}: {comparison.what(config)}"


def _actions(run: runs.RunState) -> None:
    if run.study and run.status == "done":
        st.page_link(PAGES / "ablate.py", label="Ablate", query_params={"study": run.id})
    elif run.status == "done":
        if run.mapped:
            st.page_link(PAGES / "explore.py", label="Explore", query_params={"run": run.id})
        if run.reported:
            st.page_link(PAGES / "results.py", label="Results", query_params={"run": run.id})
        else:
            spec = loading.spec(run.path)
            bank = spec["out"] if run.extraction else spec["bank"]
            st.page_link(PAGES / "latents.py", label="Latents", query_params={"bank": bank})
    else:
        controls(run)


def controls(run: runs.RunState) -> None:
    """Cancel, to the front or resume: what a run that is not done allows."""
    if runs.readonly() or run.status == "broken":
        return
    if run.status in widgets.ALIVE:
        if (run.path / "cancel").exists():
            st.button("Stopping", key=f"cancel-{run.id}", disabled=True, help="It stops at its next step.")
        elif st.button("Take out" if run.status == "queued" else "Cancel", key=f"cancel-{run.id}"):
            attempt(jobs.cancel, run.id)
        waiting = [other.id for other in slots.line()] if run.status == "queued" else []
        if run.id in waiting[2:] and st.button("Earlier", key=f"earlier-{run.id}"):
            attempt(jobs.earlier, run.id)
        if run.id in waiting[1:] and st.button("To the front", key=f"front-{run.id}"):
            attempt(jobs.to_front, run.id)
    elif st.button("Resume", key=f"resume-{run.id}", help="What is finished is kept."):
        attempt(jobs.resume, run.id)
