"""Which cells have nothing, in one sentence: "Polish: anger and sadness have no clip"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app import words

NAMED = 6  # classes, and subdomains, that are named; of more, their number is


def sentence(counts: np.ndarray, classes: Sequence[str], subdomains: Sequence[str], noun: str,
             kind: str = "class", where: str = "") -> str:  # fmt: skip
    """Names the empty cells of counts [C, S]; "" where there is none, or no subdomain to speak of.

    noun: what there is none of ("clip"); kind: what a class is called; where: such as "in training".
    """
    empty = np.asarray(counts) == 0
    lacking = np.flatnonzero(empty.any(axis=0))
    if not len(lacking) or len(subdomains) == 1:
        return ""
    nothing = f"no {noun}{f' {where}' if where else ''}"
    if len(lacking) > NAMED:
        return f"{words.thousands(int(empty.sum()))} of {words.count(empty.size, 'cell')} have {nothing}."
    parts = []
    for column in lacking:
        names = [classes[row] for row in np.flatnonzero(empty[:, column])]
        few = len(names) <= NAMED
        said = words.listed(names) if few else words.count(len(names), kind, words.plural(kind))
        parts.append(
            (subdomains[column], "every " + kind if len(names) == len(classes) > 1 else said, len(names))
        )
    if len(parts) == 1:
        where_, names, number = parts[0]
        verb = "has" if number in (1, len(classes)) else "have"
        return f"{where_}: {names} {verb} {nothing}."
    listed = "; ".join(f"{name}: {names}" for name, names, _ in parts)
    return f"{nothing[0].upper()}{nothing[1:]} – {listed}."
