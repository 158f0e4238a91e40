"""The comparison engine: no stage reads what it must not, choices follow their scores, runs go on."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
from bank_fixtures import (
    CLASSES,
    SUBDOMAINS,
    npz_arrays,
    photo_items,
    planted_latents,
    ready_bank,
    speech_items,
    write_npz,
)

from gelda import augmenters, compare, compare_report, protocols, workbench
from gelda.arms import CHEAP
from gelda.artifacts import read_json
from gelda.augmenters.diffusion import FORMS
from gelda.compare import Comparison, arms, check, class_of, grid_of
from gelda.compare_config import resolve_compare
from gelda.errors import UserError
from gelda.metrics import calibrated_log_loss
from gelda.protocols import validation
from gelda.ready import Items
from gelda.runs import create_run
from gelda.settings import GeneratorConfig

PROTOCOLS = {
    "longtail": {"protocol": "longtail", "imbalance": 6},
    "longtail of cells": {"protocol": "longtail", "imbalance": 6, "cut": "cell"},
    "longtail as given": {"protocol": "longtail", "cut": "given"},
    "zero-shot": {"protocol": "zero-shot", "target": "polish", "keep": "neutral"},
    "transductive": {"protocol": "zero-shot", "target": "polish", "keep": "neutral", "unlabelled": True},
    "few-shot": {"protocol": "few-shot", "target": "polish", "shots": 2},
}
METHODS = ["ce", "logit-adjustment", "smote", "mean-shift", "subdomain-norm", "gelda-paper", "gelda"]


def settings(protocol="longtail", **change):
    values = {"bank": "planted", "seeds": 1, "methods": METHODS, "device": "cpu", **PROTOCOLS[protocol]}
    return resolve_compare({**values, **change}, "tiny")


class Spy:
    """A recorder that keeps nothing; `state.path` is where the engine writes."""

    def __init__(self, path):
        self.state = SimpleNamespace(path=path, id="r", name="n", demo="compare")

    def check(self):
        pass

    def metric(self, stage, step, **values):
        pass


def engine(config, bank, path):
    comparison = Comparison(
        config, bank, SimpleNamespace(path=path, id="r", name="n", demo="compare", stage="select"), Spy(path)
    )
    comparison.methods = arms(config, bank)
    return comparison


def everything(config, bank, path, monkeypatch) -> dict:
    """All that a comparison computes of one seed, before a test label is looked at: choices, standardised
    training latents and their scale, synthetic latents, the trained heads' logits on fixed probes."""
    seen: dict = {"tasks": [], "made": [], "probes": []}
    comparison = engine(config, bank, path)
    task_of, fit_of = Comparison.task, workbench.fit

    def task(self, episode, layer, *rest, **named):
        made = task_of(self, episode, layer, *rest, **named)
        parts = [made.latents, made.label, made.subdomain, torch.from_numpy(made.allocation)]
        seen["tasks"].append(parts + list(made.unlabelled or ()))
        return made

    def fit(adapter, data, plans, **options):
        trained = fit_of(adapter, data, plans, **options)
        probe = torch.randn(9, adapter.widths[0], generator=torch.Generator().manual_seed(3))
        seen["probes"].append(trained.run(probe.to(trained.weights[0].device)))
        seen["made"] += [d.latents for d in data] + [d.weight for d in data]
        return trained

    with monkeypatch.context() as patched:
        patched.setattr(Comparison, "task", task)
        patched.setattr(workbench, "fit", fit)
        patched.setattr(compare, "generator_health", lambda *a: {})
        choice = comparison._select(0, lambda share, text: None)
        outcome = comparison._train(0, choice, lambda share, text: None)
    seen["choice"] = choice
    seen["predicted"] = {k: v for k, v in outcome.items() if k not in ("episodes", "rows")}
    return seen


def same(a: dict, b: dict, predictions: bool = True) -> bool:
    """Whether two runs chose and trained the very same, bit by bit."""
    if a["choice"] != b["choice"] or len(a["probes"]) != len(b["probes"]):
        return False
    pairs = [(x, y) for key in ("made", "probes") for x, y in zip(a[key], b[key], strict=True)]
    pairs += [(x, y) for s, t in zip(a["tasks"], b["tasks"], strict=True) for x, y in zip(s, t, strict=True)]
    if predictions and not all(np.array_equal(a["predicted"][k], b["predicted"][k]) for k in a["predicted"]):
        return False
    return all(x.shape == y.shape and torch.equal(x, y) for x, y in pairs)


def bank_of(protocol, latents=None, items=None):
    items = items or (photo_items(a_cell=24) if "longtail" in protocol else speech_items())
    z = planted_latents(items, 6) if latents is None else latents
    return ready_bank(items, {"pool": z})


def forbidden(protocol, bank) -> np.ndarray:
    """Rows that no stage of any rotation may read as latents, worked out from the words of the method."""
    config, items = settings(protocol), bank.items
    if "longtail" in protocol:
        (episode,) = compare.episodes(config, items, 0)
        return np.setdiff1d(np.arange(len(items)), episode.train)  # the test rows and those cut away
    target = items.subdomain == SUBDOMAINS.index("polish")
    if protocol == "transductive":
        return np.zeros(0, int)
    if protocol == "zero-shot":
        return np.flatnonzero(target & (items.label != CLASSES.index("neutral")))
    shot = np.concatenate([e.train for e in compare.episodes(config, items, 0)])
    return np.setdiff1d(np.flatnonzero(target), shot)


@pytest.mark.parametrize("protocol", [p for p in PROTOCOLS if p != "transductive"])
def test_planting_a_leak_garbage_in_forbidden_rows_changes_nothing_that_is_trained(
    protocol, tmp_path, monkeypatch
):
    bank = bank_of(protocol)
    rows = forbidden(protocol, bank)
    z = bank.load("pool").clone()
    z[rows] = 1e6 * torch.randn(len(rows), z.shape[1], generator=torch.Generator().manual_seed(8))
    assert len(rows) > 20
    clean = everything(settings(protocol), bank, tmp_path / "a", monkeypatch)
    dirty = everything(settings(protocol), bank_of(protocol, z), tmp_path / "b", monkeypatch)
    assert same(clean, dirty, predictions=False)
    assert any((clean["predicted"][k] != dirty["predicted"][k]).any() for k in clean["predicted"]), (
        "garbage is tested: the predictions of it must change, or the garbage was never there"
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_garbage_in_the_tested_rows_of_a_rotation_changes_nothing_of_that_rotation(
    protocol, tmp_path, monkeypatch
):
    """Also in the transductive setting, and for the kept class's test rows: rotation by rotation."""
    bank = bank_of(protocol)
    clean = everything(settings(protocol), bank, tmp_path / "a", monkeypatch)
    for number, episode in enumerate(compare.episodes(settings(protocol), bank.items, 0)):
        z = bank.load("pool").clone()
        z[torch.from_numpy(episode.test)] = 1e6

        def one(self, seed, episode=episode):
            return [episode]

        with monkeypatch.context() as patched:
            patched.setattr(Comparison, "episodes", one)
            dirty = everything(settings(protocol), bank_of(protocol, z), tmp_path / f"b{number}", monkeypatch)
            alone = everything(settings(protocol), bank, tmp_path / f"c{number}", monkeypatch)
        assert same(alone, dirty, predictions=False)
        assert alone["choice"] == clean["choice"], "all rotations of a seed share the choice"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_labels_of_test_rows_change_no_prediction(protocol, tmp_path, monkeypatch):
    """Permuted among the tested rows of every rotation, whose class sets stay."""
    bank = bank_of(protocol)
    items, label = bank.items, bank.items.label.copy()
    outer = compare.episodes(settings(protocol), items, 0)
    for episode in outer:
        label[episode.test] = np.random.default_rng(1).permutation(label[episode.test])
    if "longtail" not in protocol:
        # a row tested in one rotation is trained on in another: the rotations are fixed from outside
        monkeypatch.setattr(Comparison, "episodes", lambda self, seed: outer[:1])
        label = items.label.copy()
        rows = outer[0].test
        label[rows] = np.random.default_rng(1).permutation(label[rows])
    assert (label != items.label).mean() > 0.1
    clean = everything(settings(protocol), bank, tmp_path / "a", monkeypatch)
    moved = everything(
        settings(protocol), bank_of(protocol, bank.load("pool"), replace(items, label=label)), tmp_path / "b",
        monkeypatch,
    )  # fmt: skip
    assert same(clean, moved)


def test_transductive_reads_the_targets_other_latents_and_never_their_labels(tmp_path, monkeypatch):
    config, bank = settings("transductive"), bank_of("transductive")
    items = bank.items
    (episode, *_) = compare.episodes(config, items, 0)
    monkeypatch.setattr(Comparison, "episodes", lambda self, seed: [episode])
    clean = everything(config, bank, tmp_path / "a", monkeypatch)
    z = bank.load("pool").clone()
    z[torch.from_numpy(episode.unlabelled)] += 1
    moved = everything(config, bank_of("transductive", z), tmp_path / "b", monkeypatch)
    assert not same(clean, moved), "it is the point of the setting that these latents are read"
    assert clean["choice"] == moved["choice"], "but not by validation"
    label = items.label.copy()
    others = np.delete(np.arange(4), CLASSES.index("neutral"))
    label[episode.unlabelled] = np.random.default_rng(2).choice(others, len(episode.unlabelled))
    assert (label != items.label).any()
    other = bank_of("transductive", bank.load("pool"), replace(items, label=label))
    assert same(clean, everything(config, other, tmp_path / "c", monkeypatch))
    neutral = replace(episode, unlabelled=protocols.NOBODY)
    monkeypatch.setattr(Comparison, "episodes", lambda self, seed: [neutral])
    without = everything(config, bank, tmp_path / "d", monkeypatch)
    dirty = everything(config, bank_of("transductive", z), tmp_path / "e", monkeypatch)
    assert same(without, dirty), "neutral-only: they are not read"


LEAKS = {
    "a protocol that trains on a target item": lambda m: m.setattr(
        protocols, "zero_shot", _with_a_target_item(protocols.zero_shot)
    ),
    "a standardiser fitted on all rows": lambda m: m.setattr(
        workbench.Standardizer, "fit", classmethod(_fit_on_all(workbench.Standardizer.fit.__func__))
    ),
    "validation with target items": lambda m: m.setattr(
        protocols, "validation", _with_target_items(protocols.validation)
    ),
    "a task with unlabelled target latents": lambda m: m.setattr(
        Comparison, "episodes", _as_if_transductive(Comparison.episodes)
    ),
}
ALL_ROWS: list[torch.Tensor] = []


def _with_a_target_item(right):
    def leaking(items, *a, **k):
        rows = np.flatnonzero((items.subdomain == 1) & (items.label == 2))[:1]
        return [replace(e, train=np.sort(np.r_[e.train, rows])) for e in right(items, *a, **k)]

    return leaking


def _fit_on_all(right):
    return lambda cls, latents: right(cls, ALL_ROWS[-1])


def _with_target_items(right):
    def leaking(items, episode, *a):
        rows = np.flatnonzero((items.subdomain == 1) & (items.label == 2))[:2]
        return [replace(e, train=np.r_[e.train, rows]) for e in right(items, episode, *a)]

    return leaking


def _as_if_transductive(right):
    def leaking(self, seed):
        found = []
        for e in right(self, seed):
            rest = np.flatnonzero((self.items.subdomain == 1) & (self.items.label != 0))
            found.append(replace(e, unlabelled=np.setdiff1d(rest, e.test)))
        return found

    return leaking


@pytest.mark.parametrize("leak", LEAKS)
def test_the_tests_above_fail_where_there_is_a_leak(leak, tmp_path, monkeypatch):
    bank = bank_of("zero-shot")
    rows = forbidden("zero-shot", bank)
    z = bank.load("pool").clone()
    z[rows] = 1e3 * torch.randn(len(rows), z.shape[1], generator=torch.Generator().manual_seed(8))
    LEAKS[leak](monkeypatch)
    ALL_ROWS.append(bank.load("pool"))
    clean = everything(settings("zero-shot"), bank, tmp_path / "a", monkeypatch)
    ALL_ROWS.append(z)
    dirty = everything(settings("zero-shot"), bank_of("zero-shot", z), tmp_path / "b", monkeypatch)
    assert not same(clean, dirty, predictions=False)


# -- choices ------------------------------------------------------------


def test_every_arm_has_at_most_six_trials_and_the_best_recorded_one_is_chosen(tmp_path, monkeypatch):
    config = settings("zero-shot", methods=[], adapter={"hidden": [8]}, taus=[0.5, 1.0, 2.0])
    bank = bank_of("zero-shot")
    bank = replace(
        bank, layers={"pool": 6, "noise": 6},
        load={"pool": bank.load("pool"), "noise": torch.randn(len(bank.items), 6)}.__getitem__,
    )  # fmt: skip
    comparison = engine(config, bank, tmp_path)
    rated, votes, trials_of, layer_of = [], [], Comparison._rate, Comparison._select_layer

    def trials(self, inner, layer, tau, pairs, *rest):
        rated.extend((name, dict(setting)) for name, setting in pairs)
        return trials_of(self, inner, layer, tau, pairs, *rest)

    def select_layer(self, *rest):
        found = layer_of(self, *rest)
        votes.extend(rated)
        rated.clear()
        return found

    monkeypatch.setattr(Comparison, "_rate", trials)
    monkeypatch.setattr(Comparison, "_select_layer", select_layer)
    choice = comparison._select(0, lambda share, text: None)
    assert choice.layer == "pool", "the layer without information is not chosen"
    for method in comparison.methods:
        trials = [setting for name, setting in rated if name == method]
        assert len(trials) <= 6, method
        if method in ("gelda-uncond", "gelda-shuffled", "logit-adjustment"):
            assert not trials and method not in choice.scores
        elif len(grid_of(method)) > 1:
            assert trials == list(grid_of(method))
            assert len(choice.scores[method]) == len(trials)
            best = min(choice.scores[method], key=choice.scores[method].__getitem__)
            assert compare.describe(choice.settings[method]) == best
        else:
            assert choice.settings[method] == grid_of(method)[0]
    scores = {(layer, tau): s for layer, of in choice.scores["layer"].items() for tau, s in of.items()}
    own = {tau: s for (layer, tau), s in scores.items() if layer == choice.layer}
    assert min(own, key=own.__getitem__) == f"{choice.tau:g}" and len(scores) == 6
    means = choice.scores["fm_layer"]
    assert min(means, key=means.__getitem__) == choice.layer and set(means) == {"pool", "noise"}
    assert {name for name, _ in votes} == {"logit-adjustment", *CHEAP}, "no generator is trained for a layer"
    assert choice.settings["logit-adjustment"] == {"tau": choice.tau}
    for control in compare.CONTROLS:
        assert comparison._final(control, choice) == choice.settings["gelda"]
    again = engine(config, bank, tmp_path)._select(0, lambda share, text: None)
    assert again == choice, "read from the files that were kept"


@pytest.mark.parametrize("protocol", ["zero-shot", "few-shot", "transductive"])
def test_a_transfer_from_one_source_ends_and_says_how_it_chose(protocol, tmp_path):
    bank = bank_of(protocol, items=speech_items(subdomains=("german", "polish")))
    config = settings(protocol, methods=[*METHODS, "gelda-shuffled"], selection_seeds=2)
    state = create_run({}, "test", "compare", "t")
    result = compare.execute(config, bank, state)
    assert any("No source subdomain can play the target" in note for note in result["notes"])
    choice = result["config"]["selection"]["0"]["settings"]
    assert choice["gelda-shuffled"] == choice["gelda"], "the control is shown with the form it was given"
    assert result["config"]["semantics"].keys() == {"class", "subdomain"}
    assert result["config"]["dtype"] in ("float32", "bfloat16")
    figures = result["subdomain_figures"]["ce"]
    assert list(figures) == ["polish"] and figures["polish"]["uar"] == pytest.approx(
        result["methods"]["ce"]["uar"]["mean"]
    )


def test_the_report_says_what_head_medium_and_tail_are():
    few = bank_of("longtail")
    assert "thirds of the classes by training items (fewer than 50 classes)" in groups_of("longtail", few)
    classes = tuple(f"c{k}" for k in range(60))
    label = np.repeat(np.arange(60), 40)
    split = np.where(np.arange(len(label)) % 40 < 30, "train", "test")
    items = Items(label, 0 * label, np.arange(len(label)), split, classes, ("all",), grouped=False)
    many = ready_bank(items, {"pool": planted_latents(items)})
    assert "thirds of the classes by training items (none has fewer than 3)" in groups_of(
        "longtail", many, imbalance=8.0, shot_borders=[3, 9]
    )
    said = "many-, medium- and few-shot classes: more than 25, 10 to 25, and fewer than 10 training items"
    assert said in groups_of("longtail", many, imbalance=8.0, shot_borders=[10, 25])
    keys = [compare.compare_key(settings("longtail", **c), few) for c in ({}, {"shot_borders": [20, 100]})]
    assert keys[0] == keys[1] != compare.compare_key(settings("longtail", shot_borders=[21, 99]), few)


def groups_of(protocol, bank, **changes) -> str:
    config = settings(protocol, **changes)
    return compare_report._groups(config, bank, compare.episodes(config, bank.items, 0)[0])


def test_a_form_that_is_asked_for_is_the_form_of_gelda_and_its_controls(tmp_path):
    config = settings("longtail", methods=[*METHODS, "gelda-shuffled"], generator={"form": "residual"})
    comparison = engine(config, bank_of("longtail"), tmp_path)
    choice = comparison._select(0, lambda share, text: None)
    assert choice.settings["gelda"]["form"] == "residual" == choice.settings["gelda-shuffled"]["form"]
    assert len(choice.scores["gelda"]) == 3 and choice.settings["gelda-paper"]["form"] == "plain"
    named = get_args(GeneratorConfig.model_fields["form"].annotation)
    assert set(named) == {"auto", *FORMS}
    assert (
        settings("longtail").generator.model_dump()
        == settings("longtail", generator={"form": "auto"}).generator.model_dump()
    ), "keys of what was computed before hold"
    assert "form" not in settings("longtail").generator.model_dump()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"sampling": {"filter": "confidence"}}, "sampling.filter is read by `gelda run` only"),
        ({"generator": {"adapter_layer": 1}}, "generator.adapter_layer is read by `gelda run` only"),
        ({"cut": "given", "imbalance": 6}, "--cut given cuts nothing, and an imbalance was given"),
        ({"generator": {"condition_control": "shufled"}}, "There is no condition control called 'shufled'"),
    ],
)
def test_settings_that_a_comparison_does_not_read_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        check(settings("longtail", **change), bank_of("longtail"))


def test_the_key_knows_the_precision(monkeypatch):
    bank = bank_of("longtail")
    keys = {compare.compare_key(settings("longtail", precision=p), bank) for p in ("fp32", "bf16")}
    assert len(keys) == 2 and compare.compare_key(settings("longtail"), bank) in keys


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_transfer_is_chosen_once_and_a_long_tail_in_every_seed(protocol, tmp_path, monkeypatch):
    """In a transfer the pseudo-targets of the first selection seeds decide for all seeds."""
    seen, trials_of = [], Comparison._rate

    def trials(self, inner, *rest):
        seen.append({(e.seed, e.target) for e in inner})
        return trials_of(self, inner, *rest)

    monkeypatch.setattr(Comparison, "_rate", trials)
    config = settings(protocol, methods=["logit-adjustment", "mean-shift"], seeds=3, selection_seeds=2)
    comparison = engine(config, bank_of(protocol), tmp_path)
    choices = [comparison._select(seed, lambda share, text: None) for seed in range(3)]
    if not config.one_choice:
        assert {seed for episodes in seen for seed, _ in episodes} == {0, 1, 2}
        assert all(len({seed for seed, _ in episodes}) == 1 for episodes in seen)
    else:
        target = comparison.items.subdomain_names.index("polish")
        assert all({seed for seed, _ in episodes} == {0, 1} for episodes in seen)
        assert all(s != target for episodes in seen for _, s in episodes)
        assert choices[0] == choices[1] == choices[2]
        assert len(seen) == len(list((tmp_path / "stages").rglob("*.json"))), "later seeds compute nothing"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_score_is_the_calibrated_log_loss_of_folds_together_or_of_every_pseudo_target(protocol, tmp_path):
    bank = bank_of(protocol)
    comparison = engine(settings(protocol), bank, tmp_path)
    inner = validation(bank.items, comparison.episodes(0)[0], 3)
    assert len(inner) > 1
    rng = np.random.default_rng(0)
    own, parts = [], []  # parts: true [N], logits [N, C], what weighs alike [N]
    for number, episode in enumerate(inner):
        true = np.array([episode.classes.index(c) for c in bank.items.label[episode.test]])
        classes = len(episode.classes)
        logits = (number + 1) * (rng.normal(size=(len(true), classes)) + np.eye(classes)[true])
        own.append(workbench.Trial(number, torch.from_numpy(logits)))
        cell = 10 * true + bank.items.subdomain[episode.test]
        parts.append((true, logits, cell if protocol == "longtail of cells" else true))
    if "longtail" in protocol:
        expected, _ = calibrated_log_loss(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    else:
        expected = np.mean([calibrated_log_loss(*part)[0] for part in parts])
    assert comparison._score(inner, own) == pytest.approx(expected, rel=1e-9)


def test_arms_that_are_not_finite_on_validation_are_never_chosen(tmp_path, monkeypatch):
    config, bank = settings("zero-shot", methods=["smote"]), bank_of("zero-shot")
    scores = iter([0.9, 0.8, float("nan"), 0.5, 0.7])
    monkeypatch.setattr(Comparison, "_score", lambda self, inner, own: next(scores))
    choice = engine(config, bank, tmp_path)._select(0, lambda share, text: None)
    assert choice.tau == 1.5, "the second of the two τ"
    assert choice.settings["smote"] == grid_of("smote")[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_allocation_by_hand(protocol, tmp_path):
    bank = bank_of(protocol)
    comparison = engine(settings(protocol, most_synthetic=7), bank, tmp_path)
    for episode in comparison.episodes(0):
        made = comparison.allocation(episode)
        real = bank.items.counts(episode.train)
        assert made.shape == (4, 3) and (made >= 0).all() and made.max() <= 7
        assert made.sum() <= max(real.sum(), (made > 0).sum())
        if episode.target is not None:
            assert made[:, [0, 2]].sum() == 0, "only the target's cells"
            mean = real[:, [0, 2]].sum() / 4
            np.testing.assert_array_equal(made[:, 1], np.minimum(7, np.maximum(0, round(mean) - real[:, 1])))
        elif episode.by_cell:
            np.testing.assert_array_equal(made, np.minimum(7, real.max() - real))
        else:
            missing = real.sum(1).max() - real.sum(1)
            np.testing.assert_array_equal(made, np.minimum(7, np.ceil(missing / 3)[:, None] * np.ones(3)))


def test_validation_sees_the_subdomains_in_play_and_no_other(tmp_path):
    """With the real target among the subdomains but without a row, κ `auto` would choose another source."""
    bank = bank_of("zero-shot")
    bank = replace(bank, subdomain_semantics=torch.arange(6.0).reshape(3, 2))
    comparison = engine(settings("zero-shot"), bank, tmp_path)
    outer = comparison.episodes(0)[0]
    task = comparison.task(outer, "pool")
    assert task.subdomain_names == SUBDOMAINS and task.target == 1 and task.subdomains == 3
    for episode in validation(bank.items, outer, 3):
        task = comparison.task(episode, "pool")
        assert task.subdomain_names == ("german", "english") and task.subdomains == 2
        assert task.subdomain_names[task.target] == SUBDOMAINS[episode.target]
        torch.testing.assert_close(task.subdomain_given, bank.subdomain_semantics[[0, 2]])
        names = np.array(task.subdomain_names)[task.subdomain]
        np.testing.assert_array_equal(names, np.array(SUBDOMAINS)[bank.items.subdomain[episode.train]])
        assert task.allocation.shape == (4, 2) and task.allocation[:, task.target].sum() > 0
        assert task.allocation[:, 1 - task.target].sum() == 0
        _, tested = comparison.test(episode, "pool")
        assert set(tested.tolist()) == {task.target}


# -- which arms, which mistakes ------------------------------------------------------------


def test_arms_of_one_subdomain_leave_out_what_needs_two():
    items = speech_items(subdomains=("all",))
    bank = ready_bank(items, {"pool": planted_latents(items)})
    named = arms(settings("longtail", methods=[]), bank)
    assert "mean-shift" not in named and "subdomain-norm" not in named
    assert set(augmenters.AUGMENTERS) - set(named) == {
        m for m in augmenters.AUGMENTERS if class_of(m).needs_subdomains
    }
    assert arms(settings("zero-shot", methods=[]), bank_of("zero-shot")) == list(augmenters.AUGMENTERS)


MISTAKES = {
    "an unknown method": (["--methods", "smot,ce"], "no method called 'smot'. Did you mean 'smote'"),
    "a method twice": (["--methods", "ce,ce"], "something is named twice"),
    "an unknown protocol": (["--protocol", "zeroshot"], "no protocol .* Did you mean 'zero-shot'"),
    "an unknown target": (["--protocol", "zero-shot", "--target", "polsh", "--keep", "neutral"],
                          "no subdomain called 'polsh'. Did you mean 'polish'"),
    "no target": (["--protocol", "zero-shot", "--keep", "neutral"],
                  "needs --target, one of: german, polish, english"),
    "an unknown kept class": (["--protocol", "zero-shot", "--target", "polish", "--keep", "neutrl"],
                              "no class called 'neutrl'. Did you mean 'neutral'"),
    "no kept class": (["--protocol", "zero-shot", "--target", "polish"],
                      "needs --keep, one of: neutral, anger, joy, fear"),
    "an unknown class": (["--protocol", "few-shot", "--target", "polish", "--classes", "joy,angr"],
                         "no class called 'angr'. Did you mean 'anger'"),
    "one class": (["--protocol", "few-shot", "--target", "polish", "--classes", "joy"], "fewer than two"),
    "a kept class that is not compared": (
        ["--protocol", "zero-shot", "--target", "each", "--keep", "neutral", "--classes", "joy,anger"],
        "The kept class 'neutral' is not among the compared classes"),
    "too many shots": (["--protocol", "few-shot", "--target", "polish", "--shots", "70"], "70 shots"),
    "no shots": (["--protocol", "few-shot", "--target", "polish", "--shots", "0"], "'shots' is 0"),
    "an unknown layer": (["--fm-layer", "pol"], "no layer called 'pol'. Did you mean 'pool'"),
    "a target in the long tail": (["--target", "polish"], "--target belongs to zero-shot and few-shot"),
    "classes in the long tail": (["--classes", "joy,anger"], "--classes belongs to zero-shot and few-shot"),
    "shots in zero-shot": (["--protocol", "zero-shot", "--target", "polish", "--keep", "joy", "--shots", "3"],
                           "--shots belongs to few-shot, not to zero-shot"),
    "a kept class in few-shot": (["--protocol", "few-shot", "--target", "polish", "--keep", "joy"],
                                 "--keep belongs to zero-shot"),
    "an imbalance in zero-shot": (["--protocol", "zero-shot", "--target", "polish", "--imbalance", "3"],
                                  "--imbalance belongs to longtail"),
    "an imbalance below 1": (["--imbalance", "0.5"], "'imbalance' is 0.5"),
    "an unknown cut": (["--cut", "cells"], "'cut' is 'cells'"),
    "an adapter layer past the last": (
        ["--adapter-layer", "8"], r"--adapter-layer is 8, but the adapter has \d+ hidden layer"),
    "an adapter layer that is no number": (["--adapter-layer", "x"], "must be a number"),
    "an unknown preset": (["--preset", "tinny"], "no preset called 'tinny'. Did you mean 'tiny'"),
    "an unknown setting": (["--set", "generator.stepz=3"], "'generator.stepz'.*Did you mean 'steps'"),
    "borders in the wrong order": (["--set", "shot_borders=[50,20]"], "'shot_borders'.* must not lie above"),
    "borders in zero-shot": (["--protocol", "zero-shot", "--target", "polish", "--keep", "joy", "--set",
                              "shot_borders=[21,99]"], "shot_borders belongs to longtail, not to zero-shot"),
    "an unknown device": (["--device", "gpu"], "Device 'gpu' is not one of"),
    "an unknown semantic source": (["--class-semantics", "onehot"], "no semantic source.*'one-hot'"),
    "a file of vectors that is not there": (["--class-semantics", "gone.csv"], "gone.csv"),
    "too many τ": (["--set", "taus=[1,2,3,4,5,6,7]"], "'taus'"),
    "a scheduler of flows": (["--set", "sampling.scheduler=flow-euler"], "does not fit the prediction_type"),
    "a folder that is not there": (["--json", "gone/out.json"], "no folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_sentence_and_leave_no_run(case, tmp_path, gelda, gelda_home):
    import re

    arguments, words = MISTAKES[case]
    write_npz(tmp_path / "planted.npz", npz_arrays(speech_items()))
    done = gelda(
        "compare", "planted.npz", *(["--preset", "tiny"] if "--preset" not in arguments else []), *arguments
    )
    assert done.returncode == 2 and not done.stdout, (done.stdout, done.stderr)
    assert re.search(words, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (gelda_home / "runs").exists()


@pytest.mark.parametrize("change, words", [
    ({"label": np.zeros(144, int)}, "fewer than two classes"),
    ({"split": np.full(144, "test")}, "leaves no item to train on"),
])  # fmt: skip
def test_banks_that_cannot_be_compared(change, words):
    items = replace(speech_items(), **change)
    with pytest.raises(UserError, match=words):
        check(settings("longtail"), ready_bank(items, {"pool": planted_latents(items)}))


def test_a_bank_of_one_subdomain_has_no_target():
    items = speech_items(subdomains=("all",))
    with pytest.raises(UserError, match="has one subdomain: zero-shot needs at least two"):
        check(settings("zero-shot"), ready_bank(items, {"pool": planted_latents(items)}))


# -- whole runs ------------------------------------------------------------

COMMAND = (
    "planted.npz",
    "--preset",
    "tiny",
    "--device",
    "cpu",
    "--methods",
    "ce,logit-adjustment,mean-shift,gelda",
)
FLAGS = {
    "longtail": ("--imbalance", "4"),
    "zero-shot": ("--protocol", "zero-shot", "--target", "polish", "--keep", "neutral"),
    "few-shot": ("--protocol", "few-shot", "--target", "polish", "--shots", "2"),
}


def figures(report: dict) -> str:
    """A report without times; NaN-safe, as text."""
    return json.dumps({k: v for k, v in report.items() if k != "seconds"}, sort_keys=True)


@pytest.fixture
def planted(tmp_path):
    return write_npz(tmp_path / "planted.npz", npz_arrays(speech_items()))


@pytest.mark.parametrize("protocol", FLAGS)
def test_a_comparison_from_end_to_end(protocol, planted, tmp_path, gelda, gelda_home):
    done = gelda("compare", *COMMAND, *FLAGS[protocol], "--json", "out.json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    report = json.loads((tmp_path / "out.json").read_text())
    (run,) = (gelda_home / "runs").iterdir()
    assert run.name.startswith(f"compare-planted-{protocol}") and figures(
        read_json(run / "report.json")
    ) == figures(report)
    # the form that design.md promises
    assert list(report["methods"]) == ["ce", "logit-adjustment", "mean-shift", "gelda"]
    for measures in report["methods"].values():
        for measure in ("overall", "tail", "uar", "unseen"):
            assert set(measures[measure]) == {"mean", "ci95", "seeds", "groups"}
            assert len(measures[measure]["ci95"]) == 2
        assert len(measures["overall"]["seeds"]) == 2 and 0 <= measures["overall"]["mean"] <= 100
    assert set(report["paired"]) == {"ce", "logit-adjustment", "mean-shift"}
    assert set(report["paired_to_la"]) == {"ce", "mean-shift", "gelda"}
    assert {"overall", "tail", "uar", "unseen"} <= set(report["paired"]["ce"])
    difference = np.subtract(*(report["methods"][m]["uar"]["seeds"] for m in ("gelda", "ce")))
    assert report["paired"]["ce"]["uar"]["mean"] == pytest.approx(difference.mean(), abs=1e-6)
    assert set(report["seconds"]) >= {"select", "train"} and report["versions"]["gelda"]
    assert set(report["config"]["selection"]) == {"0", "1"}
    assert set(report["under_other_loss"]) == {"mean-shift", "gelda"}
    assert {"variance_ratio", "memorisation"} <= set(report["generator"])
    for seed in report["config"]["selection"].values():
        assert set(seed) == {"fm_layer", "adapter_layer", "tau", "settings", "scores"}
        assert seed["adapter_layer"] == 0 and "adapter_layer" not in seed["scores"], "the default is z^(0)"
    confusion = np.array(report["confusion"]["ce"])
    if protocol == "zero-shot":
        assert confusion.sum() == 2 * 48 and report["countable"] is False
        assert "polish keeps neutral only" in report["setting"]
        assert any("test groups: the row is shown and counts for no claim" in n for n in report["notes"])
    again = gelda("compare", *COMMAND, *FLAGS[protocol], "--json", "again.json")
    assert "was finished before" in again.stdout and "--fresh" in again.stdout
    assert (tmp_path / "again.json").read_text() == (tmp_path / "out.json").read_text()
    fresh = gelda("compare", *COMMAND, *FLAGS[protocol], "--json", "fresh.json", "--fresh")
    assert fresh.returncode == 0 and "finished before" not in fresh.stdout
    assert figures(read_json(tmp_path / "fresh.json")) == figures(report)
    assert len(list((gelda_home / "runs").iterdir())) == 1


def test_each_subdomain_as_target(planted, tmp_path, gelda, gelda_home):
    flags = ("--protocol", "zero-shot", "--target", "each", "--keep", "neutral", "--methods", "ce,mean-shift")
    done = gelda("compare", *COMMAND, *flags, "--json", "out.json")
    assert done.returncode == 0, (done.stdout, done.stderr)
    reports = json.loads((tmp_path / "out.json").read_text())["targets"]
    assert list(reports) == list(SUBDOMAINS)
    for name, report in reports.items():
        assert report["config"]["target"] == name and list(report["methods"]) == ["ce", "mean-shift"]
        tested = [v is not None for v in report["per_subdomain"]["ce"]]
        assert tested == [s == name for s in SUBDOMAINS], "only the target is tested"
    assert len(list((gelda_home / "runs").iterdir())) == 3


def test_a_new_method_or_another_bank(planted, tmp_path, gelda, gelda_home):
    flags = FLAGS["zero-shot"]
    first = gelda("compare", *COMMAND, *flags, "--methods", "ce,mean-shift", "--json", "a.json")
    assert first.returncode == 0, first.stderr
    (run,) = (gelda_home / "runs").iterdir()
    kept = {f: f.stat().st_mtime_ns for f in run.glob("stages/*/*") if "smote" not in f.name}
    more = gelda("compare", *COMMAND, *flags, "--methods", "ce,mean-shift,smote", "--json", "b.json")
    assert more.returncode == 0 and "finished before" not in more.stdout
    assert {f: f.stat().st_mtime_ns for f in kept} == kept, "what was there is not computed again"
    a, b = (read_json(tmp_path / f"{name}.json")["methods"] for name in "ab")
    assert list(b) == ["ce", "mean-shift", "smote"] and {m: b[m] for m in a} == a
    items = speech_items()
    write_npz(tmp_path / "planted.npz", npz_arrays(items, pool=planted_latents(items, seed=9)))
    other = gelda("compare", *COMMAND, *flags, "--methods", "ce,mean-shift")
    assert other.returncode == 0 and "finished before" not in other.stdout
    assert len(list((gelda_home / "runs").iterdir())) == 2


def test_names_that_are_no_file_names(tmp_path, gelda, gelda_home):
    items = replace(speech_items(), subdomain_names=("a/../../b", "Español (ES)", "c\\d"))
    write_npz(tmp_path / "my bank.npz", npz_arrays(items))
    done = gelda(
        "compare", "my bank.npz", "--preset", "tiny", "--protocol", "few-shot", "--shots", "1",
        "--target", "each", "--methods", "ce",
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    names = [p.name for p in (gelda_home / "runs").iterdir()]
    assert len(names) == 3 and all(gelda("report", name).returncode == 0 for name in names)


class Killed(BaseException):
    """As if the process had been killed: nothing is caught on the way."""


@pytest.mark.parametrize("protocol", ["longtail", "zero-shot"])
def test_a_comparison_that_stops_anywhere_goes_on_to_the_same_figures(
    protocol, planted, tmp_path, gelda, gelda_home, monkeypatch
):
    flags = (*COMMAND, *FLAGS[protocol])
    assert gelda("compare", *flags, "--json", "whole.json").returncode == 0
    whole = figures(read_json(tmp_path / "whole.json"))
    monkeypatch.setenv("GELDA_HOME", str(tmp_path / "stopped"))
    writers = {name: getattr(compare, name) for name in ("write_json", "write_tensors")}
    stops = 0
    for after in (1, 3, 2, 4, 2, 5, 1, 3):
        left = [after]

        def guarded(name, left=left):
            def write(path, *rest):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                writers[name](path, *rest)

            return write

        with monkeypatch.context() as patched:
            for name in writers:
                patched.setattr(compare, name, guarded(name))
            try:
                done = gelda("compare", *flags, "--json", "resumed.json")
            except Killed:
                stops += 1
                continue
            assert done.returncode == 0
            break
    assert stops >= 4
    done = gelda("compare", *flags, "--json", "resumed.json")
    assert done.returncode == 0, done.stderr
    assert figures(read_json(tmp_path / "resumed.json")) == whole
    assert len(list((tmp_path / "stopped" / "runs").iterdir())) == 1


KILLER = """
import os, signal, sys
from gelda import artifacts, cli
kill, replace = os.environ["GELDA_TEST_KILL"], os.replace
def guarded(source, target):
    if kill and kill in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
artifacts.os.replace = guarded
cli.main()
"""


@pytest.mark.slow
def test_killed_with_sigkill_it_goes_on(planted, tmp_path):
    import os
    import signal
    import subprocess
    import sys
    import time

    from gelda import runs

    def call(home, place, out):
        return subprocess.run(
            [sys.executable, "-c", KILLER, "compare", *COMMAND, *FLAGS["zero-shot"], "--json", out],
            capture_output=True, text=True, cwd=tmp_path, timeout=300,
            env={**os.environ, "GELDA_HOME": str(tmp_path / home), "GELDA_TEST_KILL": place},
        )  # fmt: skip

    assert call("whole", "", "whole.json").returncode == 0
    places = ("select-0/layer-", "select-0/gelda-", "train-0/1-mean-shift", "train-1/0-gelda", "report.json")
    for place in (*places, ""):
        done = call("killed", place, "resumed.json")
        assert done.returncode == (-signal.SIGKILL if place else 0), (place, done.stdout, done.stderr)
        (run,) = (tmp_path / "killed" / "runs").iterdir()
        for name in ("run.json", "heartbeat"):
            if (run / name).exists():
                os.utime(run / name, (time.time() - 2 * runs.SILENCE,) * 2)
    assert figures(read_json(tmp_path / "resumed.json")) == figures(read_json(tmp_path / "whole.json"))
