"""What can be done with a run that has ended, in a dialog of its own: another name, and its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from app import loading, widgets, words
from gelda import confirm, keeping, runs, selections
from gelda.errors import UserError

_OPEN = "_care"  # the id of the run whose dialog is open


def button(run: runs.RunState) -> None:
    """Opens the dialog; nothing for a run that ships or is going, and where nothing can be changed."""
    if not (run.shipped or run.status in widgets.ALIVE or runs.readonly()):
        if st.button("More", key=f"more-{run.id}", type="tertiary", help="Rename or delete this run."):
            st.session_state[_OPEN] = run.id
            st.rerun()  # the list may be drawn alone, every second: a dialog must not be a part of it


def dialog(found: Sequence[runs.RunState]) -> None:
    """Draw the dialog where one was asked for; call it outside of what is drawn again by itself."""
    run = next((run for run in found if run.id == st.session_state.get(_OPEN)), None)
    if run is not None:
        st.dialog(words.escaped(run.name), width="medium", on_dismiss=_close)(_draw)(run)


def _close() -> None:
    st.session_state.pop(_OPEN, None)


def _draw(run: runs.RunState) -> None:
    takes = words.size(size(run))
    widgets.note(f"{words.safe(run.id)} · {takes} in {words.safe(run.path)}")
    if run.status != "broken":
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Name", run.name, max_chars=keeping.LONGEST, key=f"name-{run.id}")
            if st.button("Rename", key=f"rename-{run.id}", disabled=name.strip() in ("", run.name)):
                _done(keeping.rename, run.id, name)
    sure = st.checkbox(f"Delete this run. {_gone(run)}", key=f"sure-{run.id}")
    if st.button(f"Delete, {takes}", key=f"delete-{run.id}", disabled=not sure, type="primary"):
        _done(keeping.delete, run.id)


def _gone(run: runs.RunState) -> str:
    """What goes with a run, and what stays."""
    kept = len(selections.listed(run.id))
    own = [words.count(kept, "kept selection")] if kept else []
    stays = " The bank that it made stays." if run.extraction else ""
    if any(confirm.folder(run.id).glob("*.json")):
        stays = " Looks at its test half stay counted."
    return f"Its {words.listed(['maps', 'samples', 'edits', *own, 'figures'])} go with it, for good.{stays}"


def _done(act: Callable[..., Any], *arguments: Any) -> None:
    try:
        act(*arguments)
    except UserError as error:
        widgets.warn(error)
    else:
        _close()
        st.rerun()


def size(run: runs.RunState) -> int:
    """Bytes of a run's folder; looked at again when the run changes, and every five minutes."""
    return _size(run.path, loading.stamp(run.path / "run.json"))


@st.cache_data(ttl=300, show_spinner=False)
def _size(path: Path, stamp: int) -> int:
    return keeping.size(path)
