"""An uploaded zip of pictures, recordings or tables, unpacked without harm."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from gelda.artifacts import atomic, require_space
from gelda.datasets.lists import LARGEST
from gelda.datasets.source import Problem
from gelda.errors import UserError
from gelda.media import SUFFIXES

FILES = 100_000  # entries of one archive
BYTES = 4 * LARGEST  # unpacked
RATIO = 100.0  # unpacked ÷ packed; sound and pictures hardly shrink, tables by 10 to 20
SMALL = 10_000_000  # bytes below which the ratio says nothing
LONGEST = (240, 1000)  # bytes of one part of a name, and of the whole: more than a disk takes
KEPT = frozenset().union(*SUFFIXES.values(), (".csv", ".tsv", ".json", ".jsonl", ".parquet"))
ARCHIVES = frozenset(".zip .tar .gz .tgz .bz2 .xz .7z .rar .zst".split())


def unpack(archive: Path, folder: Path) -> list[Problem]:
    """Unpack pictures, recordings, texts and tables into a new folder; what was left out and why.

    UserError, with nothing written, where a name leads out of the folder or is a link, and where the archive
    holds too much or grows suspiciously. Archives within it stay closed.
    """
    if folder.exists():
        raise UserError(f"{folder} is there already: choose another folder.")
    try:
        with zipfile.ZipFile(archive) as opened:
            entries, problems = _checked(opened, archive.name)
            if not entries:
                raise UserError(f"{archive.name} holds no pictures, recordings, texts or tables.")
            require_space(folder.parent, sum(entry.file_size for entry in entries))
            with atomic(folder) as temporary:
                for entry in entries:
                    _write(opened, entry, temporary / entry.filename)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        UnicodeDecodeError,
    ) as error:
        raise UserError(f"{archive.name} cannot be unpacked: it is no zip, or it is damaged.") from error
    return problems


def _checked(archive: zipfile.ZipFile, name: str) -> tuple[list[zipfile.ZipInfo], list[Problem]]:
    """Entries to unpack; names and sizes are checked over all of them, before anything is written."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > FILES:
        raise UserError(
            f"{name} holds {len(entries)} files; the limit is {FILES}: give the folder's path instead."
        )
    total, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    if total > BYTES:
        raise UserError(f"{name} would unpack to {total / 1e9:.1f} GB; the limit is {BYTES / 1e9:.0f} GB.")
    if total > SMALL and total > RATIO * max(packed, 1):
        raise UserError(
            f"{name} would grow {total / max(packed, 1):.0f}-fold when unpacked: it looks like a zip bomb, "
            "and is not unpacked."
        )
    kept, problems, files, folders = [], [], set[str](), set[str]()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        odd = path.is_absolute() or ".." in path.parts or "\\" in entry.orig_filename
        if odd or not path.parts or ":" in path.parts[0]:
            raise UserError(
                f"{name}: the name '{entry.filename[:80]}' leads out of the folder; nothing is unpacked."
            )
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UserError(f"{name}: '{entry.filename[:80]}' is a link; nothing is unpacked.")
        if any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        own, *above = (str(name).casefold() for name in (path, *path.parents))
        if reason := _left_out(entry, path):
            problems.append(Problem(entry.filename[:80], reason))
        elif own in files or own in folders or not files.isdisjoint(above):
            problems.append(Problem(entry.filename, "is there twice"))
        else:
            kept.append(entry)
            files.add(own)
            folders.update(above)
    return kept, problems


def _left_out(entry: zipfile.ZipInfo, path: PurePosixPath) -> str:
    """Why an entry is not unpacked; "" where it is."""
    if entry.flag_bits & 0x1:
        return "is encrypted: pack it without a password"
    if path.suffix.lower() in ARCHIVES:
        return "is an archive within the archive, which is not opened"
    if path.suffix.lower() not in KEPT:
        return "is neither a picture, a recording, a text nor a table"
    part, whole = max(len(os.fsencode(p)) for p in path.parts), len(os.fsencode(path))
    return "has too long a name" if part > LONGEST[0] or whole > LONGEST[1] else ""


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    """One file; zipfile reads no more than its header says, and finds it damaged where that is a lie."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, open(target, "xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    os.chmod(target, 0o644)
