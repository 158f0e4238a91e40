"""Colours of the app: one accent, ten hues that stay apart under the three colour blindnesses, greys."""

from __future__ import annotations

from dataclasses import dataclass

# petroff10 (Petroff 2021, arXiv:2107.02270). DARK is the same ten moved until each has a contrast of 3 to the
# dark paper. With any of the three colour blindnesses no two come closer than 16 in CAM02 (LIGHT: 14).
LIGHT = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
DARK = (
    "#23b0ff",
    "#ffb612",
    "#b13d07",
    "#91a5a8",
    "#8d40df",
    "#9c7b63",
    "#e36f00",
    "#b7b183",
    "#6d7482",
    "#afddd4",
)
LIMIT = len(LIGHT)  # more groups than this are grey: no palette keeps twenty apart


@dataclass(frozen=True)
class Theme:
    """Colours of one page theme, the same as in ``.streamlit/config.toml``."""

    name: str
    paper: str
    ink: str
    muted: str
    line: str
    accent: str
    quiet: str  # a mark that is context and not the subject
    hues: tuple[str, ...]
    scale: tuple[str, str]  # of a heat map, low to high
    diverging: tuple[str, str, str]  # loss, nothing, gain


THEMES = {
    "light": Theme(
        "light", "#ffffff", "#1c2024", "#5c636b", "#dcdcd6", "#1f5fa8", "#a9aeb4", LIGHT,
        ("#f4f4f1", "#1f5fa8"), ("#bd5a00", "#f4f4f1", "#1f5fa8"),
    ),
    "dark": Theme(
        "dark", "#15181c", "#e8e8e4", "#a4abb3", "#353a41", "#7db4ee", "#6b727a", DARK,
        ("#1f2328", "#7db4ee"), ("#f0924a", "#1f2328", "#7db4ee"),
    ),
}  # fmt: skip


def theme(name: str | None) -> Theme:
    """The named theme; light where it is not known yet."""
    return THEMES.get(name or "light", THEMES["light"])
