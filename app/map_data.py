"""What a map shows, packed for the browser, and which points a lasso holds; nothing of streamlit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from app import charts, palette
from app.colouring import Colouring
from app.density import Density

SYNTHETIC, VISIBLE, SELECTED, REJECTED = 1, 2, 4, 8  # bits of a point's kind, as in points.js
MOST = 200_000  # points drawn: more are a sample of every cell
MOST_STEPS = 200  # told apart as sources, whose numbers have eight bits
STAND_INS = 3  # nearest real items that stand in for a synthetic latent
HELP = (
    "Map of latents. Drag to move, wheel or plus and minus to zoom, shift and drag or L for a lasso, B for a "
    "box, click for one point, shift and click for one more, Escape to clear, 0 to show all, "
    "S to zoom to what is selected."
)


@dataclass(frozen=True)
class Layout:
    """What a map shows, one entry a point of the run; ``view`` names the layout and resets pan and zoom."""

    view: str
    xy: np.ndarray  # [N, 2] float32, NaN off the map
    points: pd.DataFrame  # the run's points
    colouring: Colouring
    visible: np.ndarray  # [N] bool
    selected: np.ndarray  # row numbers
    labels: list[dict[str, Any]]
    class_names: Sequence[str]
    subdomain_names: Sequence[str]
    sources: dict[str, str]  # augmenter -> title
    near: np.ndarray  # [N, 8] rows of the nearest real training points
    distance: np.ndarray  # [N, 8]
    alt: str
    things: str = "images"  # what its real items are
    mode: str = "replace"  # how a pick joins what is selected: selecting.MODES
    lines: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))  # [K, 2] rows to join
    density: Density | None = None

    @property
    def run(self) -> str:
        """The run whose points these are: a view is named run/map."""
        return self.view.split("/")[0]


@dataclass(frozen=True)
class Drawn:
    """rows [n] of the run that the browser is sent, and which of them it shows [n]."""

    rows: np.ndarray
    shown: np.ndarray


def drawn(layout: Layout) -> Drawn:
    """All points, or where more than `MOST` are in view a sample of them.

    Every cell keeps points of each source, small cells all of theirs, and what is selected is always among
    them. Real points that stand in for synthetic ones come along, unseen, for their names and pictures.
    """
    in_view = layout.visible & np.isfinite(layout.xy[:, 0])
    if int(in_view.sum()) <= MOST:
        if len(in_view) <= MOST:
            return Drawn(np.arange(len(in_view)), in_view)
        some = np.flatnonzero(in_view)
    else:
        selected = np.intersect1d(layout.selected, np.flatnonzero(in_view))
        some = charts.stratified(layout.points, np.flatnonzero(in_view), MOST)
        some = np.union1d(some, charts.stratified(layout.points, selected, MOST))
    made = some[(layout.points["origin"].iloc[some] == "synthetic").to_numpy()]
    stand_ins = np.unique(layout.near[made, :STAND_INS])
    rows = np.union1d(some, stand_ins[stand_ins >= 0])
    return Drawn(rows, np.isin(rows, some))


def digest(layout: Layout) -> str:
    """Names what `blocks` packs of all points, but for what a run's points table says."""
    steps = [layout.points["step"].to_numpy()] if "step" in layout.points else []
    return _hashed((layout.xy, layout.near, layout.points["label"].to_numpy(), *steps))


def _hashed(arrays: Iterable[np.ndarray]) -> str:
    found = hashlib.blake2b(digest_size=12)
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def blocks(layout: Layout, rows: np.ndarray) -> dict[str, bytes]:
    """What stays while a person filters, colours and selects: places and facts of `rows`."""
    points, near = layout.points.iloc[rows], layout.near[rows, :STAND_INS]
    splits, split_names = pd.factorize(points["split"])
    sources, source_names = pd.factorize(points["method"])
    place = np.full(len(layout.points) + 1, -1, np.int32)  # the last entry is that of -1
    place[rows] = np.arange(len(rows), dtype=np.int32)
    facts = {
        "near": place[near].astype("<i4").ravel(),
        "distance": layout.distance[rows, 0].astype("<f4"),
        "label": points["label"].to_numpy().astype("<u2"),
        "subdomain": points["subdomain"].to_numpy().astype("<u2"),
        "split": splits.astype("u1"),
        "source": sources.astype("u1"),
    }
    names = {
        "splits": [str(name) for name in split_names],
        "sources": [layout.sources.get(name, name) for name in source_names],
    }
    step = points["step"].to_numpy() if "step" in points else np.zeros(len(rows), np.int64)
    for number in np.unique(step[step > 0])[:MOST_STEPS]:
        own = step == number
        title = names["sources"][sources[own][0]]
        facts["source"][own] = len(names["sources"])
        names["sources"].append(f"{title}, step {number} of the edits")
    given = {} if len(rows) == len(layout.points) else {"rows": rows.astype("<i4")}
    return {
        "places": _named({}, {"xy": layout.xy[rows].astype("<f4").ravel(), **given}),
        "facts": _named(names, facts),
    }


def pictures(image: bytes, slot: np.ndarray, across: int) -> bytes:
    """One picture of many points of a run, `across` of them side by side, and the row of each: slot as in
    `pictures.Sheet`."""
    pictured = np.flatnonzero(slot >= 0)
    rows = pictured[np.argsort(slot[pictured])]
    return _named({"across": across}, {"row": rows.astype("<i4"), "image": np.frombuffer(image, np.uint8)})


def _named(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """A block with a digest of all of it: Streamlit names a file of over 1 MiB by its ends and middle."""
    return frame({**head, "digest": _hashed(arrays.values())}, arrays)


def pack(
    layout: Layout, some: Drawn, *, addresses: dict[str, str], height: str, interactive: bool = True,
    asked: int = 0,
) -> bytes:  # fmt: skip
    """Header length, JSON header, then little-endian arrays on boundaries of four bytes.

    asked: how often the browser missed a block; another number is another message, and it looks again.
    """
    points, rows = layout.points, some.rows
    kind = np.zeros(len(points), dtype=np.uint8)
    kind[(points["origin"] == "synthetic").to_numpy()] |= SYNTHETIC
    kind[rows[some.shown]] |= VISIBLE
    kind[np.asarray(layout.selected, dtype=np.int64)] |= SELECTED
    kind[~points["kept"].to_numpy(dtype=bool)] |= REJECTED
    made = layout.colouring
    joined = layout.xy[layout.lines].reshape(-1, 4)
    arrays = {
        "colour": made.numbers[rows].astype("u1"),
        "kind": kind[rows],
        "lines": joined[np.isfinite(joined).all(axis=1)].astype("<f4").ravel(),
    }
    if made.values is not None:
        arrays["value"] = made.values[rows].astype("<f4")
    head: dict[str, Any] = {
        "view": layout.view,
        "run": layout.run,
        "blocks": addresses,
        "height": height,
        "interactive": interactive,
        "asked": asked,
        "labels": layout.labels,
        "classes": list(layout.class_names),
        "subdomains": list(layout.subdomain_names),
        "valueTitle": made.title,
        "valueNames": list(made.value_names),
        "palette": {name: palette.entries(look) for name, look in palette.THEMES.items()},
        "under": list(made.under),
        "alt": layout.alt,
        "things": layout.things,
        "mode": layout.mode,
        "help": HELP,
    }
    if layout.density is not None:
        grid = layout.density.grid
        arrays["density"] = grid.astype("<f2").ravel()
        head["field"] = {
            "width": grid.shape[1], "height": grid.shape[0], "box": layout.density.box,
            "colour": layout.density.colour,
        }  # fmt: skip
    return frame(head, arrays)


def frame(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    sizes = {name: (array.dtype.str.lstrip("<|"), array) for name, array in arrays.items()}
    # Offsets stand in the header before the arrays, so their width must not move it: pad to a fixed length.
    offset = 4 + -(-(len(json.dumps(head)) + 80 * len(arrays)) // 4) * 4
    start, table = offset, {}
    for name, (code, array) in sizes.items():
        table[name] = [code, start, array.size]
        start += -(-array.nbytes // 4) * 4
    text = json.dumps({**head, "arrays": table}).encode().ljust(offset - 4)
    body = b"".join(array.tobytes().ljust(-(-array.nbytes // 4) * 4, b"\0") for _, array in sizes.values())
    return len(text).to_bytes(4, "little") + text + body


def inside(polygon: Sequence[Sequence[float]], xy: np.ndarray) -> np.ndarray:
    """Rows of ``xy`` ``[N, 2]`` inside a polygon (even-odd rule); NaN is outside."""
    corners = np.asarray(polygon, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        return np.empty(0, dtype=np.int64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero(((xy >= low) & (xy <= high)).all(axis=1))
    near = near[np.argsort(xy[near, 1], kind="stable")]
    x, y = xy[near].astype(np.float64).T
    odd = np.zeros(len(near), dtype=bool)
    # an edge crosses the height of few points: with the points in order of height it looks at those alone
    for (xi, yi), (xj, yj) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        if yi != yj:
            part = slice(*np.searchsorted(y, sorted((yi, yj))))
            odd[part] ^= x[part] < (xj - xi) * (y[part] - yi) / (yj - yi) + xi
    return np.sort(near[odd])


def labels_at_modes(xy: np.ndarray, colouring: Colouring, shown: np.ndarray) -> list[dict[str, Any]]:
    """Each named group's name where its points are densest: a scattered group's mean may lie on none of them.

    In the order of `labelled`: where two names would lie over one another, the map keeps the first.
    """
    if colouring.groups is None:
        return []
    found = []
    rows = np.flatnonzero(shown & np.isfinite(xy[:, 0]))
    groups = colouring.groups[rows]
    for number, colour in colouring.labelled:
        own = xy[rows[groups == number]]
        if len(own) == 0:
            continue
        counts, columns, lines = np.histogram2d(own[:, 0], own[:, 1], bins=12)
        smooth = np.pad(counts, 1)
        smooth = sum(smooth[i : i + 12, j : j + 12] for i in range(3) for j in range(3))
        i, j = np.unravel_index(int(smooth.argmax()), smooth.shape)
        near = (
            (own[:, 0] >= columns[max(i - 1, 0)]) & (own[:, 0] <= columns[min(i + 2, 12)])
            & (own[:, 1] >= lines[max(j - 1, 0)]) & (own[:, 1] <= lines[min(j + 2, 12)])
        )  # fmt: skip
        x, y = own[near].mean(axis=0)
        found.append({"text": str(colouring.names[number]), "x": float(x), "y": float(y), "colour": colour})
    return found
