"""A running process's side of a run folder: progress, metrics, signs of life, and being cancelled."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from gelda.artifacts import locked, now, read_json, write_json
from gelda.errors import UserError, sentence
from gelda.paths import home
from gelda.runs import SILENCE, RunState, StageState, is_mine, read_state, save_state, silent_for

HEARTBEAT = 2.0  # seconds between signs of life


class Recorder:
    """Writes what a run is doing into its folder, beats, and looks for a wish to cancel."""

    def __init__(self, state: RunState, listener: Any = None) -> None:
        self.state, self.listener = state, listener
        self._written = 0.0
        self._stop = threading.Event()
        self._started = time.perf_counter()
        self._at: StageState | None = None

    def __enter__(self) -> Recorder:
        with starting():
            refuse_going(self.state.path)
            self.state.status, self.state.error = "running", None
            self.state.pid, self.state.host = os.getpid(), platform.node()
            save_state(self.state)
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[StageState]:
        """Mark a stage as running; it is done when the block ends, failed when it raises."""
        self._check_cancelled()
        stage = next(s for s in self.state.stages if s.name == name)
        stage.state, stage.total, stage.done, stage.message = "running", total, 0, ""
        self.state.stage, stage.earlier = name, stage.seconds
        self._started, self._at = time.perf_counter(), stage
        self.publish(force=True)
        try:
            yield stage
        except BaseException:
            stage.state = "failed"
            raise
        finally:
            self._at = None
            stage.seconds = self._seconds(stage)
        stage.state = "reused" if stage.message == "reused" else "done"
        stage.done, stage.remaining = stage.total, None
        self.publish(force=True)

    def advance(self, stage: StageState, done: float, message: str = "", before: float = 0) -> None:
        """Set a stage's progress; raises Cancelled where the person asked for it.

        before: what was done when the stage began, so that it tells nothing about speed.
        """
        self._check_cancelled()
        passed = time.perf_counter() - self._started
        stage.done, stage.seconds = int(done), self._seconds(stage)
        new = done - before
        stage.remaining = round(passed * (stage.total - done) / new, 1) if new > 0 else None
        stage.message = message or stage.message
        self.publish()

    def check(self) -> None:
        """Raise Cancelled where the person asked for it: for loops between two reports of progress."""
        self._check_cancelled()

    def _check_cancelled(self) -> None:
        if (self.state.path / "cancel").exists():
            raise Cancelled

    def metric(self, stage: str, step: int, **values: float) -> None:
        """Append one line to metrics.jsonl."""
        with open(self.state.path / "metrics.jsonl", "a") as file:
            file.write(json.dumps({"time": now(), "stage": stage, "step": step, **values}) + "\n")

    def publish(self, force: bool = False) -> None:
        if force or time.monotonic() - self._written > 0.5:
            self._written = time.monotonic()
            save_state(self.state)
        if self.listener:
            self.listener(self.state)

    def _seconds(self, stage: StageState) -> float:
        return round(stage.earlier + time.perf_counter() - self._started, 2)

    def _beat(self) -> None:
        while not self._stop.is_set():
            self._sign()
            self._stop.wait(HEARTBEAT)

    def _sign(self) -> None:
        """A sign of life, with the seconds of the stage that goes on: a killed process writes no other."""
        stage, beat = self._at, self.state.path / "heartbeat"
        if stage is not None:
            with suppress(UserError):  # on a full disk the run says so itself
                write_json(beat, {"stage": stage.name, "seconds": self._seconds(stage)})
        beat.touch()


def stages(state: RunState, titles: Mapping[str, str]) -> list[StageState]:
    """A run's stages {name: title} before an attempt, with the seconds that those before it took."""
    took = {stage.name: stage.seconds for stage in state.stages}
    with suppress(UserError, TypeError, KeyError):  # no process was killed, or it was in no stage
        beat = read_json(state.path / "heartbeat")
        took[beat["stage"]] = max(float(beat["seconds"]), took[beat["stage"]])
    return [StageState(name, title, seconds=took.get(name, 0.0)) for name, title in titles.items()]


@contextmanager
def beating(documents: Sequence[Path]) -> Iterator[None]:
    """Touch the documents of what is being made, as a sign of life."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT):
            for document in documents:
                with suppress(FileNotFoundError):
                    os.utime(document)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        stop.set()


@contextmanager
def tracked(state: RunState) -> Iterator[None]:
    """Write down how a run ended: done, cancelled, or failed with a sentence; the error goes on."""
    try:
        yield
    except BaseException as error:
        cancelled = isinstance(error, Cancelled | KeyboardInterrupt)
        forget_cancel(state.path)
        state.status = "cancelled" if cancelled else "failed"
        state.error = None if cancelled else sentence(error)
        save_state(state)
        raise
    state.status, state.stage = "done", ""
    save_state(state)


def starting() -> AbstractContextManager[None]:
    """Hold while a run is looked at and then started: of two who start it at once, one is refused."""
    return locked(home() / "slots" / "start.lock")


def refuse_going(path: Path) -> None:
    """Raise for a run that another process is at, or waits in line for."""
    there = read_state(path)
    taken = there.status == "running" or there.status == "queued" and there.pid is not None
    if taken and not is_mine(there) and silent_for(path) < SILENCE / 2:
        raise UserError(f"The run '{there.id}' is already going in another process.")


def forget_cancel(path: Path) -> None:
    """Take back a request to cancel: it was carried out, or the run is wanted again."""
    (path / "cancel").unlink(missing_ok=True)


class Cancelled(Exception):
    """The person cancelled the run."""
