"""Differences between two reports, paired by seed, against scipy and by hand."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_report import MADE, SEEDS, build

from gelda import contrast, report, statistics
from gelda.errors import UserError


@pytest.fixture(autouse=True, scope="module")
def two_seeds_are_enough():
    """Figures by hand are of two seeds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(statistics, "INTERVAL_SEEDS", 2)
        yield


def other(**changes):
    """A second run on the same data, whose methods erred otherwise."""
    made = build(list(reversed(SEEDS)), **changes)
    return {**made, "run": "r2"}


def test_measures_are_paired_by_seed_and_not_by_place():
    b = other()
    assert b["seeds"] == [1, 0]
    rows = contrast.by_measure(MADE, "gelda", b, "gelda").set_index("measure")
    assert (rows["difference"].dropna() == 0).all() and rows.loc["tail", "seeds"] == 2, "the same predictions"


def test_the_interval_is_a_paired_t_interval():
    rows = contrast.by_measure(MADE, "logit-adjustment", MADE, "gelda").set_index("measure")
    a, b = (MADE["methods"][m]["overall"]["seeds"] for m in ("logit-adjustment", "gelda"))
    own = rows.loc["overall"]
    expected = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert own["difference"] == pytest.approx(np.mean(b) - np.mean(a))
    assert (own["low"], own["high"]) == pytest.approx((expected.low, expected.high))
    assert (own["a"], own["b"]) == pytest.approx((np.mean(a), np.mean(b)))
    assert set(rows.index) == set(report.MEASURES)


def test_classes_by_hand_largest_difference_first():
    rows = contrast.by_class(MADE, "logit-adjustment", MADE, "gelda")
    assert rows["name"].tolist() == ["z", "x", "y"]
    found = rows.set_index("name")
    # z: logit adjustment 50 and 50, GeLDA 75 and 100; x: 75 and 100 in both; y: right in both
    assert found["difference"].to_dict() == pytest.approx({"z": 37.5, "x": 0, "y": 0})
    assert found.loc["z", ["a", "b", "count"]].tolist() == pytest.approx([50, 87.5, 2])
    assert found.loc["z", "low"] < 0 < found.loc["z", "high"], "two seeds: 25 and 50 points"


def test_classes_are_matched_by_name():
    b = other(class_names=("z", "y", "x"))
    rows = contrast.by_class(MADE, "logit-adjustment", b, "gelda").set_index("name")
    assert rows.loc["z", "b"] == pytest.approx(87.5) and rows.loc["z", "a"] == pytest.approx(50)
    assert not contrast.paired(MADE, b), "another order of classes is another cut"


def test_figures_beside_a_difference_are_of_the_seeds_it_rests_on():
    one = {**build(SEEDS[:1]), "run": "r2"}
    row = contrast.by_class(MADE, "gelda", one, "gelda").set_index("name").loc["z"]
    assert row["seeds"] == 1 and row["difference"] == pytest.approx(row["b"] - row["a"]), "not of all seeds"
    elsewhere = {**one, "config": {"target": "night"}}
    row = contrast.by_class(MADE, "gelda", elsewhere, "gelda").set_index("name").loc["z"]
    assert (row["seeds"], row["a"], row["b"]) == (0, 87.5, 75) and np.isnan(row["low"])
    assert row["difference"] == -12.5


def test_training_items_are_of_the_seeds_that_the_figures_are_of():
    more = replace(SEEDS[1], train_counts=3 * SEEDS[1].train_counts)
    two, one = build([SEEDS[0], more]), {**build(SEEDS[:1]), "run": "r2"}
    row = contrast.by_class(two, "gelda", one, "gelda").set_index("name").loc["z"]
    assert (row["seeds"], row["count"]) == (1, 2), "of the one seed that both have"
    row = contrast.by_class(two, "gelda", {**one, "config": {"target": "night"}}, "gelda").set_index("name")
    assert row.loc["z", "count"] == 4, "no pairs: of all seeds"


def test_one_number_in_every_seed_has_no_interval():
    row = contrast.by_class(MADE, "logit-adjustment", MADE, "gelda").set_index("name").loc["x"]
    assert row["difference"] == 0 and row["seeds"] == 2 and np.isnan(row["low"])


def test_of_many_classes_only_what_chance_does_not_explain_stands_out():
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(1000, 5))
    draws[:3] += 60
    half = stats.t.ppf(0.975, 4) * draws.std(1, ddof=1) / np.sqrt(5)
    rows = pd.DataFrame({"difference": draws.mean(1), "seeds": 5})
    rows["low"], rows["high"] = rows["difference"] - half, rows["difference"] + half
    assert ((rows["low"] > 0) | (rows["high"] < 0)).sum() > 30
    assert contrast.standing_out(rows) == (3, 0)
    rows.loc[0, ["low", "high"]] = np.nan
    assert contrast.standing_out(rows) == (2, 0)


def test_a_class_without_a_seed_in_common_is_shown_and_never_counted():
    a, b = copy.deepcopy(MADE), copy.deepcopy(other())
    for made, seed in ((a, 1), (b, 0)):
        made["per_class"] = [e for e in made["per_class"] if (e["class"], e["seed"]) != (2, seed)]
    rows = contrast.by_class(a, "gelda", b, "logit-adjustment")
    row = rows.set_index("name").loc["z"]
    assert row["seeds"] == 0 and np.isnan(row["difference"])
    assert contrast.standing_out(rows) == (0, 0)


def test_a_seed_alone_has_no_interval_and_a_class_not_tested_no_row():
    one = build(SEEDS[:1])
    rows = contrast.by_class(one, "logit-adjustment", one, "gelda").set_index("name")
    assert rows.loc["z", "difference"] == 25 and np.isnan(rows.loc["z", "low"])
    bare = copy.deepcopy(one)
    for entry in bare["per_class"]:
        entry["recall"]["gelda"] = None if entry["class"] == 2 else entry["recall"]["gelda"]
    assert set(contrast.by_class(one, "gelda", bare, "gelda")["name"]) == {"x", "y"}


@pytest.mark.parametrize("changes, same", [
    ({}, True),
    ({"config": {"seeds": 9, "generator": {"steps": 5}}}, True),
    ({"config": {"data": {"imbalance": 9}}}, False),
    ({"config": {"target": "night"}}, False),
])  # fmt: skip
def test_pairs_need_one_cut(changes, same):
    assert contrast.paired(MADE, other(**changes)) == same


def test_what_cannot_be_compared_is_a_sentence():
    with pytest.raises(UserError, match="with itself"):
        contrast.comparable(MADE, MADE)
    with pytest.raises(UserError, match=r"toy \(r1\) and toy \(r2\) share no class: choose two runs"):
        contrast.comparable(MADE, other(class_names=("u", "v", "w")))
    contrast.comparable(MADE, other(class_names=("z", "v", "w")))


def test_settings_that_differ_are_named_with_both_values():
    a = {**MADE, "config": {"seeds": 2, "generator": {"steps": 5, "form": "plain"}, "selection": {"0": 1}}}
    b = {**MADE, "config": {"seeds": 2, "generator": {"steps": 7, "form": "plain"}, "loss": "ce"}}
    assert contrast.settings(a, b) == [("generator.steps", "5", "7"), ("loss", "", "ce")]


def test_the_main_method_is_what_a_run_is_about():
    assert contrast.main_method(MADE) == "gelda"
    assert contrast.main_method({"methods": {"ce": {}, "logit-adjustment": {}}}) == "logit-adjustment"
    assert contrast.main_method({"methods": {"smote": {}, "ce": {}}}) == "smote"


def test_differences_that_only_rounding_tells_apart_are_one_number():
    first = {0: 100 * 3 / 7, 1: 100 * 2 / 7, 2: 100 * 5 / 7}
    second = {seed: value + 100 / 7 for seed, value in first.items()}
    assert len({second[s] - first[s] for s in first}) > 1, "not one number to the last bit"
    *_, low, high, seeds = contrast._beside(first, second, True)
    assert np.isnan([low, high]).all() and seeds == 3
