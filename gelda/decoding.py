"""Decode workers: files become an encoder's inputs in processes of their own, in order and a little ahead."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gelda.errors import UserError

CHUNK = 8  # items a task: one clip of a minute is 4 MB
AHEAD = 2  # tasks a worker has before it: bounds what waits in memory

_work: tuple[Callable[[str], Any], Callable[[Any], Any]]


@dataclass(frozen=True)
class Unreadable:
    """In the place of an item that could not be decoded or prepared: why."""

    reason: str


def decoded(
    decode: Callable[[str], Any], prepare: Callable[[Any], Any], uris: Sequence[str], workers: int
) -> Generator[Any, None, None]:
    """`prepare(decode(uri))` of every uri in order, or an `Unreadable`; memory does not grow with `uris`.

    workers: spawned processes, which need both functions picklable; 0 decodes here, as is done until one has
    started. They end with the process that started them, even where it is killed.
    """
    if workers == 0:
        yield from (_one(decode, prepare, uri) for uri in uris)
        return
    spawn = multiprocessing.get_context("spawn")  # a forked child with torch deadlocks
    pool = ProcessPoolExecutor(workers, spawn, _start, (decode, prepare))
    waiting: deque[Future[list[Any]]] = deque()
    first = 0
    try:
        with _deaf():
            started = [pool.submit(_nothing) for _ in range(workers)]
        while first < len(uris) and not started[0].done():  # workers import for seconds
            yield _one(decode, prepare, uris[first])
            first += 1
        for start in range(first, len(uris), CHUNK):
            waiting.append(pool.submit(_chunk, list(uris[start : start + CHUNK])))
            if len(waiting) > AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "A decode worker was ended by the system, most often for lack of memory: run this again with "
            "fewer --workers; finished shards are kept."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(decode: Callable[[str], Any], prepare: Callable[[Any], Any]) -> None:
    global _work
    _work = (decode, prepare)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in `_deaf`, for workers that start later
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if torch := sys.modules.get("torch"):  # its threads would fight for the cores with the other workers
        torch.set_num_threads(1)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that start in here ignore Ctrl-C from their first line: it is the parent's to answer, and an
    interrupted import would print a traceback. Only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _nothing() -> None:
    pass


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # a killed parent closes no queue: the worker would wait for ever


def _chunk(uris: list[str]) -> list[Any]:
    return [_one(*_work, uri) for uri in uris]


def _one(decode: Callable[[str], Any], prepare: Callable[[Any], Any], uri: str) -> Any:
    try:
        return prepare(decode(uri))
    except UserError as error:
        return Unreadable(str(error))
    except Exception as error:  # decoders raise many types: whatever it is, it is about this one item
        return Unreadable(f"{type(error).__name__}: {error}")
