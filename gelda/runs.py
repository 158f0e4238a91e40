"""Run folders: spec.json, run.json, metrics.jsonl and stages; an SQLite index that can be rebuilt."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

from gelda.artifacts import FORMAT, check_format, now, read_json, write_json
from gelda.encoders import assets
from gelda.errors import UserError
from gelda.paths import home
from gelda.paths import readonly as readonly

SILENCE = 20.0  # seconds without one after which a running run counts as interrupted
PATIENCE = 120.0  # the same for a queued run: its process is still importing torch, maybe on a busy machine
ALIVE = ("queued", "running")
EXTRACTION = "extract"  # what `demo` says of a run of `gelda extract`: it makes a bank, and has no report
COMPARISON = "compare"  # what `demo` says of a run of `gelda compare`
PROBE = "probe"  # of a run that asks how well classes are separated in a bank's layers; it has no report
STUDY = "ablate"  # of a study of `gelda ablate`: cells in place of methods; it has a table of its own
STATUSES = (*ALIVE, "done", "failed", "cancelled", "interrupted", "broken")
STAGES = {  # of `gelda run`, in order
    "extract": "Encode every image with the frozen model",
    "adapt": "Choose the layer and train the adapter",
    "generate": "Train the latent diffusion model",
    "sample": "Make synthetic latents for the scarce cells",
    "finetune": "Retrain the layers after, for every method",
    "report": "Compare, with intervals",
    "project": "Draw the map",
}


@dataclass
class StageState:
    """One stage's progress, in units of its own (items, seeds, steps).

    seconds: that all attempts took, those that were cancelled or killed too; earlier: that those before this
    one took.
    """

    name: str
    title: str
    state: str = "waiting"  # waiting | running | done | reused | failed
    done: int = 0
    total: int = 0
    seconds: FiniteFloat = 0.0
    message: str = ""
    remaining: FiniteFloat | None = None
    earlier: FiniteFloat = 0.0

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass
class RunState:
    """What `run.json` holds, and where it was found."""

    id: str
    name: str
    demo: str
    path: Path
    status: str = "queued"
    stage: str = ""
    created: str = ""
    updated: str = ""
    error: str | None = None
    headline: str | None = None
    pid: Annotated[int, Field(gt=0, lt=2**31)] | None = None
    host: str | None = None
    shipped: bool = False
    stages: list[StageState] = field(default_factory=list)

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def comparison(self) -> bool:
        """Whether it compares methods on ready latents (`gelda compare`)."""
        return self.demo == COMPARISON

    @property
    def extraction(self) -> bool:
        """Whether it makes a bank (`gelda extract`)."""
        return self.demo == EXTRACTION

    @property
    def probe(self) -> bool:
        """Whether it asks how well classes are separated in a bank's layers."""
        return self.demo == PROBE

    @property
    def study(self) -> bool:
        """Whether it compares settings of one method (`gelda ablate`)."""
        return self.demo == STUDY

    @property
    def reported(self) -> bool:
        """Whether it ends with a report: an extraction makes a bank, a probe or a study tables of its own."""
        return not (self.extraction or self.probe or self.study)

    @property
    def mapped(self) -> bool:
        """Whether it keeps points that Explore can show."""
        return (self.path / "points.json").is_file()

    def as_json(self) -> dict[str, Any]:
        value = asdict(self)
        del value["path"], value["shipped"]
        return {"format": FORMAT, **value}


_STORED: TypeAdapter[RunState] = TypeAdapter(RunState)


def create_run(config: dict[str, Any], name: str, demo: str, run_id: str | None = None) -> RunState:
    """A new run folder with its spec written, before anything is computed."""
    root = home() / "runs"
    run_id = run_id or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{demo}-{uuid.uuid4().hex[:4]}"
    path = root / run_id
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The workspace {home()} cannot be written ({error.strerror}): set GELDA_HOME to another folder."
        ) from error
    write_spec(path, config)
    state = RunState(run_id, name, demo, path, created=now(), updated=now())
    save_state(state)
    return state


def save_state(state: RunState) -> None:
    """Write `run.json` atomically and note the run in the index."""
    state.updated = now()
    write_json(state.path / "run.json", state.as_json())
    if not state.shipped:
        # the folders are the truth: a locked, full or broken index must not stop a run
        with contextlib.suppress(sqlite3.Error), _index() as index:
            index.execute(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)",
                (state.id, state.name, state.status, state.created, state.headline),
            )


def forget(run_id: str) -> None:
    """Take a run whose folder is gone out of the index."""
    with contextlib.suppress(sqlite3.Error), _index() as index:
        index.execute("DELETE FROM runs WHERE id = ?", (run_id,))


def read_state(path: Path) -> RunState:
    """Read a run, whose id is its folder's name; what cannot be read comes back as `broken` with a sentence,
    never as an exception."""
    path = Path(path)
    state = RunState(path.name, path.name, "", path, status="broken", shipped=_is_shipped(path))
    try:
        value = read_json(path / "run.json")
        check_format(value, path / "run.json")
        del value["format"]
        where = {"id": path.name, "path": path, "shipped": state.shipped}  # a copied folder is another run
        state = _STORED.validate_python({**value, **where})
        if state.status not in STATUSES:
            raise UserError(f"{path / 'run.json'} has the unknown status '{state.status}'.")
    except UserError as error:
        state.status, state.error = "broken", str(error)
        return state
    except ValidationError:
        state.error = f"{path / 'run.json'} is half written or not a run: delete the folder {path.name}."
        return state
    patience = PATIENCE if state.status == "queued" else SILENCE
    if state.status in ALIVE and (silent_for(path) > patience or process_is_gone(state.pid, state.host)):
        state.status = "interrupted"
        state.error = "The run stopped without finishing; what it had finished is kept. Resume it."
    return state


def silent_for(path: Path) -> float:
    """Seconds since the run's last sign of life."""
    times = [f.stat().st_mtime for f in (path / "heartbeat", path / "run.json") if f.exists()]
    return time.time() - max(times) if times else float("inf")


def list_runs(root: Path | None = None, limit: int | None = None, always: str = "") -> list[RunState]:
    """The runs of a workspace, newest first; with a `limit` the index says which folders to read: so many,
    and whatever else has the status `always`."""
    folder = (root or home()) / "runs"
    if not folder.is_dir():
        return []
    names = {p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")}
    if limit is not None and len(names) > limit:
        indexed = _indexed()
        if indexed.keys() != names:
            rebuild_index()
            indexed = _indexed()
        wanted = [name for at, name in enumerate(indexed) if at < limit or indexed[name] == always]
        names = names.intersection(wanted) or names
    states = [read_state(folder / name) for name in names]
    return sorted(states, key=lambda s: (s.created, s.id), reverse=True)


def shipped_runs() -> list[RunState]:
    """Finished runs that ship with the product (read-only), but for those the workspace has a copy of."""
    folder, own = assets() / "runs", home() / "runs"
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [read_state(path) for path in found if path.is_dir() and not (own / path.name).is_dir()]


def exists(run_id: str) -> bool:
    """Whether there is a run of this id, in whatever state."""
    return _folder_of(run_id) is not None


def _folder_of(run_id: str) -> Path | None:
    if re.fullmatch(r"[\w-][\w.() -]{0,199}", run_id):  # one plain folder name: no way out of the workspace
        for root in (home() / "runs", assets() / "runs"):
            if (root / run_id).is_dir():
                return root / run_id
    return None


def find_run(run_id: str) -> Path:
    """The folder of a run, by id, in the workspace or among the shipped ones."""
    folder = _folder_of(run_id)
    if folder is not None:
        return folder
    known = [state.id for state in list_runs() + shipped_runs()]
    listing = (
        f" Runs here: {', '.join(known[:5])}."
        if known
        else " There is no run yet: start one with `gelda demo`."
    )
    raise UserError(f"There is no run called '{run_id}'.{listing}")


def require_report(state: RunState) -> None:
    """Raise for a run that never has a report."""
    if state.extraction:
        raise UserError(f"The run '{state.id}' made a bank, and has no report: compare methods on the bank.")
    if state.study:
        raise UserError(f"The run '{state.id}' is a study of settings: open it under Ablate.")


def write_spec(path: Path, config: dict[str, Any]) -> None:
    """Write a run's resolved configuration."""
    write_json(path / "spec.json", {"format": FORMAT, "config": config})


def read_spec(path: Path) -> dict[str, Any]:
    """The resolved configuration of a run."""
    value = read_json(path / "spec.json")
    check_format(value, path / "spec.json")
    if not isinstance(value.get("config"), dict):
        raise UserError(f"{path / 'spec.json'} holds no settings: delete the folder {path.name}.")
    return value["config"]


def read_meta(path: Path) -> dict[str, Any]:
    """Names, counts, groups and layers of a finished run, for pages."""
    return read_json(path / "meta.json")


def rebuild_index() -> int:
    """Recreate the SQLite index from the folders; returns the number of runs."""
    states = list_runs()
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (home() / name).unlink(missing_ok=True)
    home().mkdir(parents=True, exist_ok=True)
    with _index() as index:
        index.executemany(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?)",
            [(s.id, s.name, s.status, s.created, s.headline) for s in states],
        )
    return len(states)


def is_mine(state: RunState) -> bool:
    """Whether this very process has the run: it waited for its turn under the run's name."""
    return state.pid == os.getpid() and state.host == platform.node()


def process_is_gone(pid: int | None, host: str | None) -> bool:
    """Whether a process has certainly ended; a zombie or another host's is judged by silence."""
    if pid is None or host != platform.node():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _indexed() -> dict[str, str]:
    """Status by run id in the index, newest first; none where it cannot be read."""
    with contextlib.suppress(sqlite3.Error), _index() as index:
        return dict(index.execute("SELECT id, status FROM runs ORDER BY created DESC, id DESC").fetchall())
    return {}


def _is_shipped(path: Path) -> bool:
    return path.parent == assets() / "runs"


@contextmanager
def _index() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(home() / "index.sqlite", timeout=10)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS runs "
            "(id TEXT PRIMARY KEY, name TEXT, status TEXT, created TEXT, headline TEXT)"
        )
        yield connection
