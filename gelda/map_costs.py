"""How long maps take here, by those that were made last: a range, as a machine is idle or busy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gelda import projection
from gelda.paths import home
from gelda.projection import MapInfo

RECENT = 60  # newest maps of the workspace that are looked at
ALIKE = 3  # of these, those of the most similar size that an estimate rests on
EACH = (2.0, 30.0)  # seconds of a map where none was timed
COMPILING = (8.0, 60.0)  # seconds until UMAP is compiled, once a process, where that was not timed
TOGETHER = 1.5  # times as long as on its own takes a map that is laid out with the other layers'

Span = tuple[float, float]  # seconds: at best, at worst


def timed() -> list[MapInfo]:
    """The workspace's newest maps that were timed apart from the compiling, newest first."""
    files = [*home().glob("runs/*/maps/*.json"), *home().glob("maps/*/*.json")]
    files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
    found = projection.read_maps(files[:RECENT])
    return [m for m in found if m.state == "done" and m.seconds is not None and m.compiling is not None]


def alone(sizes: Sequence[int], known: Sequence[MapInfo]) -> Span:
    """Seconds that maps of so many points take, one after another in one process."""
    return _sum([_once(known), *(_each(size, [m for m in known if not m.aligned]) for size in sizes)])


def together(size: int, layers: int, known: Sequence[MapInfo]) -> Span:
    """Seconds that maps of so many points take, laid out together; nothing is compiled for them but once."""
    before = [m for m in known if m.aligned]
    factor = layers if before else layers * TOGETHER
    low, high = _each(size, before or known)
    return _sum([_once(known), (factor * low, factor * high)])


def _each(size: int, known: Sequence[MapInfo]) -> Span:
    """Seconds of one map, by the newest of those whose size is nearest; a larger one takes longer."""
    ratios = [max(1, size) / max(1, m.shown) for m in known]
    near = sorted(range(len(known)), key=lambda k: round(abs(math.log(ratios[k]))))[:ALIKE]
    took = [(known[k].seconds or 0.0) * max(1.0, ratios[k]) for k in near]
    return (min(took), max(took)) if took else EACH


def _once(known: Sequence[MapInfo]) -> Span:
    took = [m.compiling for m in known if m.compiling][:ALIKE]
    return (min(took), max(took)) if took else COMPILING


def _sum(spans: Sequence[Span]) -> Span:
    return sum(low for low, _ in spans), sum(high for _, high in spans)
