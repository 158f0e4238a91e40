"""Every column of the points as bars, and how far a selection differs from the rest in it; no streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app import colouring, words
from gelda import columns
from gelda.report import method_title

BINS = 24  # of a histogram; as many different whole numbers have a bar each
ENDS = (0.005, 0.995)  # quantiles between which its bars are even; the outer ones take what lies beyond
FINE = 256  # places along a column of numbers at which the largest gap is looked for
KOLMOGOROV = 0.8687  # mean of the largest gap of a Brownian bridge, √(π/2)·ln 2


@dataclass(frozen=True)
class Facet:
    """A column as bars. codes [N]: the bar of each point, len(bars) where it has no value.

    Of numbers and dates, whose bars have an order: steps [S], values that part the points into even shares,
    smallest and largest among them, and fine [N], the first step that a point's value does not exceed (S
    where it has none).
    """

    name: str
    title: str
    codes: np.ndarray
    bars: Sequence[str]
    steps: np.ndarray | None = None
    fine: np.ndarray | None = None
    dates: bool = False

    @property
    def ordered(self) -> bool:
        return self.steps is not None

    def written(self, value: float) -> str:
        return words.day(value) if self.dates else words.figure(value)


@dataclass(frozen=True)
class Told:
    """Points in view of each bar: real, synthetic, selected [K]; how far the selected ones differ from the
    rest, what that is for as many drawn at random, both in [0, 1], and it in words."""

    facet: Facet
    real: np.ndarray
    made: np.ndarray
    chosen: np.ndarray
    difference: float | None = None
    chance: float = 0.0
    said: str = ""

    @property
    def beyond(self) -> float:
        """What sorts facets: how far beyond chance the selection differs."""
        return -1.0 if self.difference is None else self.difference - self.chance


def of(points: pd.DataFrame, meta: Mapping[str, Any], offered: Mapping[str, str]) -> list[Facet]:
    """Facets of all that points can be coloured by (`colouring.offered`)."""
    synthetic = points["origin"] == "synthetic"
    found = []
    for name, title in offered.items():
        if name == "class":
            found.append(Facet(name, title, points["label"].to_numpy(), meta["class_names"]))
        elif name == "condition":
            found.append(Facet(name, title, points["subdomain"].to_numpy(), meta["subdomain_names"]))
        elif name == "source":
            codes, methods = pd.factorize(points["method"].where(synthetic, ""))
            bars = [f"synthetic, {method_title(m)}" if m else "real" for m in methods]
            found.append(Facet(name, title, codes, bars))
        elif name == "correctness":
            said = points["predicted"]
            codes = np.where(said < 0, 2, (said != points["label"]).astype(int))
            found.append(Facet(name, title, codes, ["taken for its class", "taken for another"]))
        elif columns.kind(points[name]) == "text":
            codes, groups = colouring.grouped(points[name])
            bars = [method_title(g) for g in groups] if name == "method" else groups
            found.append(Facet(name, title, np.where(codes < 0, len(groups), codes), bars))
        else:
            found.append(_numbers(name, title, points[name]))
    return found


def _numbers(name: str, title: str, column: pd.Series) -> Facet:
    values, days = colouring.numbers_of(column)
    known = np.sort(values[np.isfinite(values)])
    dates = days is not None
    different = known[np.append(True, np.diff(known) > 0)]
    if len(different) <= BINS and (different % 1 == 0).all():
        codes, bars = np.searchsorted(different, values), [f"{v:.0f}".replace("-", "−") for v in different]
        bars = [words.day(v) for v in different] if dates else bars
    else:
        low, high = np.quantile(known, ENDS)
        low, high = (low, high) if high > low else (known[0], known[-1])
        even = np.geomspace if low > 0 and high / low > colouring.WIDE and not dates else np.linspace
        edges = even(low, high, BINS + 1)
        codes = np.searchsorted(edges[1:-1], values, "right")
        said = [words.day(e) if dates else words.figure(e) for e in edges]
        bars = [f"{a} to {b}" for a, b in zip(said[:-1], said[1:], strict=True)]
        bars = [f"below {said[1]}", *bars[1:-1], f"{said[-2]} or more"]
    steps = np.unique(known[np.linspace(0, len(known) - 1, min(FINE, len(known))).astype(int)])
    fine = np.searchsorted(steps, values)
    codes = np.where(np.isfinite(values), codes, len(bars))
    return Facet(name, title, codes.astype(np.int32), bars, steps, fine.astype(np.int32), dates)


def in_view(
    visible: np.ndarray, synthetic: np.ndarray, selected: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows in view [n], and what each is [n]: 0 real, 1 synthetic, 2 and 3 the same and selected."""
    rows = np.flatnonzero(visible)
    return rows, synthetic[rows] + 2 * selected[rows]


def told(facet: Facet, rows: np.ndarray, kinds: np.ndarray) -> Told:
    """What there is of each bar in view, and what a selection has of it; rows and kinds as of `in_view`."""
    size = len(facet.bars)
    counts = np.bincount(4 * facet.codes[rows] + kinds, minlength=4 * size + 4).reshape(-1, 4)[:size]
    real, made = counts[:, 0] + counts[:, 2], counts[:, 1] + counts[:, 3]
    chosen, others = counts[:, 2] + counts[:, 3], counts[:, 0] + counts[:, 1]
    first, second = int(chosen.sum()), int(others.sum())
    if not first or not second:
        return Told(facet, real, made, chosen)
    noise, p, q = 1 / first + 1 / second, chosen / first, others / second
    most = int(np.abs(p - q).argmax())
    said = f"{words.share(p[most])} of the selection, {words.share(q[most])} of the rest: {facet.bars[most]}"
    if facet.ordered:
        difference, middles = _gap(facet, rows, kinds)
        chance = KOLMOGOROV * np.sqrt(noise)
        low, high = map(facet.written, middles)
        if low != high and len(facet.bars) < len(facet.steps):  # else a bar is a value
            said = f"half of the selection lies below {low}, half of the rest below {high}"
    else:
        difference, every = 0.5 * np.abs(p - q).sum(), (chosen + others) / (first + second)
        chance = 0.5 * np.sqrt(2 / np.pi * every * (1 - every) * noise).sum()
    return Told(facet, real, made, chosen, float(difference), float(min(chance, 1.0)), said)


def _gap(facet: Facet, rows: np.ndarray, kinds: np.ndarray) -> tuple[float, list[float]]:
    """The largest difference of two cumulative shares (Kolmogorov, Smirnov), and the middles of selection
    and rest; both to a place of `fine`."""
    size = len(facet.steps)
    counts = np.bincount(2 * facet.fine[rows] + (kinds > 1), minlength=2 * size + 2).reshape(-1, 2)[:size]
    shares = counts.cumsum(0) / counts.sum(0)
    middles = [float(facet.steps[min(np.searchsorted(shares[:, k], 0.5), size - 1)]) for k in (1, 0)]
    return float(np.abs(shares[:, 0] - shares[:, 1]).max()), middles


def ordered(found: Sequence[Told]) -> list[Told]:
    """What sets the selection apart most comes first; all in their own order where nothing is selected."""
    return sorted(found, key=lambda one: -one.beyond)
