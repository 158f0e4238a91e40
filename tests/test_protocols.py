"""Cuts and folds: no group on two sides, the long-tail formula, empty cells exactly."""

import numpy as np
import pandas as pd
import pytest
from conftest import planted_manifest

from gelda.errors import UserError
from gelda.manifest import Manifest
from gelda.splits import folds, long_tail_cut, split_groups

MANIFEST = planted_manifest(40)
LABEL = MANIFEST.table["label"].to_numpy()
SUBDOMAIN = MANIFEST.table["subdomain"].to_numpy()
GROUP = MANIFEST.table["group"].to_numpy()


def cut(seed=0, **options):
    return long_tail_cut(MANIFEST, seed, **{"imbalance": 8.0, "empty_subdomains": ("shifted",), **options})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("once", [True, False])
def test_no_group_is_on_two_sides(seed, once):
    made = cut(seed, one_subdomain_a_group=once)
    sides = pd.DataFrame({"group": GROUP, "side": made.split}).query("side != ''")
    assert sides.groupby("group")["side"].nunique().max() == 1
    assert set(sides["side"]) == {"train", "dev", "test"}


def test_shares_are_kept_in_every_class():
    split = split_groups(LABEL, GROUP, 0, (0.5, 0.25, 0.25))
    for c in range(6):
        groups = {s: len(set(GROUP[(LABEL == c) & (split == s)])) for s in ("train", "dev", "test")}
        assert groups == {"train": 20, "dev": 10, "test": 10}
    assert (split == "test").sum() == 6 * 10 * 3, "test items are seen under every condition"


@pytest.mark.parametrize("shares", [(0.5, 0.5, 0.5), (1.0, 0.0, 0.0), (0.6, 0.5, -0.1)])
def test_wrong_shares_are_refused(shares):
    with pytest.raises(UserError, match="must be positive and add up to 1"):
        split_groups(LABEL, GROUP, 0, shares)


@pytest.mark.parametrize("imbalance", [1.0, 4.0, 20.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_class_sizes_follow_the_formula(imbalance, seed):
    made = cut(seed, imbalance=imbalance, empty_subdomains=())
    available = 20  # half of 40 originals, each under one condition
    for k, c in enumerate(made.order):
        expected = max(1, round(min(available, available * imbalance ** (-k / 5))))
        assert made.counts[c].sum() == expected == ((made.split == "train") & (LABEL == c)).sum()
    assert sorted(made.order) == list(range(6))


def test_the_largest_class_is_the_median_one_where_classes_differ():
    rows = MANIFEST.table[~((LABEL == 0) & (MANIFEST.table["group"].str[2:].astype(int) >= 8))]
    small = Manifest(rows.reset_index(drop=True), MANIFEST.class_names, MANIFEST.subdomain_names, "planted")
    made = long_tail_cut(small, 0, imbalance=4.0)
    assert made.counts[0].sum() <= 4, "a class cannot have more than it has"
    first = next(c for c in made.order if c != 0)
    k = made.order.index(first)
    assert made.counts[first].sum() == round(20 * 4.0 ** (-k / 5))


def test_counts_and_empty_cells_are_exact():
    made = cut()
    tail = made.groups["tail"]
    assert set(tail) == set(made.order[-2:]) and set(made.groups["head"]) == set(made.order[:2])
    assert sorted(sum(made.groups.values(), ())) == list(range(6))
    for c in range(6):
        for s in range(3):
            items = ((made.split == "train") & (LABEL == c) & (SUBDOMAIN == s)).sum()
            assert made.counts[c, s] == items
            assert ((c, s) in made.empty) == (items == 0)
    assert {(c, 1) for c in tail} <= set(made.empty)
    assert not {(c, 1) for c in range(6) if c not in tail} & set(made.empty)
    held_out = (made.split == "test") & np.isin(LABEL, tail) & (SUBDOMAIN == 1)
    assert held_out.sum() == 2 * 10, "what is empty in training is tested"


@pytest.mark.parametrize("once", [True, False])
def test_training_items_are_spread_over_the_allowed_conditions(once):
    for seed in range(4):
        made = cut(seed, one_subdomain_a_group=once)
        for c in range(6):
            cells = [made.counts[c, s] for s in range(3) if not (c in made.groups["tail"] and s == 1)]
            assert max(cells) - min(cells) <= 1


def test_a_stronger_cut_keeps_a_prefix_of_the_weaker_one():
    weak, strong = cut(imbalance=3.0), cut(imbalance=12.0)
    assert set(strong.rows("train")) < set(weak.rows("train"))
    assert list(strong.rows("test")) == list(weak.rows("test"))


def test_each_original_is_trained_on_in_one_condition_only():
    rows = cut().rows("train")
    assert len(set(GROUP[rows])) == len(rows)
    rows = cut(one_subdomain_a_group=False).rows("train")
    assert len(set(GROUP[rows])) < len(rows)


def test_seeds_draw_their_own_orders_and_splits():
    assert len({cut(seed).order for seed in range(5)}) > 1
    assert len({tuple(cut(seed).rows("test")) for seed in range(5)}) == 5
    again, first = cut(2), cut(2)
    assert again.order == first.order and list(again.split) == list(first.split)


@pytest.mark.parametrize("options, words", [
    ({"imbalance": 0.5}, "imbalance is 0.5; it must be at least 1"),
    ({"empty_subdomains": ("shiftet",)}, "no subdomain called 'shiftet'. Did you mean 'shifted'"),
    ({"empty_subdomains": ("plain", "shifted", "scaled")}, "names every subdomain"),
])  # fmt: skip
def test_wrong_settings_are_sentences(options, words):
    with pytest.raises(UserError, match=words):
        cut(**options)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_folds_keep_groups_together_and_classes_apart(count):
    label = np.array([0] * 12 + [1] * 4 + [2] * 3)
    group = np.array([f"a{i // 2}" for i in range(12)] + ["b0", "b1", "b2", "b3"] + ["c0", "c0", "c0"])
    fold = folds(label, group, count, 0)
    assert (fold[label == 2] == -1).all(), "nothing would be left of a class of one group"
    assert (fold[label != 2] >= 0).all() and fold.max() == min(count, 6) - 1
    for name in set(group):
        assert len(set(fold[group == name])) == 1
    sizes = np.bincount(fold[label == 0][::2], minlength=count)
    assert sizes.max() - sizes.min() <= 1
    for k in range(count):
        assert (label[fold != k] == 1).any(), "every fold leaves something of the class to train on"
