"""Figures as text: one rule for signs and decimals, so that a figure and the words beside it agree."""

from __future__ import annotations

MOST_DIGITS = 3


def number(value: float, digits: int = 1, signed: bool = False) -> str:
    """A figure to so many decimals; what reads as zero has no sign."""
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text if float(text) else text.lstrip("+-")


def ends(low: float, high: float, signed: bool = False) -> tuple[str, str]:
    """Both ends of an interval. An end of a difference that would read as zero and is not has more decimals:
    an interval that is said to exclude zero, or to hold it, can be seen to."""
    return (_end(low), _end(high)) if signed else (number(low), number(high))


def _end(value: float) -> str:
    for digits in range(1, MOST_DIGITS + 1):
        text = number(value, digits, signed=True)
        if float(text):
            return text
    return number(value)
