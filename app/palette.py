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

# Low to high in nine steps of equal OKLab distance along blue to yellow, with lightness rising or falling all
# the way, so that every kind of colour blindness keeps the order; high is what stands out from the paper.
RAMP_LIGHT = (
    "#dac963",
    "#a3c05f",
    "#69b26e",
    "#27a07e",
    "#008a88",
    "#00718c",
    "#00568b",
    "#153981",
    "#2b1c68",
)
RAMP_DARK = (
    "#48408b",
    "#3a5c9e",
    "#2278a9",
    "#0e92ac",
    "#2eaba8",
    "#5dc09f",
    "#91d294",
    "#c6e08a",
    "#faea89",
)
STEPS = 64  # shades of a ramp on the map
# Entries of `entries`: the ten hues, then these; two of the hues are near grey, so what
# they have to stand out from is fainter
GREY, FAINT, INK, ACCENT, WRONG, RIGHT, RAMP = range(LIMIT, LIMIT + 7)


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
    ramp: tuple[str, ...]  # of a number on the map, low to high


THEMES = {
    "light": Theme(
        "light", "#ffffff", "#1c2024", "#5c636b", "#dcdcd6", "#1f5fa8", "#a9aeb4", LIGHT,
        ("#f4f4f1", "#1f5fa8"), ("#bd5a00", "#f4f4f1", "#1f5fa8"), RAMP_LIGHT,
    ),
    "dark": Theme(
        "dark", "#15181c", "#e8e8e4", "#a4abb3", "#353a41", "#7db4ee", "#6b727a", DARK,
        ("#1f2328", "#7db4ee"), ("#f0924a", "#1f2328", "#7db4ee"), RAMP_DARK,
    ),
}  # fmt: skip


def theme(name: str | None) -> Theme:
    """The named theme; light where it is not known yet."""
    return THEMES.get(name or "light", THEMES["light"])


def legible(look: Theme, ground: str) -> str:
    """Ink or paper, whichever stands out more on that colour; black or white where neither does enough."""

    def contrast(text: str) -> float:  # WCAG 2's; one of black and white has 4.5 on every colour
        ratio = _luminance(text) / _luminance(ground)
        return max(ratio, 1 / ratio)

    best = max((look.ink, look.paper), key=contrast)
    return best if contrast(best) >= 4.5 else max(("#000000", "#ffffff"), key=contrast)


def mixed(low: str, high: str, share: float) -> str:
    """The colour that share of the way from low to high."""
    pairs = zip(_channels(low), _channels(high), strict=True)
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _luminance(colour: str) -> float:
    parts = [c / 255 for c in _channels(colour)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05


def entries(look: Theme) -> list[str]:
    """Every colour a point of the map can have, by its number: ten hues, then in the order above."""
    last = len(look.ramp) - 1
    shades = []
    for k in range(STEPS):
        at, share = divmod(k * last / (STEPS - 1), 1)
        shades.append(mixed(look.ramp[int(at)], look.ramp[min(int(at) + 1, last)], share))
    others = [look.quiet, look.line, look.ink, look.accent, look.diverging[0], look.diverging[2]]
    return [*look.hues, *others, *shades]
