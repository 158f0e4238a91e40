"""Atomic files on disk: safetensors, Parquet and JSON, never pickle; content keys over their inputs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gelda.errors import UserError

MAPPED = {"F16": np.float16, "F32": np.float32}  # what `map_array` reads
MODEST = 1_000_000_000  # bytes of memory that any file may take
GROWTH = 100.0  # memory ÷ file, above that
A_VALUE = 32  # bytes of a table's cell in memory, about: between a number and a short text
FORMAT = 1  # version of every folder this release writes; newer ones are refused with a sentence
UNWRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTEMPTY,
    errno.ENOENT,  # its folder was deleted, or none can be made there
    errno.ENAMETOOLONG,
)


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def content_key(*parts: Any) -> str:
    """16 hex digits over the canonical JSON of `parts`; equal inputs give equal keys on any machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it into place only when the block succeeds."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"The disk is full while writing {path}: free some space and resume.") from error
        if error.errno in UNWRITABLE:
            raise UserError(
                f"{path} cannot be written ({error.strerror}): choose another folder (--out; GELDA_HOME for "
                "the workspace)."
            ) from error
        raise
    finally:
        if os.path.isdir(temporary):  # False, too, for a name that no disk takes
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                temporary.unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, so that what is read and then written is changed by nobody in between.

    Waits for who holds it; the kernel gives it back however a process ends.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")
        fcntl.flock(file, fcntl.LOCK_EX)  # a disk of a network may have no locks
    except OSError as error:
        raise UserError(f"{path} cannot be locked ({error.strerror}): nothing was changed.") from error
    with file:
        yield


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN and infinities become null, as JSON has neither."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(_finite(value), indent=1, default=_plain) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or broken file is a sentence, not a traceback."""
    try:
        return json.loads(Path(path).read_text("utf-8-sig"))
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}): mend or restore it.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def check_format(value: Any, where: Path) -> None:
    """Refuse a document that a newer release wrote, or that has no format at all."""
    found = value.get("format") if isinstance(value, dict) else None
    if not isinstance(found, int):
        raise UserError(f"{where} is not a GeLDA document: it has no 'format' number.")
    if found > FORMAT:
        raise UserError(
            f"{where} has format {found}, this release reads up to {FORMAT}: upgrade GeLDA to open it."
        )


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors or arrays as safetensors, atomically."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    ready = {
        name: (torch.from_numpy(np.ascontiguousarray(t)) if isinstance(t, np.ndarray) else t.detach().cpu())
        for name, t in tensors.items()
    }
    with atomic(path) as temporary:
        try:
            save_file({k: t.contiguous() for k, t in ready.items()}, temporary, metadata=dict(metadata or {}))
        except SafetensorError as error:  # it wraps the system's errors in a type of its own
            if f"os error {errno.ENOSPC}" in str(error):
                raise OSError(errno.ENOSPC, "No space left on device") from error
            raise


def read_tensors(path: Path) -> dict[str, Any]:
    """Read a safetensors file into torch tensors (zero copy); broken files are a sentence."""
    from safetensors.torch import load_file

    return _read_safetensors(load_file, path)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The same as numpy arrays, without importing torch: what pages read."""
    from safetensors.numpy import load_file

    return _read_safetensors(load_file, path)


def map_array(path: Path, name: str) -> np.ndarray:
    """One fp16 or fp32 array of a safetensors file, read-only: only the rows that are looked at are read."""
    return _read_safetensors(lambda file: _mapped(file, name), path)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically."""
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False)


def require_modest(path: Path, needed: int) -> None:
    """UserError where a small file would fill the memory (`needed` bytes), before it is read.

    Packed, a list of one value takes next to nothing; what people measured shrinks by a tenth, or by ten.
    """
    size = Path(path).stat().st_size
    if needed > MODEST and needed > GROWTH * size:
        raise UserError(
            f"{path} is {size / 1e6:.1f} MB, but would take {needed / 1e9:.1f} GB of memory: it is damaged, "
            "or not what it says. Look at how it was made, or give a part of it."
        )


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet table; broken files, and those that would fill the memory, are a sentence."""
    import pyarrow.parquet as parquet

    try:
        about = parquet.read_metadata(path)
        require_modest(path, about.num_rows * about.num_columns * A_VALUE)
        return pd.read_parquet(path)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except Exception as error:  # pyarrow raises several unrelated types for a broken file
        raise UserError(
            f"{path} cannot be read as Parquet: delete it and resume with `gelda run`."
        ) from error


def used(path: Path) -> None:
    """Mark a file as used now, so that `prune` takes others first."""
    with contextlib.suppress(OSError):  # only looked at, or just gone
        os.utime(path)


def prune(
    folder: Path,
    needed: Collection[str],
    most_bytes: int = 64_000_000,
    most: int = 400,
    grace: float = 3600.0,
) -> None:
    """Delete what can be made again until a folder has `most` sets of `most_bytes` together.

    A set are the JSON and safetensors files of one stem; those used longest ago go first, but none that is
    `needed` (by stem) or was used in the last `grace` seconds: somebody may be at it. What a killed process
    left half-written goes, too.
    """
    now, sets = time.time(), dict[str, list[tuple[Path, os.stat_result]]]()
    for file in sorted(Path(folder).glob("*")):
        with contextlib.suppress(FileNotFoundError):
            if file.suffix in (".json", ".safetensors"):
                sets.setdefault(file.stem, []).append((file, file.stat()))
            elif file.suffix == ".tmp" and now - file.stat().st_mtime > grace:
                file.unlink()
    size = {stem: sum(about.st_size for _, about in files) for stem, files in sets.items()}
    last = {stem: max(about.st_mtime for _, about in files) for stem, files in sets.items()}
    count, total = len(sets), sum(size.values())
    for stem in sorted(sets, key=last.__getitem__):
        if count <= most and total <= most_bytes:
            return
        if stem in needed or now - last[stem] < grace:
            continue
        for file, _ in sets[stem]:  # the document first: without it nothing is there
            file.unlink(missing_ok=True)
        count, total = count - 1, total - size[stem]


def require_space(folder: Path, needed: int) -> None:
    """Raise where the disk of `folder` has less than `needed` bytes free."""
    probe = Path(folder)
    while not probe.exists():
        probe = probe.parent
    free = shutil.disk_usage(probe).free
    if free < needed:
        raise UserError(
            f"{folder} needs about {needed / 1e6:.0f} MB and its disk has {free / 1e6:.0f} MB free: "
            "free some space or set GELDA_HOME to another disk."
        )


def _mapped(path: Path, name: str) -> np.ndarray:
    from safetensors import SafetensorError, safe_open

    with open(path, "rb") as raw:  # one file throughout, also where another is put in its place meanwhile
        with safe_open(path, framework="numpy"):  # refuses a header that does not fit the file
            size = int.from_bytes(raw.read(8), "little")
            part = json.loads(raw.read(size)).get(name)
        if part is None or part["dtype"] not in MAPPED:
            raise SafetensorError(f"it has no array '{name}' of {' or '.join(MAPPED)}")
        shape, offset = tuple(part["shape"]), part["data_offsets"][0]
        return np.asarray(np.memmap(raw, MAPPED[part["dtype"]], "r", 8 + size + offset, shape))


def _read_safetensors(load_file: Callable[[Path], Any], path: Path) -> Any:
    from safetensors import SafetensorError

    try:
        return load_file(path)
    except (FileNotFoundError, SafetensorError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors: delete it and resume with `gelda run`."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _finite(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
