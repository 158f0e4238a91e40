"""The map: what goes to the browser, and which points a lasso holds."""

from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pandas as pd
import pytest

from app import density, map_data
from app.colouring import Colouring


def test_lasso_is_even_odd_and_leaves_out_what_is_not_on_the_map() -> None:
    square = [[0, 0], [4, 0], [4, 4], [0, 4]]
    xy = np.array([[1, 1], [5, 1], [np.nan, np.nan], [3.9, 3.9], [-0.1, 2]], dtype=np.float32)
    assert map_data.inside(square, xy).tolist() == [0, 3]
    notched = [[0, 0], [4, 0], [2, 2], [4, 4], [0, 4]]
    assert map_data.inside(notched, np.array([[3.5, 2.0], [1, 2]], dtype=np.float32)).tolist() == [1]
    assert map_data.inside([[0, 0], [1, 1]], xy).size == 0


def test_lasso_agrees_with_an_independent_test() -> None:
    path = pytest.importorskip("matplotlib.path")
    rng = np.random.default_rng(0)
    xy = rng.normal(size=(2000, 2)).astype(np.float32)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    polygon = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.5, 1.5, 40)[:, None]
    expected = np.flatnonzero(path.Path(np.vstack([polygon, polygon[:1]])).contains_points(xy))
    assert map_data.inside(polygon.tolist(), xy).tolist() == expected.tolist()


def test_names_stand_on_their_points() -> None:
    rng = np.random.default_rng(0)
    clusters = np.concatenate([rng.normal(size=(50, 2)), rng.normal(size=(30, 2)) + 40]).astype(np.float32)
    one = Colouring("class", np.zeros(80, np.uint8), groups=np.zeros(80, int), names=["a"], labelled=[(0, 0)])
    (label,) = map_data.labels_at_modes(clusters, one, np.ones(80, bool))
    assert np.hypot(label["x"], label["y"]) < 3  # on the larger cluster, not between the two


CELLS = 30


def layout_of(count: int = 400, made: int = 90, **change: object) -> map_data.Layout:
    """A map of `count` points in 30 cells, the last `made` synthetic; the last cell has 3 real ones."""
    rng = np.random.default_rng(0)
    real = count - made
    cell = np.r_[rng.integers(0, CELLS - 1, real - 3), [CELLS - 1] * 3, rng.integers(0, CELLS, made)]
    points = pd.DataFrame(
        {
            "id": [str(k) for k in range(count)],
            "label": cell // 3,
            "subdomain": cell % 3,
            "origin": ["real"] * real + ["synthetic"] * made,
            "split": ["train"] * real + [""] * made,
            "method": [""] * real + ["gelda"] * made,
            "kept": True,
        }
    )
    near = rng.integers(0, real, (count, 8)).astype(np.int32)
    values = {
        "view": "a", "xy": rng.normal(size=(count, 2)).astype(np.float32), "points": points,
        "colouring": Colouring("class", (cell // 3).astype(np.uint8)), "visible": np.ones(count, bool),
        "selected": np.empty(0, np.int64), "labels": [], "class_names": [f"c{k}" for k in range(10)],
        "subdomain_names": ["x", "y", "z"], "sources": {}, "near": near,
        "distance": np.ones((count, 8), np.float32), "alt": "",
    }  # fmt: skip
    return map_data.Layout(**{**values, **change})


def unpacked(block: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """What points.js reads."""
    length = int.from_bytes(block[:4], "little")
    head = json.loads(block[4 : 4 + length])
    arrays = {
        name: np.frombuffer(block, dtype=f"<{code}", offset=start, count=size)
        for name, (code, start, size) in head["arrays"].items()
    }
    return head, arrays


def packed(layout: map_data.Layout) -> tuple[dict, dict[str, np.ndarray]]:
    some = map_data.drawn(layout)
    parts = map_data.blocks(layout, some.rows)
    message = map_data.pack(layout, some, addresses=dict.fromkeys(parts, ""), height=500)
    head, arrays = unpacked(message)
    for part in parts.values():
        assert len(part) % 4 == 0
        arrays |= unpacked(part)[1]
    return head, arrays


def test_what_is_packed_comes_out_again() -> None:
    layout = layout_of(selected=np.array([3, 7]))
    layout.visible[5] = False
    _, arrays = packed(layout)
    np.testing.assert_array_equal(arrays["xy"].reshape(-1, 2), layout.xy)
    np.testing.assert_array_equal(arrays["label"], layout.points["label"])
    np.testing.assert_array_equal(arrays["near"].reshape(-1, 3), layout.near[:, :3])
    bits = arrays["kind"]
    assert np.flatnonzero(bits & map_data.SELECTED).tolist() == [3, 7]
    assert np.flatnonzero(~bits & map_data.VISIBLE == map_data.VISIBLE).tolist() == [5]
    assert (bits & map_data.SYNTHETIC).sum() == 90 and "rows" not in arrays


def test_a_filter_or_a_colour_sends_no_places_again() -> None:
    one, other = layout_of(), layout_of(colouring=Colouring("x", np.zeros(400, np.uint8)))
    other.visible[:100] = False
    blocks = [map_data.blocks(layout, map_data.drawn(layout).rows) for layout in (one, other)]
    assert blocks[0] == blocks[1]
    message = map_data.pack(other, map_data.drawn(other), addresses={}, height=1)
    arrays = unpacked(message)[0]["arrays"]
    assert set(arrays) == {"colour", "kind", "lines"}, "two bytes a point, and nothing else that grows"


def test_pictures_name_the_row_of_each() -> None:
    slot = np.array([-1, 2, 0, -1, 1], np.int32)
    head, arrays = unpacked(map_data.pictures(b"image", slot, 2))
    assert arrays["row"].tolist() == [2, 4, 1] and arrays["image"].tobytes() == b"image"
    assert head["across"] == 2


def test_large_blocks_that_differ_anywhere_have_other_ends() -> None:
    """Streamlit names a file of over 1 MiB by its length and three parts of it."""
    xy = np.zeros((200_000, 2), np.float32)
    other = xy.copy()
    other[60_000, 0] = 1
    ends = []
    for places in (xy, other):
        layout = layout_of(xy=places[:400])
        layout = dataclasses.replace(
            layout, xy=places, points=pd.concat([layout.points] * 500, ignore_index=True),
            near=np.tile(layout.near, (500, 1)), distance=np.tile(layout.distance, (500, 1)),
        )  # fmt: skip
        block = map_data.blocks(layout, np.arange(200_000))["places"]
        assert len(block) > 2**20
        ends.append(block[: 2**16])
    assert ends[0] != ends[1]


def test_above_the_limit_every_cell_keeps_points_of_each_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_data, "MOST", 120)
    chosen = np.arange(40)
    layout = layout_of(count=4000, made=900, selected=chosen)
    some = map_data.drawn(layout)
    cells = ["label", "subdomain", "origin"]
    shown = layout.points.iloc[some.rows[some.shown]]
    assert len(shown.groupby(cells)) == len(layout.points.groupby(cells)) == 60
    assert 120 <= len(shown) <= 120 + len(chosen) and np.isin(chosen, some.rows[some.shown]).all()
    _, arrays = packed(layout)
    np.testing.assert_array_equal(arrays["rows"], some.rows)
    np.testing.assert_array_equal(arrays["xy"].reshape(-1, 2), layout.xy[some.rows])
    assert ((arrays["kind"] & map_data.VISIBLE) > 0).sum() == len(shown)
    made = (arrays["kind"] & map_data.SYNTHETIC) > 0
    stand_ins = arrays["near"].reshape(-1, 3)[made & some.shown]
    assert (stand_ins >= 0).all()
    np.testing.assert_array_equal(some.rows[stand_ins], layout.near[some.rows[made & some.shown], :3])


def test_a_filter_of_a_large_map_shows_all_that_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_data, "MOST", 120)
    layout = layout_of(count=4000, made=900)
    few = (layout.points["label"] == 9).to_numpy() & (np.arange(4000) % 4 == 0)
    some = map_data.drawn(layout_of(count=4000, made=900, visible=few))
    np.testing.assert_array_equal(some.rows[some.shown], np.flatnonzero(few))


def test_lines_join_places_and_skip_what_is_off_the_map() -> None:
    layout = layout_of(lines=np.array([[0, 1], [2, 399], [4, 5]]))
    layout.xy[5] = np.nan
    ends = packed(layout)[1]["lines"].reshape(-1, 4)
    np.testing.assert_array_equal(ends, np.c_[layout.xy[[0, 2]], layout.xy[[1, 399]]])


def test_a_lasso_of_a_million_points_is_quick() -> None:
    xy = np.random.default_rng(0).normal(size=(1_000_000, 2)).astype(np.float32)
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    start = time.perf_counter()
    found = map_data.inside(np.stack([np.cos(angle), np.sin(angle)], 1).tolist(), xy)
    assert time.perf_counter() - start < 10, "0.2 s where nothing else runs; one test an edge a point took 30"
    assert abs(len(found) / 1e6 - 0.3935) < 0.003, "1 - exp(-1/2) of a normal lies within one"


@pytest.mark.parametrize("source", list(density.SOURCES))
def test_a_density_s_lines_hold_what_they_say(source: str) -> None:
    xy = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    xy[0] = np.nan
    field = density.of(xy, np.arange(20_000) > 9_999, source)
    left, bottom, right, top = field.box
    height, width = field.grid.shape
    x, y = xy[10_000:].T
    at = field.grid[
        ((y - bottom) / (top - bottom) * height).astype(int),
        ((x - left) / (right - left) * width).astype(int),
    ]
    for share in density.HELD:
        assert abs((at <= share / 100).mean() - share / 100) < 0.03
    assert field.colour == density.SOURCES[source]


def test_two_points_have_no_density() -> None:
    assert density.of(np.zeros((5, 2), np.float32), np.arange(5) < 2, "real") is None
