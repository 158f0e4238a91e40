"""Files that came through a browser: kept in the workspace by their content, zips unpacked safely."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from gelda.artifacts import require_space
from gelda.errors import UserError
from gelda.paths import home

LIMIT = 200 * 2**20  # bytes of one upload, as in app/.streamlit/config.toml
RULES = (
    f"At most {LIMIT // 2**20} MB. A zip holds a folder of pictures or recordings by class, or a list or "
    "table beside them. A table on its own names files that this machine can read."
)


def keep(name: str, data: bytes | memoryview) -> Path:
    """Where an upload lies: `uploads/<key of its content>/…`; the same bytes are kept once.

    A zip is unpacked, and where it holds one folder alone that folder is given.
    """
    if len(data) > LIMIT:
        raise UserError(
            f"{name} is larger than {LIMIT // 2**20} MB: put it on this machine and give its path."
        )
    folder = home() / "uploads" / hashlib.sha256(data).hexdigest()[:16]
    require_space(folder, 3 * len(data))
    plain = re.sub(r"[^\w. -]", "_", Path(name).name).lstrip(".")[-80:] or "upload"
    folder.mkdir(parents=True, exist_ok=True)
    if not plain.lower().endswith(".zip"):
        (folder / plain).write_bytes(data)
        return folder / plain
    inside = folder / plain[:-4]
    if not inside.is_dir():
        archive = folder / plain
        archive.write_bytes(data)
        try:
            unpack(archive, inside)
        finally:
            archive.unlink()
    entries = [entry for entry in inside.iterdir() if entry.name[0] != "." and entry.name != "__MACOSX"]
    return entries[0] if len(entries) == 1 else inside
