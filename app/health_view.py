"""The selection's health: five figures of its synthetic latents in latent space, each with its sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from app import widgets, words
from app.explored import Explored
from gelda import projection
from gelda.selection_health import SelectionHealth, selection_health

Figures = Mapping[str, float | None]


def _spread(f: Figures, within: str) -> tuple[str, str, str]:
    ratio = f["variance_ratio"]
    said = "too narrow" if ratio < 0.8 else "too wide" if ratio > 1.25 else "about right"
    return (
        words.number(ratio, 2),
        "real is 1",
        f"Spread within a cell {words.number(ratio, 2)} of the real one: {said}.",
    )


def _shape(f: Figures, within: str) -> tuple[str, str, str]:
    times = f["frechet"] / max(f["frechet_real"], 1e-9)
    said = (
        "as near as real ones are to each other" if times < 1.15
        else "somewhat another shape than real ones" if times < 2 else "clearly another shape than real ones"
    )  # fmt: skip
    beside = f"real to real {words.number(f['frechet_real'], 1)}"
    return words.number(f["frechet"], 1), beside, f"Fréchet distance, means of cells taken off: {said}."


def _share(value: float, real: float, less: str, alike: str) -> tuple[str, str, str]:
    said = less.format(words.number(100 - 100 * value, 0)) if value < real - 0.1 else alike
    return words.number(100 * value, 0) + " %", f"of real ones {words.number(100 * real, 0)} %", said


def _precision(f: Figures, within: str) -> tuple[str, str, str]:
    return _share(
        f["precision"], f["precision_real"],
        f"{{}} % lie where no real latent of their {within} is.",
        f"They lie where real latents of their {within} do.",
    )  # fmt: skip


def _coverage(f: Figures, within: str) -> tuple[str, str, str]:
    return _share(
        f["coverage"], f["coverage_real"],
        f"{{}} % of real latents have none of their {within} near.",
        f"They reach what is real in their {within} as widely as real ones do.",
    )  # fmt: skip


def _copies(f: Figures, within: str) -> tuple[str, str, str]:
    ratio = f["nearest_ratio"]
    said = (
        "so near that they may be copies" if ratio < 0.5 else "nearer than real ones are" if ratio < 0.85
        else "as far as real ones are" if ratio <= 1.2 else "further out than real ones are"
    )  # fmt: skip
    return words.number(ratio, 2), "real is 1", f"Distance to the nearest training sample: {said}."


SHOWN: dict[str, tuple[str, Callable[[Figures, str], tuple[str, str, str]]]] = {
    "variance_ratio": ("Spread", _spread),
    "frechet": ("Shape", _shape),
    "precision": ("Inside the real", _precision),
    "coverage": ("Coverage", _coverage),
    "nearest_ratio": ("Memorisation", _copies),
}


def view(explored: Explored) -> None:
    """One row of figures; where a figure cannot be given, the reason stands in its place."""
    layer = projection.generation_layer(explored.run.path)
    latents, distance = explored.latents(layer), explored.neighbours[1][:, 0]
    key = projection.points_key(explored.run.path) + explored.key
    out = explored.dropped[explored.selected]
    health = _health(explored.run.path, key, explored.selected[~out], latents, distance, explored.points)
    left_out = f"{words.thousands(int(out.sum()))} dropped by edits left out" if out.any() else ""
    if not health.used:
        if left_out:
            st.subheader("Are its synthetic latents healthy?")
            widgets.note(f"None of them is in use: {left_out}.")
        return
    few = f"the {words.thousands(health.used)} taken from its " if health.used < health.synthetic else "its "
    st.subheader("Are its synthetic latents healthy?")
    real = (
        "held-out real latents (dev)" if health.held else "training samples, as nothing held out may be used"
    )
    cells = (
        "of the same cells"
        if health.same_cells
        else "of the same classes, as the cells themselves have too few"
    )
    made = words.count(health.synthetic, "synthetic latent")
    less = f" ({left_out})" if left_out else ""
    widgets.note(f"{few.capitalize()}{made}{less}, where latents are made, beside {real}, {cells}.")
    for column, (name, (title, said)) in zip(
        st.columns(len(SHOWN), gap="medium"), SHOWN.items(), strict=True
    ):
        value, beside, how = (
            ("–", "", health.why[name])
            if health.figures[name] is None
            else said(health.figures, health.within)
        )
        column.html(
            f'<div class="figure"><p class="what">{title}</p><p class="value">{value}</p>'
            f'<p class="how">{words.safe(beside)}</p><p class="how read">{words.safe(how)}</p></div>'
        )


@st.cache_data(max_entries=64, show_spinner=False)
def _health(
    run: Path, key: str, rows: np.ndarray, _latents: np.ndarray, _distance: np.ndarray, _points: pd.DataFrame
) -> SelectionHealth:
    return selection_health(_latents, _distance, _points, rows)
