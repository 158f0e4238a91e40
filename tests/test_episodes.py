"""Who trains, who is tested, who validates in `gelda compare` (method §5); leaks are planted and caught."""

from dataclasses import replace

import numpy as np
import pytest
from bank_fixtures import (
    ITEMS,
    SPEAKERS,
    TAKES,
    bilingual_items,
    leaky_split_items,
    photo_items,
    speech_items,
)

from gelda import protocols, transfer
from gelda.errors import UserError
from gelda.protocols import (
    by_shots,
    few_shot,
    folds,
    long_tail,
    long_tail_groups,
    shared_classes,
    validation,
    zero_shot,
)
from gelda.ready import Items

KEPT, TARGET = 0, 1
PROTOCOLS = {
    "long tail": lambda items, seed: [long_tail(items, seed, imbalance=4.0)],
    "long tail of cells": lambda items, seed: [long_tail(items, seed, imbalance=4.0, cut="cell")],
    "long tail as given": lambda items, seed: [long_tail(items, seed, cut="given")],
    "zero-shot": lambda items, seed: zero_shot(items, seed, target=TARGET, kept=KEPT, rotations=3),
    "zero-shot, transductive": lambda items, seed: zero_shot(
        items, seed, target=TARGET, kept=KEPT, rotations=2, unlabelled=True
    ),
    "few-shot": lambda items, seed: few_shot(items, seed, target=TARGET, shots=2, rotations=2),
    "few-shot, transductive": lambda items, seed: few_shot(
        items, seed, target=TARGET, shots=2, rotations=2, unlabelled=True
    ),
}


def leaks(items: Items, episode: protocols.Episode) -> str:
    """What an episode reads that it must not, in words; "" where it is clean."""
    tested = items.group[episode.test]
    if np.intersect1d(episode.train, episode.test).size:
        return "a test item is trained on"
    if np.isin(items.group[episode.train], tested).any():
        return "a test group is trained on"
    if np.isin(items.group[episode.unlabelled], tested).any():
        return "a test group is read without labels"
    if np.intersect1d(episode.train, episode.unlabelled).size:
        return "an item is read with and without its label"
    if len(np.unique(episode.train)) < len(episode.train) or len(episode.test) == 0:
        return "an item twice, or nothing to test"
    own = episode.train[items.subdomain[episode.train] == episode.target]
    if episode.kind == "zero-shot" and set(items.label[own].tolist()) != {episode.kept}:
        return "the target has more than its kept class"
    return ""


def fits(kind: str, protocol: str) -> bool:
    """A given cut is of a bank with a split of its own."""
    return protocol != "long tail as given" or bool((ITEMS[kind]().split == "test").any())


@pytest.mark.parametrize("kind, protocol", [(k, p) for k in ITEMS for p in PROTOCOLS if fits(k, p)])
@pytest.mark.parametrize("seed", range(3))
def test_no_test_item_and_no_test_group_is_ever_trained_on(kind, protocol, seed):
    items = ITEMS[kind]()
    outer = PROTOCOLS[protocol](items, seed)
    for episode in outer:
        assert leaks(items, episode) == ""
        inner = validation(items, episode, 3)
        assert inner
        for one in inner:
            assert leaks(items, one) == ""
            assert np.isin(one.train, episode.train).all() and np.isin(one.test, episode.train).all()
            for whole in outer:  # the choice of one rotation is used in all of them
                assert not np.isin(items.group[np.r_[one.train, one.test]], items.group[whole.test]).any()


def test_the_check_above_catches_planted_leaks(monkeypatch):
    items = speech_items()
    clean = zero_shot(items, 0, target=TARGET, kept=KEPT, rotations=2)[0]
    test_groups = np.flatnonzero(np.isin(items.group, items.group[clean.test]))
    other = np.flatnonzero((items.subdomain == TARGET) & (items.label != KEPT))
    kept_out = np.setdiff1d(other, test_groups)
    of_groups = np.setdiff1d(test_groups, clean.test)
    assert len(of_groups) == 0, "a rotation tests all compared classes of its groups"
    for change, words in (
        ({"train": np.r_[clean.train, clean.test[:1]]}, "a test item is trained on"),
        ({"test": clean.test[1:], "train": np.r_[clean.train, clean.test[:1]]}, "a test group is trained on"),
        ({"unlabelled": clean.test[:1]}, "a test group is read without labels"),
        ({"unlabelled": clean.train[:1]}, "with and without"),
        ({"train": np.r_[clean.train, kept_out[:1]]}, "more than its kept class"),
    ):
        assert words in leaks(items, replace(clean, **change))
    # protocols that leak: the bank's split as it is, and a target that is trained on where it is tested
    raw = lambda items, seed: tuple(np.flatnonzero(items.split == side) for side in ("train", "test"))  # noqa: E731
    monkeypatch.setattr(protocols, "fixed_split", raw)
    for cut in ("class", "given"):
        leaking = long_tail(leaky_split_items(), 0, cut=cut)
        assert leaks(leaky_split_items(), leaking) == "a test group is trained on"
    own = np.flatnonzero(items.subdomain == TARGET)
    monkeypatch.setattr(transfer, "_rotations", lambda *a: [(own, own[own % 2 == 0])])
    (leaking,) = zero_shot(items, 0, target=TARGET, kept=KEPT)
    assert leaks(items, leaking) == "a test item is trained on"


@pytest.mark.parametrize("kind", ITEMS)
@pytest.mark.parametrize("unlabelled", [False, True])
def test_the_target_has_its_kept_class_alone(kind, unlabelled):
    items = ITEMS[kind]()
    for episode in zero_shot(items, 0, target=TARGET, kept=KEPT, rotations=2, unlabelled=unlabelled):
        own = episode.train[items.subdomain[episode.train] == TARGET]
        tested = np.isin(items.group, items.group[episode.test])
        if items.grouped:
            expected = (items.subdomain == TARGET) & (items.label == KEPT) & ~tested
            np.testing.assert_array_equal(own, np.flatnonzero(expected))
        assert len(own) and (items.label[own] == KEPT).all()
        assert set(items.label[episode.train[items.subdomain[episode.train] != TARGET]]) == {0, 1, 2, 3}
        assert (items.subdomain[episode.test] == TARGET).all()
        assert (len(episode.unlabelled) > 0) == unlabelled
        assert (items.subdomain[episode.unlabelled] == TARGET).all()
        assert episode.groups["unseen"] == tuple((c, TARGET) for c in range(4) if c != KEPT)
        for inner in validation(items, episode):
            pseudo = inner.train[items.subdomain[inner.train] == inner.target]
            assert set(items.label[pseudo]) == {KEPT}
            assert (len(inner.unlabelled) > 0) == unlabelled


@pytest.mark.parametrize("shots", [1, 2, 5])
@pytest.mark.parametrize("kind", ITEMS)
def test_the_target_has_exactly_its_shots(kind, shots):
    items = ITEMS[kind]()
    for episode in few_shot(items, 3, target=TARGET, shots=shots, rotations=2):
        own = episode.train[items.subdomain[episode.train] == TARGET]
        np.testing.assert_array_equal(np.bincount(items.label[own], minlength=4), np.full(4, shots))
        assert episode.groups["unseen"] == () and len(episode.groups["tail"]) == 4
        for inner in validation(items, episode):
            pseudo = inner.train[items.subdomain[inner.train] == inner.target]
            assert (np.bincount(items.label[pseudo], minlength=4) <= shots).all()
            assert set(items.label[pseudo]) == {0, 1, 2, 3}


def test_more_shots_than_there_are_is_a_sentence():
    with pytest.raises(UserError, match="'polish' has 6 items of 'neutral' in groups .* 7 shots .* fewer"):
        few_shot(speech_items(), 0, target=TARGET, shots=7, rotations=2)
    with pytest.raises(UserError, match="shots is 0"):
        few_shot(speech_items(), 0, target=TARGET, shots=0)


@pytest.mark.parametrize("rotations", [2, 3, 4, 9])
@pytest.mark.parametrize("target", range(3))
def test_each_target_group_is_tested_exactly_once_in_a_seed(rotations, target):
    items = speech_items()
    orders = []
    for seed in range(3):
        episodes = zero_shot(items, seed, target=target, kept=KEPT, rotations=rotations)
        assert len(episodes) == min(rotations, SPEAKERS)
        rows = np.concatenate([e.test for e in episodes])
        np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(items.subdomain == target))
        groups = [set(items.group[e.test]) for e in episodes]
        assert sum(map(len, groups)) == SPEAKERS
        orders.append(tuple(map(frozenset, groups)))
    assert len(set(orders)) > 1 or rotations >= SPEAKERS, "a new seed rotates anew"


@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if "shot" in p])
def test_validation_reads_nothing_of_the_real_target(protocol):
    items = speech_items()
    for episode in PROTOCOLS[protocol](items, 0):
        inner = validation(items, episode)
        assert [e.target for e in inner] == [0, 2], "each source plays the target once"
        for one in inner:
            rows = np.r_[one.train, one.test, one.unlabelled]
            assert not (items.subdomain[rows] == TARGET).any()
            assert one.fold == inner.index(one) and (items.subdomain[one.test] == one.target).all()


def test_a_target_without_groups_is_tested_on_its_own_split():
    """An EmoBox corpus whose speakers are not named, among others whose speakers are."""
    items = speech_items()
    own, place = items.subdomain == 1, np.arange(len(items))
    group = np.where(own, 1000 + place, items.group)
    split = np.where(own, np.where(place % 3 == 0, "test", "train"), "")
    (episode,) = zero_shot(replace(items, group=group, split=split), 0, target=1, kept=0)
    assert set(episode.test) == set(np.flatnonzero(own & (place % 3 == 0)))
    sources = np.flatnonzero(~own)
    assert set(sources) <= set(episode.train), "of the others every item is trained on"
    given = np.setdiff1d(episode.train, sources)
    assert set(given) == set(np.flatnonzero(own & (split == "train") & (items.label == 0)))
    nameless = replace(items, group=group)
    assert len(zero_shot(nameless, 0, target=1, kept=0)) == 4, "without a split its items rotate"


def test_rotations_of_a_seed_share_their_validation():
    items = speech_items()
    first, second = zero_shot(items, 0, target=TARGET, kept=KEPT, rotations=2)
    for a, b in zip(validation(items, first), validation(items, second), strict=True):
        np.testing.assert_array_equal(a.train, b.train)
        np.testing.assert_array_equal(a.test, b.test)


def test_a_source_that_cannot_play_the_target_is_left_to_the_others():
    """One speaker only, or none of the kept class in half of its groups."""
    items = speech_items()
    single = replace(items, group=np.where(items.subdomain == 2, 99, items.group))
    (episode, _) = zero_shot(single, 0, target=TARGET, kept=KEPT, rotations=2)
    assert [e.target for e in validation(single, episode)] == [0]
    none = replace(single, group=np.where(items.subdomain != TARGET, 50 + items.subdomain, items.group))
    with pytest.raises(UserError, match="Nothing can be held out"):
        validation(none, replace(episode, train=np.flatnonzero((items.subdomain == 0) & (items.label < 2))))


@pytest.mark.parametrize("shots", [0, 2])
def test_one_source_validates_by_folds_of_itself_and_reads_nothing_of_the_target(shots):
    """The target's own training items are tested in other rotations, and one choice serves all seeds."""
    items = speech_items(subdomains=("german", "polish"))
    how = {"target": TARGET, "rotations": 2}
    every = few_shot(items, 0, shots=shots, **how) if shots else zero_shot(items, 0, kept=KEPT, **how)
    for episode in every:
        inner = validation(items, episode, 3)
        assert len(inner) == 3
        for one in inner:
            assert leaks(items, one) == ""
            rows = np.r_[one.train, one.test, one.unlabelled]
            assert np.isin(rows, episode.train).all() and (items.subdomain[rows] != TARGET).all()
            assert one.target is None and one.kept is None


def test_a_speaker_of_two_languages_is_no_source_for_either():
    items = bilingual_items()
    for episode in zero_shot(items, 0, target=TARGET, kept=KEPT, rotations=2):
        sources = set(items.group[episode.train[items.subdomain[episode.train] != TARGET]].tolist())
        assert 0 not in sources and SPEAKERS + 1 not in sources and {1, 2, 3} <= sources
    together = replace(items, group=items.group % SPEAKERS)
    with pytest.raises(UserError, match="Every other subdomain's groups are in 'polish' too"):
        zero_shot(together, 0, target=TARGET, kept=KEPT, rotations=2)


@pytest.mark.parametrize("kind, words", [
    ("photos", "is not among the compared classes"),
    ("speakers", "is not among the compared classes"),
])  # fmt: skip
def test_a_kept_class_that_is_not_compared_is_a_sentence(kind, words):
    with pytest.raises(UserError, match=words):
        zero_shot(ITEMS[kind](), 0, target=TARGET, kept=KEPT, classes=(1, 2))


def test_a_target_of_one_group_is_a_sentence():
    items = speech_items()
    items = replace(items, group=np.where(items.subdomain == TARGET, 99, items.group))
    with pytest.raises(UserError, match="'polish' has one group only: none is left to test on"):
        zero_shot(items, 0, target=TARGET, kept=KEPT)


def test_compared_classes_are_those_of_every_subdomain():
    items = speech_items()
    fewer = replace(items, label=np.where((items.label == 3) & (items.subdomain == 2), 2, items.label))
    assert shared_classes(items) == (0, 1, 2, 3) and shared_classes(fewer) == (0, 1, 2)
    assert shared_classes(fewer, ("joy", "neutral")) == (0, 2)
    with pytest.raises(UserError, match="The class 'fear' is not in every subdomain"):
        shared_classes(fewer, ("joy", "fear"))
    with pytest.raises(UserError, match="no class called 'anget'. Did you mean 'anger'"):
        shared_classes(fewer, ("anget",))
    (episode, *_) = zero_shot(fewer, 0, target=TARGET, kept=KEPT)
    assert episode.classes == (0, 1, 2) and 3 not in fewer.label[np.r_[episode.train, episode.test]]
    assert not episode.wanted[3].any() and episode.wanted[:3].all()


# -- long tail ------------------------------------------------------------


def many_classes(counts: list[int], tests: int = 3) -> Items:
    """Classes of so many training items (each its own group), one subdomain, and `tests` test items each."""
    label = np.concatenate([np.full(n + tests, c) for c, n in enumerate(counts)])
    split = np.concatenate([["train"] * n + ["test"] * tests for n in counts])
    names = tuple(f"class {c}" for c in range(len(counts)))
    zeros = np.zeros(len(label), np.int64)
    return Items(label, zeros, np.arange(len(label)), split, names, ("all",), grouped=False)


@pytest.mark.parametrize("imbalance", [1.0, 5.0, 100.0])
@pytest.mark.parametrize("seed", range(3))
def test_long_tail_sizes_follow_the_formula(imbalance, seed):
    available = [60, 40, 40, 7, 40, 200]
    episode = long_tail(many_classes(available), seed, imbalance=imbalance)
    label = many_classes(available).label
    sizes = np.bincount(label[episode.train], minlength=6)
    # n_max is the median of the counts, 40; the order is unknown, but every place k is taken once
    formula = [40 * imbalance ** (-k / 5) for k in range(6)]
    places = []
    for c in np.argsort(-sizes, kind="stable"):
        fits = [
            k
            for k in range(6)
            if k not in places and max(1, round(min(available[c], formula[k]))) == sizes[c]
        ]
        assert fits, (c, sizes[c], formula)
        places.append(fits[0])
    assert set(episode.groups["unseen"]) == set() and episode.classes == tuple(range(6))
    assert len(episode.groups["tail"]) == 2 and len(episode.groups["head"]) == 2
    smallest = sorted(sizes)[:2]
    assert sorted(sizes[[c for c, _ in episode.groups["tail"]]]) == smallest


def test_each_seed_draws_a_new_class_order():
    items = many_classes([50] * 8)
    ranks = {
        tuple(np.argsort(-np.bincount(items.label[long_tail(items, seed).train], minlength=8)))
        for seed in range(6)
    }
    assert len(ranks) == 6
    again = [long_tail(items, 4).train for _ in range(2)]
    np.testing.assert_array_equal(*again)
    assert all(sorted(long_tail(items, s).test) == sorted(long_tail(items, 0).test) for s in range(3))


@pytest.mark.parametrize("count, smallest, thirds", [
    (49, 5, True), (50, 19, False), (50, 20, True), (3, 1, True), (99, 1, False), (99, 40, True),
])  # fmt: skip
def test_the_tail_on_both_sides_of_50_classes_and_20_items(count, smallest, thirds):
    sizes = np.linspace(150, smallest, count).round().astype(int)
    rng = np.random.default_rng(count)
    sizes = rng.permutation(sizes)
    named = long_tail_groups(sizes)
    assert sorted(sum(named.values(), [])) == list(range(count)), "every unit is in one group"
    if thirds:
        assert len(named["tail"]) == -(-count // 3) and len(named["head"]) == count // 3
        assert sizes[named["tail"]].max() <= min(sizes[named["medium"] + named["head"]])
        assert sizes[named["head"]].min() >= max(sizes[named["medium"] + named["tail"]])
    else:
        assert named["tail"] == [k for k in range(count) if sizes[k] < 20]
        assert named["head"] == [k for k in range(count) if sizes[k] > 100]


def test_the_edges_of_many_medium_and_few():
    sizes = np.array([101, 100, 20, 19] + [50] * 46)
    named = long_tail_groups(sizes)
    assert named["head"] == [0] and named["tail"] == [3] and {1, 2} <= set(named["medium"])


def test_the_borders_are_an_option():
    """OLTR (arXiv 1904.05160): few is ≤ 20, many ≥ 100."""
    sizes = np.array([101, 100, 99, 21, 20, 19] + [50] * 44)
    named = long_tail_groups(sizes, (21, 99))
    assert named["head"] == [0, 1] and named["tail"] == [4, 5] and {2, 3} <= set(named["medium"])
    assert by_shots(sizes, (19, 99)) is False and len(long_tail_groups(sizes, (19, 99))["tail"]) == 17
    items = many_classes([100] * 60)
    plain, oltr = (long_tail(items, 0, borders=borders) for borders in ((20, 100), (21, 99)))
    np.testing.assert_array_equal(plain.train, oltr.train)
    counts = items.counts(oltr.train).sum(1)
    assert {c for c, _ in oltr.groups["head"]} == set(np.flatnonzero(counts >= 100)) and not plain.groups[
        "head"
    ]
    assert {c for c, _ in oltr.groups["tail"]} == set(np.flatnonzero(counts <= 20))


def test_a_cut_of_cells():
    items = photo_items(a_cell=30)
    episode = long_tail(items, 0, imbalance=10.0, cut="cell")
    counts = items.counts(episode.train)
    formula = sorted(max(1, round(20 * 10 ** (-k / 11))) for k in range(12))
    assert sorted(counts.ravel()) == formula, "12 cells of 20 training items each"
    assert episode.by_cell and len(episode.groups["tail"]) == 4 and len(episode.groups["head"]) == 4
    tail = [counts[c, s] for c, s in episode.groups["tail"]]
    assert sorted(tail) == formula[:4]
    both = [
        set(episode.groups[a]) & set(episode.groups[b]) for a, b in (("head", "tail"), ("head", "medium"))
    ]
    assert not any(both)
    named = [cell for k in ("head", "medium", "tail") for cell in episode.groups[k]]
    assert sorted(named) == [(c, s) for c in range(4) for s in range(3)]


def test_a_given_cut_is_the_data_s_own_split_in_every_seed():
    items = many_classes([120, 60, 25, 9, 3, 40])
    items = replace(items, split=np.where(np.arange(len(items)) == 5, "valid", items.split))
    for seed in range(3):
        episode = long_tail(items, seed, cut="given")
        np.testing.assert_array_equal(episode.train, np.flatnonzero(items.split == "train"))
        np.testing.assert_array_equal(episode.test, np.flatnonzero(items.split == "test"))
        assert episode.seed == seed and not episode.by_cell
        assert [c for c, _ in episode.groups["tail"]] == [3, 4]
        assert [c for c, _ in episode.groups["head"]] == [0, 1]
        scored = np.concatenate([inner.test for inner in validation(items, episode, 3)])
        assert np.array_equal(np.sort(scored), episode.train), "every class has two items to hold out"
    many = long_tail(many_classes([150] * 20 + [50] * 20 + [8] * 20), 0, cut="given")
    assert [c for c, _ in many.groups["tail"]] == list(range(40, 60)), "few-shot classes where there are 50"


def test_a_given_cut_without_a_split_is_a_sentence():
    with pytest.raises(UserError, match="this bank has no split: give its items one .* --cut class"):
        long_tail(photo_items(split=False), 0, cut="given")


def test_unseen_cells_are_those_that_the_cut_emptied_and_are_tested():
    items = photo_items(a_cell=9)
    episode = long_tail(items, 1, imbalance=50.0)
    counts = items.counts(episode.train)
    empty = {(c, s) for c in range(4) for s in range(3) if counts[c, s] == 0}
    assert set(episode.groups["unseen"]) == empty and empty


def test_a_cell_that_only_the_test_set_holds_is_never_filled():
    """Which cells are tested is a test label: allocation must not see it."""
    items = photo_items(a_cell=9)
    only = (items.label == 2) & (items.subdomain == 1)
    items = replace(items, split=np.where(only, "test", items.split))
    episode = long_tail(items, 0, imbalance=2.0)
    assert (2, 1) in episode.groups["unseen"] and not episode.wanted[2, 1] and episode.wanted.sum() == 11


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_a_side_is_a_sentence(split):
    items = photo_items()
    if split == "test":
        with pytest.raises(UserError, match="leaves no item to train on"):
            long_tail(replace(items, split=np.full(len(items), "test")), 0)
    else:
        lonely = replace(speech_items(1), group=np.zeros(len(speech_items(1)), int))
        with pytest.raises(UserError, match="leaves no item to"):
            long_tail(lonely, 0)


@pytest.mark.parametrize("options, words", [
    ({"cut": "clas"}, "no cut called 'clas'. Did you mean 'class'"),
    ({"imbalance": 0.5}, "imbalance is 0.5; it must be at least 1"),
])  # fmt: skip
def test_wrong_settings_of_the_long_tail(options, words):
    with pytest.raises(UserError, match=words):
        long_tail(photo_items(), 0, **options)


def test_how_many_items_a_leaky_split_loses():
    items = leaky_split_items()
    mine = (items.group == 0) & (items.split == "train")
    assert protocols.shared_between_splits(items) == mine.sum() == 4 * TAKES // 2
    assert not mine[long_tail(items, 0, imbalance=1.0).train].any()
    assert protocols.shared_between_splits(photo_items()) == 0


@pytest.mark.parametrize("cut", ["class", "cell"])
def test_units_of_one_item_are_trained_on_and_never_scored(cut):
    items = photo_items(a_cell=12)
    seen = 0
    for seed in range(3):
        episode = long_tail(items, seed, imbalance=100.0, cut=cut)
        unit = items.label * 3 + items.subdomain if cut == "cell" else items.label
        sizes = np.bincount(unit[episode.train], minlength=12)
        alone = np.flatnonzero(sizes == 1)
        scored = np.zeros(0, int)
        for inner in validation(items, episode, 3):
            assert not np.isin(unit[inner.test], alone).any()
            assert np.isin(alone, unit[inner.train]).all(), "trained on in every fold"
            assert np.isin(unit[inner.test], unit[inner.train]).all(), "a scored unit keeps something"
            scored = np.r_[scored, inner.test]
        expected = episode.train[~np.isin(unit[episode.train], alone)]
        np.testing.assert_array_equal(np.sort(scored), expected)
        seen += len(alone)
    assert seen, "the case must occur"


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_a_group_of_several_classes_is_in_one_fold(count, seed):
    items = speech_items(speakers=3)
    fold = folds(items.label, items.group, count, seed)
    assert (fold >= 0).all()
    for g in np.unique(items.group):
        assert len(set(fold[items.group == g])) == 1
    sizes = np.bincount(fold[(items.label == 0)][::TAKES], minlength=count)
    assert sizes.max() - sizes.min() <= 1, "stratified: as many speakers in each"


def test_groups_of_one_class_keep_their_folds():
    """Dealt out round by round in the order of the seed's permutation, as in every earlier release."""
    from gelda.seeds import numpy_generator

    label = np.repeat([0, 1, 2], [11, 6, 2])
    group = np.array([f"{c}/{i // 2}" for i, c in enumerate(label)])
    fold = folds(label, group, 3, 7)
    for c in (0, 1):
        names = numpy_generator(7, "folds", c).permutation(np.unique(group[label == c]))
        for number, name in enumerate(names):
            assert (fold[(group == name) & (label == c)] == number % 3).all()
