"""The one error a person can mend, and the nearest valid name to put into it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's: one sentence that says what, where and what to do.

    The command line prints it and exits with code 2; pages show it as a message.
    """


class RunFailed(UserError):
    """A run that was asked for failed, in whole or in part: the command line exits with code 1."""


def sentence(error: BaseException) -> str:
    """What is said of a failure: a user's mistake in its own words, anything else with its type before it."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def nearest(name: str, options: Iterable[str]) -> str:
    """Sentence ending that names the closest valid option and lists them all."""
    options = sorted(options)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.4)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"{hint} Valid names: {', '.join(options)}."


def usable(what: str, value: float, positive: bool = False) -> float:
    """`value` where it is finite and at least 0 (above 0 if `positive`), else an error that names `what`."""
    if not 0 <= value < float("inf") or (positive and value == 0):
        wanted = "above 0" if positive else "at least 0"
        raise UserError(f"The strength of {what} is {value:g}: it must be {wanted}.")
    return value


def unknown(kind: str, name: str, options: Iterable[str]) -> UserError:
    """The error for a name that a registry does not hold."""
    return UserError(f"There is no {kind} called '{name}'.{nearest(name, options)}")
