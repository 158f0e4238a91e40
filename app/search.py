"""Points by what a person types: an id or how it begins, a class, "sad in Polish", "synthetic eight"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app import words
from gelda import columns

FILLERS = {"in", "and", "the", "of", "for", "latents", "latent", "points", "samples"}
NAMED = 4  # classes whose names hold what was typed are told by theirs, up to so many
_STEP = re.compile(r"step (\d+)")
ORIGINS = {"real": "real", "synthetic": "synthetic", "made": "synthetic"}


@dataclass(frozen=True)
class Found:
    """rows of the points table, and what was understood, in words."""

    rows: np.ndarray
    said: str


def find(text: str, points: pd.DataFrame, classes: Sequence[str], subdomains: Sequence[str]) -> Found:
    """Rows that `text` names: ids, names of classes, subdomains and origins, how ids begin."""
    ids = points["id"].astype(str).str.lower()
    wanted = text.strip().lower()
    several = [part for part in re.split(r"[,;\s]+", wanted) if part]
    whole = np.flatnonzero(ids.isin([wanted, *several]).to_numpy())
    if len(whole):
        return Found(whole, words.count(len(whole), "point") + " of that id" + "s" * (len(several) > 1))
    step = _STEP.fullmatch(wanted)
    if step and "step" in points and (made := np.flatnonzero(points["step"] == int(step[1]))).size:
        return Found(made, f"{words.count(len(made), 'latent')} made by step {step[1]} of the edits")
    named = _named(wanted, points, classes, subdomains)
    if named is not None:
        return named
    begin = np.flatnonzero(ids.str.startswith(wanted).to_numpy()) if wanted else whole
    if len(begin):
        return Found(begin, f"{words.count(len(begin), 'point')} whose id begins so")
    return (
        _holding(wanted, points, classes)
        or _in_columns(wanted, points)
        or Found(begin, "Nothing is called that: try an id, a class, or a class and where it is")
    )


def _holding(wanted: str, points: pd.DataFrame, classes: Sequence[str]) -> Found | None:
    """Rows of every class whose name holds the text: of a thousand, few are known by their whole name."""
    inside = [n for n, name in enumerate(classes) if len(wanted) > 2 and wanted in name.lower()]
    rows = np.flatnonzero(points["label"].isin(inside).to_numpy())
    if not len(rows):
        return None
    more = [f"{words.thousands(len(inside) - NAMED)} more"] if len(inside) > NAMED else []
    names = words.listed([*(classes[n] for n in inside[:NAMED]), *more])
    return Found(rows, f"{words.count(len(rows), 'point')}: {names}")


def _in_columns(wanted: str, points: pd.DataFrame) -> Found | None:
    """Rows whose text in a further column is, or else holds, what was typed; of the first such column."""
    if not wanted:
        return None
    texts = [name for name in columns.own(points) if columns.kind(points[name]) == "text"]
    lower = {name: points[name].astype("str").str.lower() for name in texts}
    for said, found in (
        ("is", lambda values: values == wanted),
        ("holds", lambda values: values.str.contains(wanted, regex=False)),
    ):
        for name, values in lower.items():
            rows = np.flatnonzero(found(values).to_numpy())
            if len(rows) and (said == "is" or len(wanted) > 2):
                title = columns.title(name)
                return Found(rows, f"{words.count(len(rows), 'point')} whose {title} {said} “{wanted}”")
    return None


def _named(
    wanted: str, points: pd.DataFrame, classes: Sequence[str], subdomains: Sequence[str]
) -> Found | None:
    """Rows of the classes, subdomains and origins that the words name; None where a word names nothing."""
    axes_of = {"label": classes, "subdomain": subdomains}
    known = [
        (axis, n, _words(name.lower())) for axis, names in axes_of.items() for n, name in enumerate(names)
    ]
    known += [("origin", value, [word]) for word, value in ORIGINS.items()]
    axes: dict[str, list[int | str]] = {}
    left = _words(wanted)
    while left:
        # the longest name that begins here: "very sad" before "very"
        spans = [(len(n), axis, value) for axis, value, n in known if n and left[: len(n)] == n]
        if not spans and len(left[0]) > 2:  # or the one name that begins like the word
            alike = [(1, axis, value) for axis, value, n in known if n and n[0].startswith(left[0])]
            spans = alike if len(alike) == 1 else []
        if spans:
            length = max(span[0] for span in spans)
            for span, axis, value in spans:
                if span == length:
                    axes.setdefault(axis, []).append(value)
            left = left[length:]
        elif left[0] in FILLERS:
            left = left[1:]
        else:
            return None
    if not axes:
        return None
    inside = np.ones(len(points), bool)
    for axis, values in axes.items():
        inside &= points[axis].isin(values).to_numpy()
    rows = np.flatnonzero(inside)
    parts = [" or ".join(str(axes_of[a][v]) if a in axes_of else str(v) for v in axes[a])
             for a in ("origin", "label", "subdomain") if a in axes]  # fmt: skip
    return Found(rows, f"{words.count(len(rows), 'point')}: {', '.join(parts)}")


def _words(text: str) -> list[str]:
    return re.findall(r"[^\s,;]+", text)
