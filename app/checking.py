"""Every file of a source opened once, in the background: what cannot be decoded, copies, leaks by content."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import streamlit as st

from app.sources import Look
from gelda.datasets import Problem, find_copies, find_leaks
from gelda.errors import UserError


@dataclass
class Check:
    """A check that runs or has run; `done` and `total` count files of the step `doing`."""

    doing: str = "waiting"
    done: int = 0
    total: int = 1
    stopped: bool = False
    finished: bool = False
    error: str = ""
    unreadable: list[Problem] = field(default_factory=list)
    copies: list[Problem] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)


class _Stopped(Exception):
    pass


def of(look: Look) -> Check | None:
    """The check of these items, if one was started since they were read."""
    return _held().get(look.key)


def start(look: Look) -> None:
    """Start it; one runs at a time, and the page does not wait."""
    check = _held()[look.key] = Check()
    _worker().submit(_run, look, check)


@st.cache_resource(show_spinner=False)
def _held() -> dict[str, Check]:
    return {}


@st.cache_resource(show_spinner=False)
def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="check")


def _run(look: Look, check: Check) -> None:
    def tell(done: int, total: int) -> None:
        check.done, check.total = done, total
        if check.stopped:
            raise _Stopped

    try:
        check.doing = "decoding"
        uris = list(look.table["uri"])
        for done, uri in enumerate(uris, 1):
            try:
                look.source.decode(uri)
            except UserError as error:
                check.unreadable.append(Problem(uri, str(error)))
            tell(done, len(uris))
        check.doing = "comparing files of one size"
        check.copies = find_copies(look.source, tell)
        check.leaks = find_leaks(look.source, hashed=True, progress=tell)
        check.finished = True
    except _Stopped:
        pass
    except Exception as error:  # a thread's error reaches nobody else
        check.error = f"{type(error).__name__}: {error}"
