"""What the map's colours say: every kind of column, few and many groups, points without a value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from app import colouring, palette
from app.palette import ACCENT, FAINT, GREY, LIMIT, RAMP, RIGHT, STEPS, WRONG


def points_of(classes: int = 3, each: int = 8, **columns: object) -> pd.DataFrame:
    label = np.repeat(np.arange(classes), each)
    table = pd.DataFrame(
        {
            "id": [f"i{k}" for k in range(len(label))],
            "uri": "",
            "label": label,
            "subdomain": np.arange(len(label)) % 2,
            "group": [f"g{k // 4}" for k in range(len(label))],
            "split": np.where(np.arange(len(label)) % 4 == 3, "dev", "train"),
            "origin": np.where(np.arange(len(label)) % 8 == 7, "synthetic", "real"),
            "method": "",
            "kept": True,
        }
    )
    return table.assign(**columns)


def meta_of(points: pd.DataFrame) -> dict:
    classes = int(points["label"].max()) + 1
    real = np.zeros((classes, 2), int)
    np.add.at(real, (points["label"], points["subdomain"]), points["label"] + 1)  # class 0 is the scarcest
    return {
        "class_names": [f"c{k}" for k in range(classes)], "subdomain_names": ["day", "night"], "real": real,
    }  # fmt: skip


def make(name: str, points: pd.DataFrame, **more: object) -> colouring.Colouring:
    return colouring.make(name, points, meta_of(points), "condition", **more)


def test_only_columns_that_tell_something_are_offered() -> None:
    rate = np.arange(24) / 7
    points = points_of(rate=rate, speaker=[f"only {k}" for k in range(24)], same="x", loss=rate)
    found = colouring.offered(points, "language")
    assert list(found) == ["class", "condition", "source", "loss", "group", "split", "rate"]
    assert found["condition"] == "Language" and found["loss"] == "Loss"


@pytest.mark.parametrize(
    "kind", ["loss", "confidence", "correctness", "memorisation", "group", "split", "rate"]
)
def test_every_offered_colouring_says_what_each_point_shows(kind: str) -> None:
    some = np.where(np.arange(24) < 6, np.nan, np.arange(24) / 9)
    points = points_of(
        loss=some, confidence=some, memorisation=some, rate=some, predicted=np.where(np.arange(24) < 6, -1, 1)
    )
    made = make(kind, points, head="gelda")
    assert len(made.numbers) == len(points) and made.numbers.max() < RAMP + STEPS
    if made.without is not None and made.without.any():
        assert (made.numbers[made.without] == GREY).all() and made.without.sum() == 6
    assert made.ramp is not None or made.legend
    if kind in colouring.SCORES:
        assert made.meaning and made.lack == "not scored"


def test_right_and_wrong_and_not_asked() -> None:
    points = points_of(classes=1, each=3, predicted=[0, 1, -1])
    points.loc[:, "label"] = 0
    assert make("correctness", points).numbers.tolist() == [RIGHT, WRONG, GREY]


def test_a_ramp_is_not_spoiled_by_one_outlier() -> None:
    values = np.r_[np.linspace(0, 1, 399), 1e6]
    made = make("loss", points_of(classes=50, loss=values))
    assert made.ramp.high < 2 and len(np.unique(made.numbers)) == STEPS
    assert made.numbers[-1] == RAMP + STEPS - 1


def test_a_wide_ramp_is_logarithmic_and_keeps_the_order() -> None:
    values = np.geomspace(1e-5, 3, 400)
    made = make("loss", points_of(classes=50, loss=values))
    assert made.ramp.logarithmic and (np.diff(made.numbers.astype(int)) >= 0).all()
    middle = made.numbers[200] - RAMP
    assert abs(middle - STEPS / 2) < 2


def test_few_classes_have_a_hue_each_and_are_all_named() -> None:
    made = make("class", points_of(classes=LIMIT))
    assert sorted(set(made.numbers)) == list(range(LIMIT))
    assert [group for group, _ in made.labelled] == list(range(LIMIT)), "the scarcest first"


def test_of_many_classes_the_scarcest_are_in_colour() -> None:
    points = points_of(classes=1000)
    made = make("class", points)
    shown = points["label"].to_numpy() < LIMIT
    assert (made.numbers[~shown] == FAINT).all() and set(made.numbers[shown]) == set(range(LIMIT))
    assert made.legend[-1] == (FAINT, "990 others") and len(made.labelled) == LIMIT


def test_of_many_classes_a_person_chooses() -> None:
    points = points_of(classes=1000)
    made = make("class", points, chosen=["c700", "c3"])
    assert made.legend == [(0, "c700"), (1, "c3"), (FAINT, "998 others")]
    assert [made.names[k] for k, _ in made.labelled] == ["c3", "c700"]
    assert (made.numbers != FAINT).sum() == 16


def test_many_groups_of_another_column_leave_the_largest_in_colour() -> None:
    group = np.repeat([f"s{k}" for k in range(20)], 6)
    made = make("group", points_of(classes=15, each=8, group=group))
    assert made.legend[-1] == (FAINT, "10 others") and (made.numbers == FAINT).sum() == 60


def test_source_tells_made_from_real() -> None:
    points = points_of()
    assert set(make("source", points).numbers[(points["origin"] == "synthetic").to_numpy()]) == {ACCENT}


@pytest.mark.parametrize("name", list(palette.THEMES))
def test_a_ramp_goes_one_way_in_lightness(name: str) -> None:
    """So that every kind of colour blindness keeps its order."""
    entries = palette.entries(palette.THEMES[name])
    assert len(entries) == RAMP + STEPS
    channels = np.array([[int(e[i : i + 2], 16) / 255 for i in (1, 3, 5)] for e in entries[RAMP:]])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    steps = np.diff(linear @ [0.2126, 0.7152, 0.0722])
    assert (steps > 0).all() or (steps < 0).all()


def test_one_subdomain_is_no_choice() -> None:
    points = points_of()
    assert "condition" in colouring.offered(points, "language")
    assert "condition" not in colouring.offered(points.assign(subdomain=0), "language")
