"""Files that came through a browser: kept in the workspace by their content, zips unpacked safely."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from gelda.artifacts import require_space
from gelda.datasets import Problem
from gelda.datasets.upload import BYTES, FILES, unpack
from gelda.errors import UserError
from gelda.paths import home

LIMIT = 200 * 2**20  # bytes of one upload, as in app/.streamlit/config.toml
RULES = (
    f"At most {LIMIT // 2**20} MB; a zip: {FILES // 1000} 000 files, {BYTES / 2**30:.0f} GB unpacked. It "
    "holds a folder of pictures or recordings by class, or a list or table beside them. A table on its own "
    "names files that this machine can read."
)


def keep(name: str, data: bytes | memoryview) -> tuple[Path, list[Problem]]:
    """Where an upload lies, `uploads/<key of its content>/…`, and what of a zip was left out.

    The same bytes are kept once. A zip is unpacked; where it holds one folder alone, that folder is given.
    """
    if len(data) > LIMIT:
        raise UserError(f"{name} is over {LIMIT // 2**20} MB: put it on this machine and give its path.")
    folder = home() / "uploads" / hashlib.sha256(data).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    require_space(folder, len(data))
    plain = re.sub(r"[^\w. -]", "_", Path(name).name).lstrip(".")[-80:] or "upload"
    file = folder / plain
    if not plain.lower().endswith(".zip"):
        file.write_bytes(data)
        return file, []
    inside, problems = folder / plain[:-4], []
    if not inside.is_dir():
        file.write_bytes(data)
        try:
            problems = unpack(file, inside)
        finally:
            file.unlink()
    entries = list(inside.iterdir())
    return entries[0] if len(entries) == 1 else inside, problems
