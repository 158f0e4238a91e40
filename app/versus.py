"""Two runs side by side as frames and sentences: what differs, by how much, and the same points twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from app import words
from app.results_classes import in_words
from gelda import contrast, layer_maps, setting_words
from gelda.report import method_title
from gelda.statistics import INTERVAL_SEEDS
from gelda.verdicts import FEWEST_SEEDS

Report = dict[str, Any]


def finding(a: Report, b: Report, rows: pd.DataFrame) -> str:
    """The other run beside this one on the first measure that both have, as modest as interval and seeds."""
    told = rows[rows["difference"].notna()]
    if told.empty or not contrast.paired(a, b):
        return "Two runs whose seeds are no pairs: read their figures side by side"
    first = told.iloc[0]
    place = {"tail": "the rare classes", "unseen": "cells never seen", "overall": "all items"}
    where = place.get(first["measure"], words.METRICS[first["measure"]])
    seeds = words.count(int(first["seeds"]), "seed")
    if np.isnan(first["low"]) and first["seeds"] >= INTERVAL_SEEDS and first["difference"] == 0:
        return f"The two runs are the same on {where} in each of {seeds}"
    if first["seeds"] < FEWEST_SEEDS:
        return f"{seeds} {'is' if first['seeds'] == 1 else 'are'} too few to tell the two runs apart"
    if np.isnan(first["low"]):
        return f"{words.number(first['difference'], signed=True)} points on {where} in each of {seeds}"
    verdict = words.verdict({"mean": first["difference"], "ci95": [first["low"], first["high"]]})
    if verdict == "inside the noise":
        return f"The second run is inside the noise of the first on {where}"
    gap = words.number(abs(first["difference"]))
    return f"The second run is {verdict} of the first by {gap} points on {where}".replace(
        "behind of", "behind"
    )


def _none(seeds: int) -> str:
    return "One seed has no interval." if seeds == 1 else "Two seeds: no interval."


def pairing(a: Report, b: Report) -> str:
    """What the differences rest on."""
    if contrast.paired(a, b):
        shared = sorted(set(a["seeds"]) & set(b["seeds"]))
        return (
            f"Paired over the {words.count(len(shared), 'seed')} that both have: the same cut, the same test "
            + (
                "items. "
                + ("Intervals are over seeds." if len(shared) >= INTERVAL_SEEDS else _none(len(shared)))
            )
        )
    return (
        "The two cut their data differently, or share no seed, so a seed of one is no pair of a seed of the "
        "other: there are no differences with intervals."
    )


def methods(a: Report, b: Report, first: str, second: str) -> str:
    """ "GeLDA" where both show the same method, "GeLDA and SMOTE" else."""
    return method_title(first) if first == second else f"{method_title(first)} and {in_words(second)}"


def setting(name: str) -> str:
    """A dotted setting as forms call it."""
    title = setting_words.setting(name)
    return title[0].upper() + title[1:]


def choice(name: str, value: str) -> str:
    """A setting's value as forms call it; "–" where a run has no such setting."""
    return setting_words.choice(name, value) or "–"


def shared_rows(a: pd.DataFrame, b: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Rows of real points that both tables list, in the same order; ids listed twice are left out."""
    first, second = (
        table.loc[(table["origin"] == "real").to_numpy(), "id"].reset_index().rename(columns={"index": "row"})
        for table in (a.reset_index(drop=True), b.reset_index(drop=True))
    )
    both = first.drop_duplicates("id", keep=False).merge(
        second.drop_duplicates("id", keep=False), on="id", suffixes=("_a", "_b")
    )
    return both["row_a"].to_numpy(), both["row_b"].to_numpy()


def aligned(
    moved: np.ndarray, fixed: np.ndarray, rows_moved: np.ndarray, rows_fixed: np.ndarray
) -> np.ndarray:
    """`moved` [N, 2] turned, mirrored, scaled and shifted: its `rows_moved` come nearest to `fixed`'s."""
    target = np.full_like(moved, np.nan, dtype=np.float32)
    target[rows_moved] = fixed[rows_fixed]
    return layer_maps.turned(moved, target, np.isfinite(target).all(1))
