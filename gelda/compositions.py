"""Composed conditions: a cell drawn under a mixture of other classes and subdomains, written as one line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gelda.errors import UserError, nearest

SETTING = "sampling.conditions"
FORM = (
    'write "CLASS in SUBDOMAIN = CLASSES in SUBDOMAINS", such as "anger in Polish = anger in German + Urdu"; '
    'a name that holds "in", "=" or "+" stands in double quotes'
)
# what the generator is told in place of the conditions, for ablations
CONTROLS = ("none", "shuffled", "random", "class-only", "subdomain-only", "unconditional")
Mixture = tuple[tuple[str, float], ...]  # (name, weight), weights above 0 that sum to 1


@dataclass(frozen=True)
class Composition:
    """The condition of `cell` (class, subdomain): class and subdomain are mixed apart.

    A condition is the sum of both axes, so a mixture of whole cells is that of their classes beside that of
    their subdomains.
    """

    text: str
    cell: tuple[str, str]
    classes: Mixture
    subdomains: Mixture

    def names(self) -> tuple[set[str], set[str]]:
        """Every class and every subdomain that the line speaks of."""
        return (
            {self.cell[0], *(name for name, _ in self.classes)},
            {self.cell[1], *(name for name, _ in self.subdomains)},
        )


def parse(text: str) -> Composition:
    """`anger in Polish = 0.5 anger + 0.5 fear in German` as a Composition.

    Whole cells may be mixed too: `anger in Polish = 0.5 anger in German + 0.5 fear in English`. Parts without
    any weight share equally. A name that holds the words in, = or +, begins with a number or has several
    spaces in a row stands in double quotes, escaped as in JSON.
    """
    sides = _split(re.findall(r'"(?:[^"\\]|\\.)*"|[^\s"]+|"', text), "=")
    if len(sides) != 2 or sides[0].count("in") != 1 or "in" not in sides[1]:
        raise _wrong(text, FORM)
    label, subdomain = (_name(part, text) for part in _split(sides[0], "in"))
    if sides[1].count("in") == 1:
        classes, subdomains = (_weighted(part, text) for part in _split(sides[1], "in"))
    else:
        cells = [(_split(part, "in"), weight) for part, weight in _weighted(sides[1], text)]
        if any(len(cell) != 2 for cell, _ in cells):
            raise _wrong(text, FORM)
        classes, subdomains = ([(cell[axis], weight) for cell, weight in cells] for axis in (0, 1))
    return Composition(text, (label, subdomain), _mixture(classes, text), _mixture(subdomains, text))


def parsed(texts: Iterable[str]) -> list[Composition]:
    """Every line as a Composition; a cell has one condition."""
    found: dict[tuple[str, str], Composition] = {}
    for text in texts:
        made = parse(text)
        if made.cell in found:
            raise _wrong(text, f"the cell has the condition '{found[made.cell].text}' already: keep one")
        found[made.cell] = made
    return list(found.values())


def check(
    texts: Iterable[str], classes: Sequence[str], subdomains: Sequence[str], setting: str = SETTING
) -> None:
    """Refuse a line with a name that is not there."""
    for made in parsed(texts):
        for axis, named, known in zip(
            ("class", "subdomain"), made.names(), (classes, subdomains), strict=True
        ):
            for name in sorted(named - set(known)):
                raise _wrong(made.text, f"there is no {axis} called '{name}'.{nearest(name, known)}", setting)


def remarks(texts: Iterable[str], filled: Sequence[set[tuple[str, str]]], method: str = "GeLDA") -> list[str]:
    """What a report says of composed cells; `filled`: by seed, the cells that latents were made of."""
    said, idle = [], []
    for made in parsed(texts):
        seeds = sum(made.cell in cells for cells in filled)
        if seeds:
            share = "" if seeds == len(filled) else f" (in {seeds} of {len(filled)} seeds)"
            said.append(f"{made.text}{share}")
        else:
            idle.append(" in ".join(made.cell))
    found = []
    if said:
        found.append(
            f"{method}'s latents of these cells were drawn under composed conditions: {'; '.join(said)}."
        )
    if idle:
        found.append(f"{method} made no latents of {', '.join(idle)} for these figures.")
    return found


def _split(tokens: Sequence[str], at: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == at:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _name(tokens: Sequence[str], text: str) -> str:
    """Plain words, or one text in double quotes."""
    if len(tokens) == 1 and tokens[0].startswith('"'):
        try:
            return json.loads(tokens[0])
        except json.JSONDecodeError as error:
            raise _wrong(text, f"{tokens[0]} is not a name in double quotes") from error
    if not tokens or any(token.startswith('"') for token in tokens) or "+" in tokens:
        raise _wrong(text, f"'{' '.join(tokens)}' is not one name: {FORM}")
    return " ".join(tokens)


def _weighted(tokens: Sequence[str], text: str) -> list[tuple[list[str], float]]:
    """The parts of a sum, each without its weight, and their weights."""
    parts = _split(tokens, "+")
    weights = [_number(part[0]) if len(part) > 1 else None for part in parts]
    given = [w for w in weights if w is not None]
    if not given:
        return [(part, 1 / len(parts)) for part in parts]
    if len(given) < len(parts):
        raise _wrong(
            text, f"'{' '.join(parts[weights.index(None)])}' has no weight: give all parts one, or none"
        )
    if min(given) <= 0 or abs(sum(given) - 1) > 1e-3:
        why = f"the weights {' + '.join(f'{w:g}' for w in given)} must be above 0 and sum to 1"
        raise _wrong(text, f"{why} (a name that begins with a number stands in double quotes)")
    return [(part[1:], w / sum(given)) for part, w in zip(parts, given, strict=True)]


def _mixture(weighted: Iterable[tuple[list[str], float]], text: str) -> Mixture:
    total: dict[str, float] = {}
    for tokens, weight in weighted:
        name = _name(tokens, text)
        total[name] = total.get(name, 0.0) + weight
    return tuple(total.items())


def _number(token: str) -> float | None:
    try:
        number = float(token)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _wrong(text: str, why: str, setting: str = SETTING) -> UserError:
    return UserError(f"{setting} '{text}': {why}" + ("" if why.endswith(".") else "."))
