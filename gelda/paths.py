"""Which files may be opened: the workspace, the permitted folders, and paths that lists name."""

from __future__ import annotations

import os
from pathlib import Path

from gelda.errors import UserError


def home() -> Path:
    """The workspace: `$GELDA_HOME`, or `~/.gelda`."""
    return Path(os.environ.get("GELDA_HOME") or Path.home() / ".gelda").expanduser()


def assets() -> Path:
    """Where shipped files lie: in the repository, or inside the package in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "studio" / "assets"
    return inside if inside.is_dir() else package.parent / "assets"


def readonly() -> bool:
    """GELDA_READONLY=1: looking is allowed, starting jobs is not."""
    return os.environ.get("GELDA_READONLY", "") not in ("", "0")


def data_roots() -> tuple[Path, ...]:
    """Folders of `$GELDA_DATA_ROOTS` (split as PATH is) and the workspace; none: everything may be opened.

    A server that is for looking only is open to strangers: without named folders they see the workspace and
    what ships, and nothing else of its disk.
    """
    named = [part for part in os.environ.get("GELDA_DATA_ROOTS", "").split(os.pathsep) if part]
    folders = [*map(Path, named), home()] if named else [home(), assets()] if readonly() else []
    return tuple(folder.expanduser().resolve() for folder in folders)


def permitted(path: Path | str) -> Path:
    """`path` with its links followed; UserError where it lies outside the folders that may be opened."""
    path = Path(path).expanduser()
    try:
        real = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a null byte
        raise UserError(f"{path} is not a path that can be opened.") from error
    roots = data_roots()
    if roots and not any(real.is_relative_to(root) for root in roots):
        if not os.environ.get("GELDA_DATA_ROOTS"):
            raise UserError(
                f"{path} lies outside the workspace, and this server is for looking only: name the folders "
                "that visitors may open in GELDA_DATA_ROOTS."
            )
        raise UserError(
            f"{path} lies outside the folders that may be opened here (GELDA_DATA_ROOTS: "
            f"{', '.join(map(str, roots))})."
        )
    return real


def inside(root: Path | str, relative: str) -> Path:
    """The file that a list or a uri names under `root`.

    `..`, an absolute path and a link must not lead out of `root`; a link may lead into another folder of
    GELDA_DATA_ROOTS, which somebody opened on purpose.
    """
    base = permitted(root)
    try:
        real = (base / relative).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"'{relative}' is not a path that can be opened.") from error
    if not any(real.is_relative_to(folder) for folder in (base, *data_roots())):
        raise UserError(
            f"'{relative}' points outside its folder {base}, and is not read: give the folder that holds "
            "all files as root."
        )
    return real
