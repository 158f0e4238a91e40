"""What was made, on Results: cells that lack samples, each by the real item nearest to its latents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app import items, loading, near_cell, widgets, words
from gelda import nearby, projection, runs
from gelda.errors import UserError

PAGE = Path(__file__).resolve().parent.parent / "pages" / "explore.py"
ACROSS, MOST = {"audio": 4}, {"audio": 8}  # of a kind that takes room
TITLES = {"audio": ("Hear what was made", "Hear more"), "image": ("See what was made", "See more")}


def view(run: runs.RunState) -> None:
    """One tile a cell, with its item and a link to all its neighbours; nothing where no points are kept."""
    try:
        meta, points = loading.meta(run.path), loading.points(run.path)
        methods = [m for m in points["method"].unique() if m]
        cells = wanted(points, methods[0], meta["groups"].get("tail", [])) if methods else []
        if not cells:
            return
        most = MOST.get(items.kind(meta), 12)
        nearest = _nearest(run.path, methods[0], cells[:most], points)
    except UserError:
        return  # the map's files are gone: Explore says which, and the figures stand without them
    title, more = TITLES.get(items.kind(meta), ("What was made", "Look closer"))
    st.subheader(title)
    kind = "of the rare classes" if cells[0] in _seen(points) else "without a training sample"
    widgets.note(
        f"Synthetic latents of cells {kind}, the largest first. The real training {items.thing(meta, 1)} "
        "that is nearest to their centre stands in for them; it may be of another cell, as its caption says."
    )
    widgets.caution(meta)
    numbers = [len(nearby.made_for(points, *cell, methods[0])) for cell in cells[:most]]
    _tiles(run, meta, points, list(zip(cells, numbers, nearest, strict=False)), more)
    if len(cells) > most:
        widgets.note(f"{most} of {len(cells)} such cells; Explore has them all.")


def wanted(points: pd.DataFrame, method: str, tail: list[int]) -> list[tuple[int, int]]:
    """Cells with latents of a method but no training sample; else those of the rare classes."""
    made = nearby.cells_made(points, method)
    seen = _seen(points)
    unseen = [cell for cell in made if cell not in seen]
    return unseen or [cell for cell in made if cell[0] in tail]


def _seen(points: pd.DataFrame) -> set[tuple[int, int]]:
    """Cells with a training sample."""
    train = points.loc[points["split"] == "train", ["label", "subdomain"]].drop_duplicates()
    return set(train.itertuples(index=False, name=None))


@st.cache_data(max_entries=32, show_spinner=False)
def _nearest(
    run: Path, method: str, cells: list[tuple[int, int]], _points: pd.DataFrame
) -> list[tuple[int, float]]:
    """The training item nearest to each cell's centre, and how far it is."""
    latents, among = loading.latents(run, projection.generation_layer(run)), nearby.pool(_points, "train")
    near = nearby.to_centres(latents, [nearby.made_for(_points, *cell, method) for cell in cells], among)
    return [(int(row), float(far)) for row, far in zip(near.rows, near.distance, strict=True)]


def _tiles(run: runs.RunState, meta: dict[str, Any], points: pd.DataFrame, tiles: Sequence[Any],
           more: str) -> None:  # fmt: skip
    """`tiles`: (cell, number of its latents, (row of the nearest item, its distance))."""
    names = meta["class_names"], meta["subdomain_names"]
    across, page = ACROSS.get(items.kind(meta), 6), st.container(key="made")
    for start in range(0, len(tiles), across):
        columns = page.columns(across, gap="medium")
        for column, (cell, number, (row, far)) in zip(columns, tiles[start : start + across], strict=False):
            with column:
                called = words.cell({"label": cell[0], "subdomain": cell[1]}, *names)
                count = words.count(number, "latent")
                st.html(f'<p class="tile"><b>{words.safe(called)}</b><br>{count}</p>')
                if items.kind(meta):
                    shown = items.shown(meta, points["uri"].iloc[row])
                    caption = f"real: {words.cell(points.iloc[row], *names)}, at {far:.1f}"
                    items.draw([(shown, caption, True)], meta, 1)
                link = {"run": run.id, "panel": "neighbours", "cell": near_cell.cell_text(*names, cell)}
                st.page_link(PAGE, label=more, query_params=link)
