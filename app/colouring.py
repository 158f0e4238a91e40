"""What the map's colours say: classes, subdomains, sources, scores, or any other column of the points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from app import words
from app.palette import ACCENT, FAINT, GREY, LIMIT, RAMP, RIGHT, STEPS, WRONG
from gelda import columns, report

GROUPED = ("class", "condition")  # colourings whose groups a person can choose among where there are many
ROBUST = (0.02, 0.98)  # quantiles at the ends of a ramp: one outlier must not make all others alike
WIDE = 50.0  # ends further apart than this, both above 0: the ramp is logarithmic
MOST_NAMES = 2_000  # of groups that hovering tells: they come with every message
MOST_GROUPS = 1_000  # of a column: beyond, it is text to read and to search, and no colour
LEGEND = 32  # characters of a group's name there
HIDDEN = ("id", "uri", "label", "subdomain", "origin", "predicted", "kept")  # or coloured under another name
SCORES = {
    "correctness": ("Right or wrong", "predicted"),
    "confidence": ("Confidence", "confidence"),
    "loss": ("Loss", "loss"),
    "memorisation": ("Distance to real", "memorisation"),
}
NAMED = {"split": "Split", "group": "Group", "method": "Made by"}
FITTED = "Training items were fitted, so a head is surer of them than of others."
MEANINGS = {
    "correctness": f"What {{head}} takes each point for. {FITTED}",
    "confidence": f"Probability that {{head}} gives to the class it takes a point for. {FITTED}",
    "loss": f"−log of the probability that {{head}} gives to the point's own class. {FITTED}",
    "memorisation": "Distance to the nearest real training latent, in units of the usual one between the "
    "training latents of that class: near 0 a copy, 1 as far as real ones are from one another.",
}


@dataclass(frozen=True)
class Ramp:
    """Ends and middle of a ramp in the column's own units; those of dates are days since 1970."""

    low: float
    middle: float
    high: float
    logarithmic: bool
    dates: bool = False

    def written(self) -> list[str]:
        """Low, middle and high, for people."""
        ends = (self.low, self.middle, self.high)
        return [words.day(end) if self.dates else words.figure(end) for end in ends]


@dataclass(frozen=True)
class Colouring:
    """One way to colour N points; the numbers are entries of `palette.entries`."""

    title: str  # "class", "loss": what the picture is coloured by
    numbers: np.ndarray  # [N] uint8
    legend: Sequence[tuple[int, str]] = ()  # (palette entry, name)
    ramp: Ramp | None = None
    meaning: str = ""  # what a reader must know
    under: Sequence[int] = (GREY, FAINT)  # palette entries that others are drawn over
    without: np.ndarray | None = None  # [N] bool: points that have no value, drawn in grey
    lack: str = "no value"  # why they have none
    groups: np.ndarray | None = None  # [N] the group of each point whose names stand on the map
    names: Sequence[str] = ()  # of those groups
    labelled: Sequence[tuple[int, int]] = ()  # (group, palette entry) whose names are drawn, scarcest first
    values: np.ndarray | None = (
        None  # [N] what hovering tells beside the class: a number, or which value_name
    )
    value_names: Sequence[str] = ()


def offered(points: pd.DataFrame, axis: str) -> dict[str, str]:
    """Names of the colourings that say something about these points, with their titles."""
    found = {"class": "Class", "condition": axis.capitalize(), "source": "Source"}
    if points["subdomain"].nunique() == 1:
        del found["condition"]
    found |= {name: title for name, (title, column) in SCORES.items() if column in points}
    taken = {column for _, column in SCORES.values()}
    for name in points.columns.difference([*HIDDEN, *taken], sort=False):
        if name not in found and _tells(points[name]):
            title = NAMED.get(name) or columns.title(name)
            found[name] = f"{title} (column)" if title in found.values() else title  # chosen by its title
    return found


def _tells(column: pd.Series) -> bool:
    """Does a column set points apart, and is it no mere name of each?"""
    some = column[column.notna() & (column != "")]
    different = some.nunique()
    few = different <= min(MOST_GROUPS, len(some) / 2) or not different
    return different > 1 and (columns.kind(column) != "text" or few)


def groups_of(column: pd.Series) -> list[str]:
    """Names of all groups of a column of texts, the largest first; [] of numbers and dates."""
    return grouped(column)[1] if columns.kind(column) == "text" else []


def grouped(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Which group of a column of texts each point is of [N], −1 where of none; their names, largest first."""
    codes, names = pd.factorize(column)
    size = np.bincount(codes[codes >= 0], minlength=len(names))
    size[[str(name) == "" for name in names]] = 0
    order = np.argsort(-size, kind="stable")
    place = np.full(len(names) + 1, -1)
    place[order] = np.where(size[order] > 0, np.arange(len(names)), -1)
    return place[codes], [str(names[k]) for k in order if size[k]]


def scarcest(name: str, meta: Mapping[str, Any]) -> list[str]:
    """Names of all classes (subdomains), the fewest training items first."""
    counts = np.asarray(meta["real"]).sum(axis=1 if name == "class" else 0)
    names = meta["class_names"] if name == "class" else meta["subdomain_names"]
    return [names[k] for k in np.argsort(counts, kind="stable")]


def make(
    name: str, points: pd.DataFrame, meta: Mapping[str, Any], axis: str, head: str = "",
    chosen: Sequence[str] | None = None,
) -> Colouring:  # fmt: skip
    """The colouring `name` of a run's points; chosen: the groups in colour where there are more than ten, the
    scarcest classes (subdomains) or a column's largest where None. head: whose head gave the scores."""
    if name in GROUPED:
        column = "label" if name == "class" else "subdomain"
        names = meta["class_names"] if name == "class" else meta["subdomain_names"]
        order = scarcest(name, meta)
        shown = order[:LIMIT] if chosen is None else chosen
        title = "class" if name == "class" else axis
        return _of_groups(title, points[column].to_numpy(), names, [names.index(n) for n in shown], order)
    names, real = meta["class_names"], (points["origin"] == "real").to_numpy()
    # class names stay on the map in grey, so that one knows where one is; beyond ten they would hide it
    order = scarcest("class", meta) if len(names) <= LIMIT else []
    where = {
        "groups": points["label"].to_numpy(),
        "names": names,
        "labelled": [(names.index(n), GREY) for n in order],
    }
    if name in MEANINGS:
        by = f"the head of {report.method_title(head)}" if head else "the head"
        where |= {"meaning": MEANINGS[name].format(head=by), "lack": "not scored"}
    if name == "source":
        return Colouring("source", np.where(real, GREY, ACCENT).astype(np.uint8), **where)
    if name == "correctness":
        said, label = points["predicted"].to_numpy(), points["label"].to_numpy()
        numbers = np.where(said < 0, GREY, np.where(said == label, RIGHT, WRONG)).astype(np.uint8)
        legend = [(RIGHT, "taken for its class"), (WRONG, "taken for another")]
        told = {"values": said.astype(np.float32), "value_names": names, "without": said < 0}
        told["under"] = (GREY, RIGHT)  # a few wrong ones would be lost below
        return Colouring("right or wrong", numbers, legend, **told, **where)
    own = columns.title(name)
    if own != name and not points[name].where(points[name] != "")[~real].notna().any() and not real.all():
        where["meaning"] = f"“{own}” is a column of the data: synthetic latents have none."
    if columns.kind(points[name]) != "text":
        return _of_numbers(name, *numbers_of(points[name]), where)
    codes, names = grouped(points[name])
    most = list(range(min(LIMIT, len(names))))
    if chosen is not None:
        most = [names.index(n) for n in chosen if n in names]
    titles = [report.method_title(n) for n in names] if name == "method" else names
    made = _of_groups(NAMED[name].lower() if name in NAMED else own, codes, titles, most, [])
    told = {"without": codes < 0}
    if len(titles) <= MOST_NAMES:
        told |= {"values": codes.astype(np.float32), "value_names": titles}
    return Colouring(made.title, made.numbers, made.legend, **told, **where)


def _of_groups(
    title: str, codes: np.ndarray, names: Sequence[str], chosen: Sequence[int], order: Sequence[str]
) -> Colouring:
    """Ten hues at most: every group's own where they suffice, else the chosen ones' against grey."""
    many = len(names) > LIMIT
    coloured = list(chosen)[:LIMIT] if many else list(range(len(names)))
    lookup = np.full(len(names) + 1, FAINT, dtype=np.uint8)
    lookup[coloured] = np.arange(len(coloured))
    lookup[-1] = GREY  # of -1: no group
    legend = [(k, words.cut(names[group], LEGEND)) for k, group in enumerate(coloured)]
    if many:
        legend.append((FAINT, f"{words.thousands(len(names) - len(coloured))} others"))
    place = {name: k for k, name in enumerate(names)}
    labelled = [(place[n], int(lookup[place[n]])) for n in order if place[n] in coloured]
    return Colouring(title, lookup[codes], legend, groups=codes, names=names, labelled=labelled)


def numbers_of(column: pd.Series) -> tuple[np.ndarray, Sequence[str] | None]:
    """Numbers as floats [N], dates as days since 1970; and of dates the names of their days by number, where
    they are few enough to be told."""
    if columns.kind(column) == "number":
        return column.to_numpy(np.float64), None
    days = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return days.to_numpy(np.float64), [words.day(day) for day in np.unique(np.floor(days.dropna()))]


def _of_numbers(
    name: str, values: np.ndarray, days: Sequence[str] | None, where: dict[str, Any]
) -> Colouring:
    """A ramp between two quantiles, logarithmic where they lie far apart; grey where there is no value."""
    scored = np.isfinite(values)
    title = SCORES[name][0].lower() if name in SCORES else columns.title(name)
    told = {"values": values.astype(np.float32), "without": ~scored, **where}
    if days is not None:  # hovering tells a day by its name
        whole = np.floor(np.where(scored, values, -1.0))
        place = np.searchsorted(np.unique(whole[scored]), whole)
        few = len(days) <= MOST_NAMES
        told["values"] = np.where(scored, place, -1).astype(np.float32) if few else None
        told["value_names"] = days if few else ()
    if not scored.any():
        return Colouring(title, np.full(len(values), GREY, np.uint8), **told)
    low, middle, high = np.quantile(values[scored], [ROBUST[0], 0.5, ROBUST[1]])
    wide = bool(low > 0 and high / low > WIDE) and days is None
    shown = np.clip(np.where(scored, values, low), low, high)
    share = (np.log(shown / low) / np.log(high / low)) if wide else (shown - low) / max(high - low, 1e-12)
    ends = float(low), float(middle), float(high)
    numbers = np.where(scored, RAMP + np.rint(share * (STEPS - 1)), GREY).astype(np.uint8)
    return Colouring(title, numbers, ramp=Ramp(*ends, wide, days is not None), **told)
