"""Synthetic latents that are worth a look, offered as buttons that select them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from app import editing, loading, selecting, widgets, words
from app.explored import Explored
from gelda import edits, suspects


def buttons(explored: Explored, key: str, before: str = "") -> None:
    """Those in view by reason, found by their real training neighbours alone; before: said first."""
    run = explored.run
    steps = edits.state_key(editing.kit_of(run), editing.current(run).active)
    stamp = loading.points_stamp(run.path), explored.key
    found = _found(run.path, stamp, steps, explored.points, explored.neighbours)
    lost, near_copies = (rows[explored.visible[rows]] for rows in found)
    offers = (
        (
            f"{len(lost)} among other classes",
            lost,
            "Their nearest training items are mostly of other classes.",
        ),
        (
            words.count(len(near_copies), "close copy", "close copies"),
            near_copies,
            "They lie at a training item, closer than half its distance to the next one.",
        ),
    )
    if not len(lost) + len(near_copies):
        none = "None in view lies among other classes or copies a training item."
        widgets.note(f"{before}. {none}" if before else none)
        return
    if before:
        widgets.note(f"{before}, or begin with:")
    for number, (said, rows, why) in enumerate(offers):
        if len(rows):
            st.button(
                f"Select {said}", on_click=selecting.select, args=(run.id, rows, "suggestion"),
                key=f"{key}.{number}", help=f"{why} Found without looking at any dev or test item.",
            )  # fmt: skip


@st.cache_resource(max_entries=16, show_spinner=False)
def _found(run: Path, stamp: tuple[int, str], steps: str, _points: pd.DataFrame,
           _neighbours: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Rows among other classes, and close copies, of the arm that is edited."""
    from gelda import kit

    near, distance = _neighbours
    there = _points["id"].isin(set(kit.load(run).table["id"])).to_numpy()
    if "step" in _points:
        there = there | (_points["step"] > 0).to_numpy()
    lost, copied = suspects.foreign(_points, near), suspects.copies(_points, near, distance)
    return lost[there[lost]], copied[there[copied]]
