"""Filters by columns: a range of numbers or dates, chosen groups of a text.

A real point without a value in the range, or of no chosen group, goes; a synthetic latent, which no column
of the data can describe, stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import loading, state, widgets, words
from gelda import columns

STEPS = 100  # of a range of numbers, at least
LARGEST = 2**53  # whole numbers that a slider takes
ELSEWHERE = ("class", "condition", "source", "correctness", "split", "method")  # filtered by other means


def offered(colours: Iterable[str]) -> list[str]:
    """Columns that points can be filtered by, of those that they can be coloured by."""
    return [name for name in colours if name not in ELSEWHERE]


def bind(run: Path, points: pd.DataFrame, names: Sequence[str]) -> None:
    """Seed the choice of columns and what is chosen of each: `where`, and `is.<column>`."""
    state.bind("where", [], names, "column")
    for name in state.value("where"):
        groups = loading.column_groups(run, name)
        if groups:
            state.bind(f"is.{name}", [], groups, "value")
        else:
            state.bind(f"is.{name}", whole(points[name]))


def whole(column: pd.Series) -> tuple[Any, Any]:
    """Both ends of a column of numbers or dates, as a slider takes them: none of its values lies outside."""
    low, high = column.min(), column.max()
    if columns.kind(column) == "date":
        return low.date(), high.date()
    if (column.dropna() % 1 == 0).all() and max(-low, high) < LARGEST:
        return int(low), int(high)
    places = _places(low, high)
    step = 10.0**-places
    return round(float(np.floor(low / step) * step), places), round(
        float(np.ceil(high / step) * step), places
    )


def _places(low: float, high: float) -> int:
    """Decimals of a step that some STEPS of make the range; below 0, it is a ten, a hundred …"""
    return -int(np.floor(np.log10((high - low) / STEPS)))


def view(run: Path, points: pd.DataFrame, titles: Mapping[str, str]) -> None:
    """Choose columns, and of each what is to be seen."""
    if not titles:
        return
    st.multiselect("By column", list(titles), key=state.key("where"), placeholder="Any column",
                   format_func=lambda name: titles[name])  # fmt: skip
    for name in state.value("where"):
        _one(name, titles[name], points[name], loading.column_groups(run, name))
    if any(name.startswith(columns.PREFIX) for name in state.value("where")):
        widgets.note("Synthetic latents have no value in a column of the data: they stay in view.")


def _one(name: str, title: str, column: pd.Series, groups: Sequence[str]) -> None:
    key, label = state.key(f"is.{name}"), words.escaped(title)
    if groups:
        st.multiselect(label, groups, key=key, placeholder="All of them")
        return
    low, high = whole(column)
    if low == high:  # times of one day
        widgets.note(f"{words.safe(title)}: all on {low}.")
    elif isinstance(low, date | int):
        st.slider(label, low, high, key=key)
    else:
        places = _places(low, high)
        st.slider(label, low, high, step=10.0**-places, format=f"%.{max(0, places)}f", key=key)


def inside(points: pd.DataFrame) -> np.ndarray:
    """Which points the columns' filters let through, ``[N]``."""
    shown = np.ones(len(points), bool)
    made = (points["origin"] == "synthetic").to_numpy()
    for name in state.value("where") or ():
        wanted = state.value(f"is.{name}")
        if name not in points or not wanted:
            continue
        column = points[name]
        if columns.kind(column) == "text":
            known, found = column.notna() & (column != ""), column.isin(wanted)
        else:
            low, high = wanted
            values = column.dt.date if columns.kind(column) == "date" else column
            known, found = column.notna(), (values >= low) & (values <= high)
        shown &= np.where(known, found, made)
    return shown
