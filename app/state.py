"""What a person is looking at: the run and the view of each page, held in the URL and typed here.

A page seeds its widgets with `bind`, lets the person change them, and calls `publish` at its end. The URL
wins over what was carried from another page, and an unknown or outdated value falls back to the default;
`absent` tells which of a link's names did.
Streamlit drops parameters when the page changes, so they are kept in the session and written back.

A browser sends its address and the values of all its widgets with every click, and with every tick of a
`run_every` fragment: those it had then, which may be older than what this session has set since. An older
address is known by having been written here (`begin`); an older value comes under an older `key`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_CARRIED = "_carried"  # what other pages set: {name: text}
_BOUND = "_bound"  # names bound on the page being drawn: {name: default}
_ASKED = "_asked"  # names that a link has set in this drawing
_ABSENT = "_absent"  # what a link names and is not here: [(noun, name)]; the address that came of the link
_SENT = "_sent"  # addresses written for this page, from the one that the browser was last seen at
_TAKEN = "_taken"  # (address that came from outside, names that were taken from it)
_TURNS = "_turns"  # how often a field that has a widget was set past it: {name: number}
_FIRST = "_first"  # the default that a field was bound with last, and the run: {name: (default, run)}
_FORMER = "_former"  # the widget before the last time: {name: (key, value that it had)}
_ACTED = "_acted"  # the last press of each component that was acted on: {component: press}
_NEWEST = ("run", "study")  # fields whose default is the newest: a link must hold which one that was
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
    """Start a page: forget what the last run of the script bound, and see which address the browser is at."""
    st.session_state[_BOUND] = {}
    st.session_state[_ASKED] = set()
    st.session_state.setdefault(_CARRIED, {})
    if st.session_state.get("_page") != page:
        st.session_state["_page"], st.session_state[_SENT], st.session_state[_TAKEN] = page, [], ({}, set())
        st.session_state[_ABSENT] = [], None
    here, sent = st.query_params.to_dict(), st.session_state[_SENT]
    if here in sent:  # its own, or one that it is about to replace; the browser takes them in order
        del sent[: len(sent) - 1 - sent[::-1].index(here)]
        st.session_state[_TAKEN] = {}, set()
    elif here != st.session_state[_TAKEN][0]:
        st.session_state[_TAKEN], st.session_state[_ABSENT] = (here, set()), ([], None)


def bind(name: str, default: Any, options: Sequence[Any] | None = None, noun: str = "") -> str:
    """Seed the widget of the field `name` from the URL, the session or `default`; returns its `key`.

    A list default makes a field of several values, written to the URL with commas (those of a name escaped);
    a tuple default, of two numbers or two dates, a range within it. noun: what a value is called where a link
    names one that is not among the options ("class"); "" where nobody misses it.
    """
    many = isinstance(default, list | tuple)
    st.session_state[_BOUND][name] = default
    first = st.session_state.setdefault(_FIRST, {})
    run = "" if name in _NEWEST else st.session_state.get(_key("run"))
    former, had = st.session_state.get(_FORMER, {}).get(name, ("", None))
    text = _from_outside(name)
    if text is not None:
        value = _parse(text, many)
        if noun:
            _miss(noun, value if many else [value], options or ())
    elif former and former in st.session_state and st.session_state[former] != had:
        value = st.session_state[former]  # a click on the widget that was about to be replaced
    elif _key(name) in st.session_state:
        value = st.session_state[_key(name)]
        before, of = first.get(name, (None, run))
        if value == before and (isinstance(default, tuple) or of != run):
            value = default  # what another run begins with, such as all of its range, was not chosen
    else:
        carried = st.session_state[_CARRIED].get(name)
        value = default if carried is None else _parse(carried, many)
    first[name] = default, run
    put(name, _valid(value, default, options))
    return _key(name)


def _from_outside(name: str) -> str | None:
    """What a link says of a field, once; None where the address is one that this session has written."""
    here, names = st.session_state[_TAKEN]
    if name not in here or name in names or st.query_params.to_dict() != here:
        return None
    names.add(name)
    st.session_state[_ASKED].add(name)
    return here[name]


def _miss(noun: str, names: Sequence[str], options: Sequence[Any]) -> None:
    missed, address = st.session_state[_ABSENT]
    new = [(noun, name) for name in names if name and name not in options]
    st.session_state[_ABSENT] = list(dict.fromkeys([*missed, *new])), address


def absent() -> list[tuple[str, str]]:
    """What the link to this view names and is not here, as noun and name; until the view is changed.

    Call it when all of the page is bound: the address that comes of the link is what it is told by.
    """
    missed, address = st.session_state[_ABSENT]
    now = _address()
    st.session_state[_ABSENT] = (missed, now) if address in (None, now) else ([], None)
    return st.session_state[_ABSENT][0]


def key(name: str) -> str:
    """The key for the widget of a bound field that is also set by other means than its widget.

    Each time it is, a new widget takes the place of the old one: what a browser that has not drawn it yet
    says of the field counts for the old one, and does not undo what was set.
    """
    st.session_state.setdefault(_TURNS, {}).setdefault(name, 0)
    return _key(name)


def _key(name: str) -> str:
    turn = st.session_state.get(_TURNS, {}).get(name, 0)
    return f"{name}.{turn}" if turn else name


def asked(name: str) -> bool:
    """Whether a link, and not the person, has just set a bound field."""
    return name in st.session_state[_ASKED]


def value(name: str) -> Any:
    """Current value of a bound field."""
    return st.session_state.get(_key(name))


def put(name: str, new: Any) -> None:
    """Set a bound field; call it in a callback, before the widget is drawn again."""
    now, turns = _key(name), st.session_state.get(_TURNS, {})
    if name in turns and now in st.session_state and st.session_state[now] != new:
        st.session_state.setdefault(_FORMER, {})[name] = now, st.session_state[now]
        st.session_state[f"{name}.{turns[name] + 1}"] = new
        turns[name] += 1  # last, so that a run that is broken off above has changed nothing
    else:
        st.session_state[now] = new


def publish() -> None:
    """Write every bound field that differs from its default into the URL, and carry it to other pages."""
    written = _address()
    for name in st.session_state[_BOUND]:
        if name in written:
            st.session_state[_CARRIED][name] = written[name]
        else:
            st.session_state[_CARRIED].pop(name, None)
    if st.session_state[_SENT][-1:] != [written]:
        st.session_state[_SENT].append(written)
    if st.query_params.to_dict() != written:
        st.query_params.from_dict(written)


def _address() -> dict[str, str]:
    """What of the view differs from its defaults, as the URL has it; and what by default is the newest."""
    now = {n: (st.session_state.get(_key(n), d), d) for n, d in st.session_state[_BOUND].items()}
    return {n: _text(current) for n, (current, default) in now.items() if current != default or n in _NEWEST}


def along() -> bool:
    """Whether a callback is called for a click that came along with the tick of a `run_every` fragment.

    Such a click comes once more, in a message of its own: the browser keeps what was pressed until that is
    sent. What must not be done twice, such as to undo a step, waits for it.
    """
    context = get_script_run_ctx()
    return context is not None and bool(context.fragment_ids_this_run)


def fresh(component: str, event: Mapping[str, Any]) -> bool:
    """Whether a component's event is to be acted on now: not where it came along with a tick, nor twice.

    A tick that waits beside a drawing of the whole page is folded into it, and then looks like a click of its
    own: `press`, when the person pressed, tells that both are one.
    """
    acted, press = st.session_state.setdefault(_ACTED, {}), event.get("press")
    if along() or (press is not None and acted.get(component) == press):
        return False
    acted[component] = press
    return True


def carry(name: str, text: str) -> None:
    """Hand a value to the page a person is about to open."""
    st.session_state.setdefault(_CARRIED, {})[name] = text


def drop(*names: str) -> None:
    """Forget fields wherever they are held, so that they start from their defaults."""
    turns = st.session_state.get(_TURNS, {})
    for name in names:
        if st.session_state.pop(_key(name), None) is not None and name in turns:
            turns[name] += 1
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
    if isinstance(default, tuple):
        return _range(current, default)
    if options is None:
        return current
    if isinstance(default, list):
        kept = [item for item in current or [] if item in options]
        return kept or (default if current else [])
    return current if current in options else default


def _range(current: Any, whole: tuple[Any, Any]) -> tuple[Any, Any]:
    """Two ends within the whole range; all of it where what a link says is none."""
    kind = type(whole[0])
    try:
        low, high = (
            end if isinstance(end, kind) else kind.fromisoformat(end) if kind is date else kind(end)
            for end in current
        )  # fmt: skip
    except (TypeError, ValueError):
        return whole
    low, high = max(low, whole[0]), min(high, whole[1])
    return (low, high) if low <= high else whole
