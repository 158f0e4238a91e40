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

    Of numbers and dates, whose bars have an order: values [N] (NaN where there is none), and fine [N], their
    places among FINE even shares of the points.
    """

    name: str
    title: str
    codes: np.ndarray
    bars: Sequence[str]
    values: np.ndarray | None = None
    fine: np.ndarray | None = None
    dates: bool = False

    @property
    def ordered(self) -> bool:
        return self.values is not None

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
            groups = colouring.groups_of(points[name])
            codes = pd.Index(groups).get_indexer(points[name].astype("str"))
            bars = [method_title(g) for g in groups] if name == "method" else groups
            found.append(Facet(name, title, np.where(codes < 0, len(groups), codes), bars))
        else:
            found.append(_numbers(name, title, points[name]))
    return found


def _numbers(name: str, title: str, column: pd.Series) -> Facet:
    values, days = colouring.numbers_of(column)
    known = np.sort(values[np.isfinite(values)])
    dates = days is not None
    different = np.unique(known)
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
    steps = known[np.linspace(0, len(known) - 1, min(FINE, len(known))).astype(int)]
    fine = np.searchsorted(np.unique(steps), values)
    codes = np.where(np.isfinite(values), codes, len(bars))
    return Facet(name, title, codes.astype(np.int32), bars, values, fine.astype(np.int32), dates)


def told(facet: Facet, visible: np.ndarray, synthetic: np.ndarray, selected: np.ndarray) -> Told:
    """Counts of the points in view; visible, synthetic, selected: [N] bool."""
    size = len(facet.bars)

    def count(inside: np.ndarray) -> np.ndarray:
        return np.bincount(facet.codes[inside], minlength=size + 1)[:size]

    real, made = count(visible & ~synthetic), count(visible & synthetic)
    known = visible & (facet.codes < size)
    own, rest = known & selected, known & ~selected
    chosen = count(own)
    if not own.any() or not rest.any():
        return Told(facet, real, made, chosen)
    first, second = int(own.sum()), int(rest.sum())
    noise = 1 / first + 1 / second
    if facet.ordered:
        difference, chance = _gap(facet.fine, own, rest), KOLMOGOROV * np.sqrt(noise)
        middles = (facet.written(float(np.median(facet.values[part]))) for part in (own, rest))
        said = "half of the selection lies below {}, half of the rest below {}".format(*middles)
    else:
        others = real + made - chosen
        p, q, all_of = chosen / first, others / second, (chosen + others) / (first + second)
        difference = 0.5 * np.abs(p - q).sum()
        chance = 0.5 * np.sqrt(2 / np.pi * all_of * (1 - all_of) * noise).sum()
        most = int(np.abs(p - q).argmax())
        said = (
            f"{words.share(p[most])} of the selection, {words.share(q[most])} of the rest: {facet.bars[most]}"
        )
    return Told(facet, real, made, chosen, float(difference), float(min(chance, 1.0)), said)


def _gap(fine: np.ndarray, own: np.ndarray, rest: np.ndarray) -> float:
    """The largest difference of two cumulative shares (Kolmogorov, Smirnov)."""
    size = int(fine.max()) + 1
    shares = (np.bincount(fine[part], minlength=size).cumsum() / part.sum() for part in (own, rest))
    first, second = shares
    return float(np.abs(first - second).max())


def ordered(found: Sequence[Told]) -> list[Told]:
    """What sets the selection apart most comes first; all in their own order where nothing is selected."""
    return sorted(found, key=lambda one: -one.beyond)
