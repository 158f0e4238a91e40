"""What a person is looking at: the run and the view of each page, held in the URL and typed here.

A page seeds its widgets with `bind`, lets the person change them, and calls `publish` at its end. The URL
wins over what was carried from another page, and an unknown or outdated value falls back to the default.
Streamlit drops parameters when the page changes, so they are kept in the session and written back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

_CARRIED = "_carried"  # what other pages set: {name: text}
_PUBLISHED = "_published"  # what this session wrote to the URL last
_BOUND = "_bound"  # names bound on the page being drawn: {name: default}
_ASKED = "_asked"  # names that a link has set in this drawing
_PARTS = re.compile(
    r"(?:\\.|[^,])+"
)  # of a field of several values: a class may be called "tench, Tinca tinca"
_SPECIAL, _ESCAPED = re.compile(r"[\\,]"), re.compile(r"\\(.)")


@dataclass
class Selection:
    """The points a person has picked, by row of the run's points table."""

    run: str = ""
    rows: list[int] = field(default_factory=list)
    how: str = ""
    name: str = ""  # under which it is kept, "" where it is not
    problem: str = ""  # why the one that was asked for is not here
    made: tuple[str, ...] = ()  # ids of latents that edits made: they have no row in the points table


def begin(page: str) -> None:
    """Start a page: forget what the last run of the script bound."""
    st.session_state[_BOUND] = {}
    st.session_state[_ASKED] = set()
    if st.session_state.get("_page") != page:
        st.session_state["_page"] = page
        st.session_state[_PUBLISHED] = {}
    st.session_state.setdefault(_CARRIED, {})


def bind(name: str, default: Any, options: Sequence[Any] | None = None) -> str:
    """Seed the widget with key `name` from the URL, the session or `default`; returns the key.

    A list default makes a field of several values, written to the URL with commas (those of a name escaped).
    """
    many = isinstance(default, list)
    st.session_state[_BOUND][name] = default
    text = st.query_params.get(name)
    outside = text is not None and text != st.session_state[_PUBLISHED].get(name)
    if outside:
        st.session_state[_ASKED].add(name)
        value = _parse(text, many)
    elif name in st.session_state:
        value = st.session_state[name]
    else:
        carried = st.session_state[_CARRIED].get(name)
        value = default if carried is None else _parse(carried, many)
    st.session_state[name] = _valid(value, default, options)
    return name


def asked(name: str) -> bool:
    """Whether a link, and not the person, has just set a bound field."""
    return name in st.session_state[_ASKED]


def value(name: str) -> Any:
    """Current value of a bound field."""
    return st.session_state.get(name)


def put(name: str, new: Any) -> None:
    """Set a bound field; call it in a callback, before the widget is drawn again."""
    st.session_state[name] = new


def publish() -> None:
    """Write every bound field that differs from its default into the URL, and carry it to other pages."""
    written = {}
    for name, default in st.session_state[_BOUND].items():
        current = st.session_state.get(name, default)
        text = _text(current)
        if current != default or name == "run":
            st.session_state[_CARRIED][name] = text
            written[name] = text
        else:
            st.session_state[_CARRIED].pop(name, None)
    if st.query_params.to_dict() != written:
        st.query_params.from_dict(written)
    st.session_state[_PUBLISHED] = written


def carry(name: str, text: str) -> None:
    """Hand a value to the page a person is about to open."""
    st.session_state.setdefault(_CARRIED, {})[name] = text


def drop(*names: str) -> None:
    """Forget fields wherever they are held, so that they start from their defaults."""
    for name in names:
        st.session_state.pop(name, None)
        st.session_state.get(_CARRIED, {}).pop(name, None)


def carried(name: str) -> str | None:
    """What another page handed over, as text."""
    return st.session_state.get(_CARRIED, {}).get(name)


def selection(run: str) -> Selection:
    """The selection in this run; picking in another run starts afresh."""
    held = st.session_state.get("_selection")
    return held if held is not None and held.run == run else Selection(run)


def select(
    run: str, rows: Iterable[int], how: str, name: str = "", problem: str = "", made: Iterable[str] = ()
) -> None:
    """Keep row numbers in the session: a figure that changes must not lose them."""
    drop("sel", "point")  # what was said of the selection before
    st.session_state["_selection"] = Selection(
        run, [int(r) for r in rows], how, name, problem=problem, made=tuple(made)
    )


def _parse(text: str, many: bool) -> Any:
    return [_ESCAPED.sub(r"\1", part) for part in _PARTS.findall(text)] if many else text


def _text(current: Any) -> str:
    if isinstance(current, list | tuple):
        return ",".join(_SPECIAL.sub(r"\\\g<0>", str(part)) for part in current)
    return "" if current is None else str(current)


def _valid(current: Any, default: Any, options: Sequence[Any] | None) -> Any:
    if isinstance(default, bool):
        return current in (True, "True", "1", "true")
    if options is None:
        return current
    if isinstance(default, list):
        kept = [item for item in current or [] if item in options]
        return kept or (default if current else [])
    return current if current in options else default
