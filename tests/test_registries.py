"""Contracts that every entry of every registry must keep: a new entry is tested by being there."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import planted_task, text_model
from scipy.special import log_softmax

from gelda import augmenters, datasets, encoders, losses, media, mixers, posts, recipes, sampler
from gelda.allocation import ALLOCATIONS, allocate
from gelda.augmenters import AUGMENTERS
from gelda.augmenters.base import Augmenter, Synthetic
from gelda.augmenters.diffusion import FORMS, Gelda
from gelda.datasets import DATASETS
from gelda.encoders import ENCODERS
from gelda.errors import UserError
from gelda.filters import FILTERS, keep
from gelda.losses import LOSSES
from gelda.mixers import MIXERS
from gelda.posts import POSTS
from gelda.recipes import RECIPES
from gelda.schedulers import SCHEDULERS
from gelda.semantics import SEMANTICS, SemanticInputs, check, resolve, vectors
from gelda.settings import GeneratorConfig, SamplingConfig

REGISTRIES = {
    "augmenters": AUGMENTERS,
    "losses": LOSSES,
    "mixers": MIXERS,
    "posts": POSTS,
    "recipes": RECIPES,
    "filters": FILTERS,
    "allocations": ALLOCATIONS,
    "semantics": SEMANTICS,
    "schedulers": SCHEDULERS,
    "datasets": DATASETS,
    "encoders": ENCODERS,
}


@pytest.mark.parametrize("registry", REGISTRIES)
def test_entries_are_frozen_and_say_what_they_are(registry):
    assert REGISTRIES[registry]
    titles = []
    for name, entry in REGISTRIES[registry].items():
        assert name == name.lower() and " " not in name
        assert entry.title and entry.note.endswith("."), f"{name} needs a title and a note that is a sentence"
        titles.append(entry.title)
        with pytest.raises(AttributeError, match="cannot assign"):
            entry.title = "changed"
    assert len(set(titles)) == len(titles)


HEAD = lambda z: torch.zeros(len(z), 3)  # noqa: E731
INPUTS = SemanticInputs(
    torch.randn(6, 4),
    torch.tensor([0, 0, 1, 1, 1, 3]),
    4,
    torch.randn(4, 2),
    names=("a", "b", "c", "d"),
    given=torch.randn(4, 5),
)


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda: augmenters.get("smot"),
            "no method called 'smot'. Did you mean 'smote'.*Valid names: adasyn, adv-style, ",
        ),
        (lambda: losses.get("logit-adjustement"), "no loss called .*Did you mean 'logit-adjustment'"),
        (lambda: mixers.get("mixap"), "no mixer .*Did you mean 'mixup'"),
        (lambda: posts.get("tau_norm"), "no decoupled head .*Did you mean 'tau-norm'"),
        (lambda: recipes.get("real_last"), "no recipe .*Did you mean 'real-last'"),
        (
            lambda: keep("confidense", Synthetic.none(2), planted_task(), HEAD, 1),
            "no filter .*Did you mean 'confidence'",
        ),
        (lambda: allocate("headclass", np.ones((2, 2), int)), "no allocation .*Did you mean 'head-class'"),
        (lambda: vectors("onehot", INPUTS), "no semantic source .*Did you mean 'one-hot'"),
        (lambda: sampler.solver_table("dddim"), "no scheduler .*Did you mean 'ddim'"),
        (lambda: datasets.get("digit"), "no dataset .*Did you mean 'digits'"),
        (lambda: encoders.get("mini-imge"), "no encoder .*Did you mean 'mini-image'"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_schedulers_name_classes_of_diffusers():
    import diffusers

    for name, spec in SCHEDULERS.items():
        assert hasattr(diffusers, spec.kind), name
        assert not spec.options.get("clip_sample", False), name
        assert spec.options.get("timestep_spacing", "linspace") != "leading", name
        assert spec.objective in ("diffusion", "flow") and spec.steps == tuple(sorted(spec.steps)), name


# -- augmenters ------------------------------------------------------------

GENERATOR = GeneratorConfig(steps=8, width=16, depth=1, condition_dim=8, batch_size=16)


def make(name: str, model=None) -> Augmenter:
    """An arm by its name; `gelda/FORM` is gelda in one of its forms."""
    method, _, form = name.partition("/")
    spec = augmenters.get(method)
    if spec.generative:
        setting = {"form": form} if form else {}
        return spec.build(GENERATOR, model=model, sampling=SamplingConfig(num_inference_steps=4), **setting)
    return spec.build()


def wanted(task, made, name: str) -> bool:
    """The allocation per cell where the method knows of subdomains, else per class."""
    if name == "mean-shift":
        real = np.zeros_like(task.allocation)
        np.add.at(real, (task.label.numpy(), task.subdomain.numpy()), 1)
        held = real > 0
        pair = (held[:, :, None] & held[:, None, :]).any(0) & ~np.eye(real.shape[1], dtype=bool)
        donor = (held[:, None, :] & pair[None]).any(2)  # some other subdomain has the class and a shift
        expected = np.where(donor, task.allocation, 0)
        counts = np.zeros_like(task.allocation)
        np.add.at(counts, (made.label.numpy(), made.subdomain.numpy()), 1)
        return (counts == expected).all()
    if (made.subdomain >= 0).all() and len(made):
        counts = np.zeros_like(task.allocation)
        np.add.at(counts, (made.label.numpy(), made.subdomain.numpy()), 1)
        return (counts == task.allocation).all()
    present = task.class_counts() > 0
    expected = np.where(present, task.allocation.sum(1), 0)
    return (np.bincount(made.label.numpy(), minlength=task.classes) == expected).all()


MAKERS = [
    *("smote", "borderline-smote", "adasyn", "class-gaussian", "residual-transfer"),
    *("distribution-calibration", "mean-shift", "gelda-paper", "gelda", "gelda-uncond", "gelda-shuffled"),
]
GENERATIVE = [name for name, spec in AUGMENTERS.items() if spec.generative]
FORMED = [f"{name}/{form}" for name in ("gelda", "gelda-uncond", "gelda-shuffled") for form in FORMS]
BORROWERS = ("residual-transfer", "distribution-calibration")  # they need the variation of another class
NAMES = (
    "ce class-balanced focal ldam balanced-softmax logit-adjustment tau-norm crt ncm oversampling smote "
    "borderline-smote adasyn mixup decoupled-mixup noise adv-style class-gaussian residual-transfer "
    "distribution-calibration isda mean-shift subdomain-norm gelda-paper gelda gelda-uncond gelda-shuffled"
).split()


def test_every_method_has_its_name_and_a_kind():
    assert set(NAMES) <= set(AUGMENTERS)
    assert {spec.kind for spec in AUGMENTERS.values()} == set(augmenters.KINDS)


@pytest.mark.parametrize("name", [n for n, spec in AUGMENTERS.items() if not spec.generative])
def test_every_setting_of_a_grid_builds_and_no_other_does(name):
    task, grid = planted_task(), make(name).grid
    assert 1 <= len(grid) <= 6 and all(set(setting) == set(grid[0]) for setting in grid)
    assert len({tuple(setting.items()) for setting in grid}) == len(grid)
    plans = [
        augmenters.get(name).build(**setting).plan(task).resolved("ce", 1.0).checked() for setting in grid
    ]
    assert plans[0] == make(name).plan(task).resolved("ce", 1.0).checked(), "the first setting is the default"
    for setting in grid:
        arm = augmenters.get(name).build(**setting)
        assert arm.weight == setting.get("weight", 1.0)
        numbers = {v for k, v in setting.items() if k != "weight"}
        if name not in MAKERS and name not in ("oversampling", "subdomain-norm"):
            plan = arm.plan(task)
            assert numbers <= {plan.strength, plan.deferred, plan.mix_strength, plan.post_strength}
    with pytest.raises(UserError, match="no setting.*'wieght'|no settings, so not 'wieght'"):
        augmenters.get(name).build(wieght=0.3)
    if grid[0]:
        key = next(iter(grid[0]))
        for bad in (float("nan"), "much", True):
            with pytest.raises(UserError, match=f"'{key}' must be a number"):
                augmenters.get(name).build(**{key: bad})
    if "weight" in grid[0]:
        assert {setting["weight"] for setting in grid} == {0.1, 0.3, 1.0}
        with pytest.raises(UserError, match="weight must be above 0"):
            augmenters.get(name).build(weight=0.0)
    else:
        assert name not in MAKERS


def test_logit_adjustment_takes_the_run_s_tau_unless_it_is_set():
    task = planted_task()
    assert make("logit-adjustment").plan(task).resolved("ce", 1.7).strength == 1.7
    assert augmenters.get("logit-adjustment").build(tau=0.5).plan(task).resolved("ce", 1.7).strength == 0.5
    for name in ("smote", "mixup", "oversampling"):
        plan = make(name).plan(task).resolved("logit-adjustment", 1.7)
        assert (plan.loss, plan.strength) == ("logit-adjustment", 1.7), "the run's loss"


def test_the_list_of_methods_that_make_latents_is_complete():
    for name in AUGMENTERS:
        assert (len(make(name).synthesise(planted_task())) > 0) == (name in MAKERS), name


@pytest.mark.parametrize("name", [*AUGMENTERS, *FORMED])
def test_synthetic_latents_have_the_right_form_and_number(name):
    task = planted_task()
    before = task.latents.clone()
    arm = make(name)
    made = arm.synthesise(task)
    assert made.latents.shape == (len(made), 6) and made.latents.dtype == torch.float32
    assert made.label.dtype == made.subdomain.dtype == torch.int64
    assert made.label.shape == made.subdomain.shape == (len(made),)
    assert torch.isfinite(made.latents).all() and made.latents.device.type == "cpu"
    assert torch.equal(task.latents, before), "the task's latents must not change"
    if name in MAKERS + FORMED:
        assert wanted(task, made, name)
        assert set(made.label.tolist()) <= {0, 1, 2}
    weight = arm.real_weight(task)
    assert weight.shape == (len(task.latents),) and (weight > 0).all() and torch.isfinite(weight).all()
    assert float(weight.mean()) == pytest.approx(1, abs=1e-4)
    assert arm.weight > 0
    plan = arm.plan(task)
    assert plan.loss is None or plan.loss in LOSSES
    assert plan.resolved("ce", 1.0).checked() == plan.resolved("ce", 1.0).checked().checked()
    transform = arm.transform(task)
    if transform is not None:
        moved = transform(task.latents, task.subdomain)
        assert moved.shape == task.latents.shape and moved.dtype == torch.float32
        assert torch.isfinite(moved).all() and torch.equal(task.latents, before)
        torch.testing.assert_close(transform(task.latents[3:5], task.subdomain[3:5]), moved[3:5])


@pytest.mark.parametrize("name", MAKERS + FORMED)
def test_the_same_seed_repeats_and_another_differs(name):
    task = planted_task()
    torch.manual_seed(1)
    np.random.seed(1)
    a = make(name).synthesise(task)
    torch.manual_seed(2)
    np.random.seed(2)
    b = make(name).synthesise(task)
    c = make(name).synthesise(replace(task, seed=5))
    assert torch.equal(a.latents, b.latents) and torch.equal(a.label, b.label)
    assert a.latents.shape == c.latents.shape and not torch.allclose(a.latents, c.latents)


@pytest.mark.parametrize("name", MAKERS + FORMED)
def test_classes_do_not_share_their_random_numbers(name):
    """Two classes of equal data must not get equal latents."""
    z = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    task = planted_task(np.array([[8, 2], [8, 2], [30, 1]]), np.array([[0, 20], [0, 20], [0, 0]]), dim=4)
    latents = task.latents.clone()
    latents[:10] = latents[10:20] = z
    made = make(name).synthesise(replace(task, latents=latents))
    assert not torch.allclose(made.latents[made.label == 0], made.latents[made.label == 1], atol=1e-3)


@pytest.mark.parametrize("name", GENERATIVE + FORMED)
def test_asking_for_more_of_a_cell_keeps_the_first_latents(name):
    task = planted_task()
    more = replace(task, allocation=task.allocation + np.array([[0, 3], [11, 0], [1, 40]]))
    model = make(name).train(task)
    few, many = make(name, model).synthesise(task), make(name, model).synthesise(more)
    for c in range(3):
        for s in range(2):
            first = few.latents[(few.label == c) & (few.subdomain == s)]
            longer = many.latents[(many.label == c) & (many.subdomain == s)]
            torch.testing.assert_close(longer[: len(first)], first, atol=1e-5, rtol=1e-5)
            assert len(longer) == more.allocation[c, s]


@pytest.mark.parametrize("transfer", [None, "kept", "unlabelled"])
@pytest.mark.parametrize("name", FORMED)
def test_one_latent_does_not_depend_on_the_others_asked_for(name, transfer):
    """One cell alone gives the latents that it gives among all cells: no batch, no order matters."""
    task = planted_task(np.array([[12, 6], [12, 5], [9, 4]]))
    if transfer:
        task = replace(task, target=1, kept=0 if transfer == "kept" else None)
    if transfer == "unlabelled":
        task = replace(task, unlabelled=(task.latents[:7] + 1, torch.ones(7, dtype=torch.int64)))
    model = make(name).train(task)
    everything = make(name, model).synthesise(task)
    for c, s in np.argwhere(task.allocation > 0):
        alone = np.zeros_like(task.allocation)
        alone[c, s] = task.allocation[c, s]
        made = make(name, model).synthesise(replace(task, allocation=alone))
        rows = (everything.label == c) & (everything.subdomain == s)
        torch.testing.assert_close(made.latents, everything.latents[rows], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", GENERATIVE)
def test_every_setting_of_a_generative_grid_builds(name):
    grid = make(name).grid
    assert 1 <= len(grid) <= 6 and all(set(setting) == set(grid[0]) for setting in grid)
    assert len({tuple(setting.items()) for setting in grid}) == len(grid)
    for setting in grid:
        arm = augmenters.get(name).build(GENERATOR, None, SamplingConfig(), **setting)
        assert arm.weight == setting["weight"] and arm.form == setting["form"] and arm.setting == setting
    if name == "gelda-paper":
        assert {s["form"] for s in grid} == {"plain"} and len({s["guidance"] for s in grid}) > 1
    with pytest.raises(UserError, match="no setting of .*'wieght'"):
        augmenters.get(name).build(GENERATOR, wieght=0.3)
    with pytest.raises(UserError, match="no form called 'residuals'. Did you mean 'residual'"):
        augmenters.get(name).build(GENERATOR, form="residuals")
    for bad in (0.0, -1.0, float("nan"), float("inf"), "much", True):
        with pytest.raises(UserError, match="'weight' must be a positive number"):
            augmenters.get(name).build(GENERATOR, weight=bad)


def test_forms_differ_from_one_another():
    task = planted_task()
    made = {
        form: make(f"gelda/{form}").synthesise(task).latents for form in ("plain", "residual", "translate")
    }
    for a, b in (("plain", "residual"), ("plain", "translate"), ("residual", "translate")):
        assert not torch.allclose(made[a], made[b], atol=0.05), (a, b)
    assert torch.equal(made["plain"], make("gelda/aligned").synthesise(task).latents)
    assert make("gelda/plain").transform(task) is None
    moved = make("gelda/aligned").transform(task)(task.latents, task.subdomain)
    torch.testing.assert_close(moved, make("subdomain-norm").transform(task)(task.latents, task.subdomain))


CASES = {
    "a class of one latent": (np.array([[20, 10], [8, 4], [1, 0]]), None),
    "every class of one latent": (np.ones((3, 1), int), np.full((3, 1), 4)),
    "a class of two latents": (np.array([[20, 10], [8, 4], [1, 1]]), None),
    "empty cells": (np.array([[20, 0], [0, 4], [3, 0]]), np.array([[0, 5], [6, 0], [8, 9]])),
    "a class without any latent": (np.array([[20, 10], [8, 4], [0, 0]]), None),
    "one class only": (np.array([[12, 3]]), np.array([[4, 6]])),
    "one cell only": (np.array([[12]]), np.array([[4]])),
    "nothing wanted": (None, np.zeros((3, 2), int)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [*AUGMENTERS, *FORMED])
def test_hard_tasks(name, case):
    task = planted_task(*CASES[case])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arm = make(name)
        made, weight, transform = arm.synthesise(task), arm.real_weight(task), arm.transform(task)
    assert torch.isfinite(made.latents).all() and torch.isfinite(weight).all()
    assert transform is None or torch.isfinite(transform(task.latents, task.subdomain)).all()
    assert made.latents.shape == (len(made), 6)
    if name not in MAKERS + FORMED or case == "nothing wanted":
        assert len(made) == 0
    elif name in BORROWERS and case in ("one class only", "one cell only", "every class of one latent"):
        assert len(made) == 0, "there is no other class's variation to borrow"
    elif name == "mean-shift" and case in ("one cell only", "every class of one latent"):
        assert len(made) == 0, "there is no other subdomain"
    else:
        assert wanted(task, made, name)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_rows_that_are_not_finite_are_refused_by_number(bad):
    task = planted_task()
    latents = task.latents.clone()
    latents[17, 2] = bad
    with pytest.raises(UserError, match="Training latent in row 17 holds NaN or infinity"):
        replace(task, latents=latents)
    with pytest.raises(UserError, match="Unlabelled latent in row 17 holds NaN or infinity"):
        replace(task, unlabelled=(latents, task.subdomain))


@pytest.mark.parametrize("change, words", [
    ({"latents": torch.zeros(0, 4)}, r"non-empty \[N, D\] table, not \(0, 4\)"),
    ({"latents": torch.zeros(5)}, r"non-empty \[N, D\] table, not \(5,\)"),
    ({"label": torch.zeros(3, dtype=torch.int64)}, "same number of rows"),
    ({"subdomain": torch.zeros(3, dtype=torch.int64)}, "same number of rows"),
    ({"group": torch.zeros(3, dtype=torch.int64)}, "groups must have the same number of rows"),
    ({"kept": 3}, "kept class has number 3, but there are only 3"),
    ({"target": -1}, "target subdomain has number -1"),
    ({"unlabelled": (torch.zeros(4, 5), torch.zeros(4))}, r"must be a \[M, 6\] table"),
    ({"unlabelled": (torch.zeros(4, 6), torch.zeros(3))}, r"\(4, 6\) with 3"),
])  # fmt: skip
def test_tables_that_do_not_fit_are_refused(change, words):
    with pytest.raises(UserError, match=words):
        replace(planted_task(), **change)


def test_oversampling_makes_every_class_count_the_same():
    task = planted_task()
    weight = make("oversampling").real_weight(task).numpy()
    sums = np.bincount(task.label.numpy(), weight)
    np.testing.assert_allclose(sums, len(weight) / 3, rtol=1e-5)


def test_smote_lies_between_latents_of_its_class():
    task = planted_task(np.array([[30], [2], [1]]), np.array([[0], [50], [4]]))
    made = make("smote").synthesise(task)
    a, b = task.latents[task.label == 1]
    mine = made.latents[made.label == 1]
    share = ((mine - a) @ (b - a)) / (b - a).square().sum()
    assert (share >= -1e-5).all() and (share <= 1 + 1e-5).all() and float(share.std()) > 0.1
    torch.testing.assert_close(mine, a + share[:, None] * (b - a), atol=1e-4, rtol=1e-4)
    lone = task.latents[task.label == 2]
    assert torch.equal(made.latents[made.label == 2], lone.expand(4, -1)), "one latent can only be repeated"


def test_residual_transfer_adds_another_class_s_residual_to_the_class_s_mean():
    task = planted_task()
    made = make("residual-transfer").synthesise(task)
    z, y = task.latents.numpy().astype(np.float64), task.label.numpy()
    means = np.stack([z[y == c].mean(0) for c in range(3)])
    n = np.bincount(y)[y]
    residual = (z - means[y]) * np.sqrt(n / (n - 1))[:, None]
    for latent, c in zip(made.latents.numpy(), made.label.numpy(), strict=True):
        distance = np.abs(latent - means[c] - residual).max(1)
        assert y[distance.argmin()] != c and distance.min() < 1e-4


def test_gelda_without_the_asked_attribute_table_says_so():
    with pytest.raises(UserError, match="no attribute table: choose 'one-hot' or 'mean'"):
        Gelda(GENERATOR.model_copy(update={"class_semantics": "attributes"})).train(
            replace(planted_task(), class_attributes=None)
        )


def test_gelda_balance_draws_by_class_size():
    from gelda.augmenters.conditioning import draw_weights

    task = planted_task()  # classes of 30, 12 and 3
    for balance, expected in ((0.0, [30, 12, 3]), (1.0, [1, 1, 1]), (0.5, [30**0.5, 12**0.5, 3**0.5])):
        sums = np.bincount(task.label.numpy(), draw_weights(task, balance).numpy())
        np.testing.assert_allclose(sums / sums.sum(), np.array(expected) / sum(expected), rtol=1e-4)


# -- filters ------------------------------------------------------------


def made_for_filters():
    task = planted_task()
    rng = torch.Generator().manual_seed(3)
    sizes = {(0, 0): 10, (0, 1): 7, (1, 0): 1, (2, 1): 20}
    label = torch.cat([torch.full((n,), c) for (c, _), n in sizes.items()])
    subdomain = torch.cat([torch.full((n,), s) for (_, s), n in sizes.items()])
    order = torch.randperm(len(label), generator=rng)
    made = Synthetic(3 * torch.randn(len(label), 6, generator=rng), label[order], subdomain[order])
    return task, made, sizes


def head(z: torch.Tensor) -> torch.Tensor:
    return z[:, :3] * 2


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("name", FILTERS)
def test_filters_keep_the_asked_share_of_each_cell(name, share):
    task, made, sizes = made_for_filters()
    kept = keep(name, made, task, head, share)
    assert kept.dtype == torch.bool and kept.shape == (len(made),)
    for (c, s), n in sizes.items():
        got = int(kept[(made.label == c) & (made.subdomain == s)].sum())
        assert got == (n if name == "none" else max(1, round(share * n)))


def test_filters_keep_the_best():
    task, made, _ = made_for_filters()
    probability = np.exp(log_softmax(head(made.latents).double().numpy(), axis=1))
    distance = np.linalg.norm(made.latents.numpy()[:, None] - task.latents.numpy()[None], axis=-1)
    distance = np.where(made.label.numpy()[:, None] == task.label.numpy()[None], distance, np.inf).min(1)
    scores = {
        "confidence": probability[np.arange(len(made)), made.label.numpy()],
        "neighbour": -distance,
    }
    assert set(scores) == set(FILTERS) - {"none"}
    for name, score in scores.items():
        kept = keep(name, made, task, head, 0.5).numpy()
        for c, s in {(int(c), int(s)) for c, s in zip(made.label, made.subdomain, strict=True)}:
            mine = (made.label.numpy() == c) & (made.subdomain.numpy() == s)
            if (mine & ~kept).any():
                assert score[mine & kept].min() >= score[mine & ~kept].max(), name


@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_nothing_keep_nothing_and_an_unknown_class_is_no_trouble(name):
    task, _, _ = made_for_filters()
    assert keep(name, Synthetic.none(6), task, head, 0.5).shape == (0,)
    unseen = planted_task(np.array([[9, 9], [9, 9], [0, 0]]))
    made = Synthetic(torch.randn(4, 6), torch.full((4,), 2), torch.zeros(4, dtype=torch.int64))
    assert int(keep(name, made, unseen, head, 0.5).sum()) == (4 if name == "none" else 2)


# -- allocations ------------------------------------------------------------

REAL = np.array([[30, 20, 10], [5, 0, 6], [0, 0, 1]])


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("name", ALLOCATIONS)
def test_allocations_are_whole_numbers_not_below_zero(name, factor):
    before = REAL.copy()
    made = allocate(name, REAL, factor)
    assert made.shape == REAL.shape and np.issubdtype(made.dtype, np.integer) and (made >= 0).all()
    np.testing.assert_array_equal(REAL, before)
    for c in range(3):
        for s in range(3):
            total = round(factor * 60)
            missing = max(0, total - REAL[c].sum())
            expected = {
                "head-cell": max(0, round(factor * 30) - REAL[c, s]),
                "head-class": missing // 3 + (s < missing % 3),
                "multiple": round(factor * REAL[c, s]),
                "empty-cells": round(factor * 30) if REAL[c, s] == 0 else 0,
            }[name]
            assert made[c, s] == expected, (c, s)


def test_head_class_fills_every_class_to_the_largest_exactly():
    np.testing.assert_array_equal((REAL + allocate("head-class", REAL)).sum(1), [60, 60, 60])


# -- semantics ------------------------------------------------------------


# Names that every source with names can place: emotions for VAD, languages for the typology.
SEMANTIC_NAMES = {"vad": ("happy", "sad", "angry", "neutral"), "typology": ("en", "de", "pl", "ja")}


@pytest.fixture
def source(request, tmp_path):
    """A source as a user writes it, and inputs that suit it."""
    name = request.param
    names = SEMANTIC_NAMES.get(name, ("dog", "cat", "ship", "truck"))
    argument = "" if SEMANTICS[name].optional else SEMANTICS[name].argument
    if name == "lang2vec":
        values = np.random.default_rng(0).random((4, 9, 1))
        names = ("en", "de", "pl", "xyz")
        np.savez(tmp_path / "l.npz", langs=np.array(["eng", "deu", "pol", "xyz"]), data=values, sources=["s"])
        name = f"{name}:{tmp_path / 'l.npz'}"
    elif argument == "PATH":
        (tmp_path / "mine.csv").write_text("".join(f"{n},{i},{i * i}.5\n" for i, n in enumerate(names)))
        name = f"{name}:{tmp_path / 'mine.csv'}"
    elif argument == "MODEL_FOLDER":
        name = f"{name}:{text_model(tmp_path / 'model')}"
    return name, replace(INPUTS, names=names)


@pytest.mark.parametrize("source", SEMANTICS, indirect=True)
def test_semantic_vectors_have_one_finite_row_a_name(source):
    name, inputs = source
    before = inputs.latents.clone()
    check(name, names=inputs.names)
    assert resolve(name, inputs) == name
    made = vectors(name, inputs)
    assert made.shape[0] == 4 and made.ndim == 2 and made.dtype == torch.float32
    assert torch.isfinite(made).all() and torch.equal(inputs.latents, before)
    assert torch.equal(made, vectors(name, inputs)), "a source gives the same vectors every time"
    assert torch.pdist(made).min() > 1e-4, "every one of these names has a vector of its own"


@pytest.mark.parametrize(
    "source", [n for n, s in SEMANTICS.items() if s.argument and not s.optional], indirect=True
)
def test_a_source_with_an_argument_asks_for_it(source):
    kind = source[0].split(":")[0]
    with pytest.raises(UserError, match=f"'{kind}' needs a {SEMANTICS[kind].argument}: write {kind}:"):
        check(kind)


@pytest.mark.parametrize("source", [n for n, s in SEMANTICS.items() if s.lookup], indirect=True)
def test_a_name_that_a_lookup_lacks_is_an_error_before_the_run(source):
    name, inputs = source
    names = (*inputs.names[:3], "quux")
    for call in (
        lambda: check(name, "subdomain", names),
        lambda: vectors(name, replace(inputs, names=names)),
    ):
        with pytest.raises(UserError, match="'quux'"):
            call()


def test_semantic_sources_by_hand():
    assert torch.equal(vectors("one-hot", INPUTS), torch.eye(4))
    assert torch.equal(vectors("attributes", INPUTS), INPUTS.attributes)
    z = INPUTS.latents.numpy()
    assert torch.equal(vectors("given", INPUTS), INPUTS.given)
    expected = np.stack([z[:2].mean(0), z[2:5].mean(0), z.mean(0), z[5]])  # id 2 has no training row
    np.testing.assert_allclose(vectors("mean", INPUTS).numpy(), expected, atol=1e-6)


def test_an_attribute_table_of_another_length_is_refused():
    with pytest.raises(UserError, match="attribute table has 4 rows where there are 5 names"):
        vectors("attributes", replace(INPUTS, count=5, names=None))


# -- datasets and encoders ------------------------------------------------------------


def same_item(one, other):
    """Drawn pictures or clips that hold the same numbers."""
    if isinstance(one, media.Clip):
        assert one.rate == other.rate
        one, other = one.samples, other.samples
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", DATASETS)
def test_datasets_list_and_read_their_items(name):
    spec = datasets.get(name)
    manifest = spec.manifest()
    assert manifest.dataset == name and len(manifest) > 0
    assert manifest.key() == spec.manifest().key(), "a manifest is the same every time"
    gamma, kappa = spec.class_attributes(), spec.subdomain_attributes()
    assert gamma.ndim == kappa.ndim == 2 and np.isfinite(gamma).all() and np.isfinite(kappa).all()
    assert len(gamma) == len(manifest.class_names) and len(kappa) == len(manifest.subdomain_names)
    assert len(np.unique(gamma, axis=0)) == len(gamma), "two classes with one vector cannot be told apart"
    uris = list(manifest.table["uri"])[::997]
    items = spec.read(uris)
    values = [item.samples if spec.media == "audio" else item for item in items]
    assert len(items) == len(uris)
    assert all(v.dtype == np.float32 and v.ndim == (1 if spec.media == "audio" else 3) for v in values)
    assert all((-1 if spec.media == "audio" else 0) <= v.min() and v.max() <= 1 for v in values)
    for item, other in zip(items, spec.read(uris[::-1])[::-1], strict=True):
        same_item(item, other)
    cells = manifest.table.groupby(["label", "subdomain"]).size()
    assert len(cells) == len(gamma) * len(kappa) and cells.min() > 0


@pytest.mark.parametrize("name", DATASETS)
def test_an_item_of_a_dataset_is_decoded_as_it_is_read(name):
    uris = list(datasets.get(name).manifest().table["uri"].iloc[[3, 50]])
    spec = datasets.get(name)
    decode = datasets.source_decoder(spec.media, "")
    for uri, item in zip(uris, spec.read(uris), strict=True):
        same_item(decode(uri), item)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_have_a_revision_that_stays(name):
    spec = encoders.get(name)
    assert spec.revision() == spec.revision() and spec.revision()


@pytest.mark.parametrize("name", [n for n, spec in ENCODERS.items() if spec.trainable])
def test_what_is_trained_inside_an_encoder_is_what_it_encodes(name):
    encoder, points = encoders.get(name).load(), datasets.get("digits").manifest().table.iloc[:6]
    images = torch.from_numpy(datasets.get("digits").read(list(points["uri"])))
    assert isinstance(encoder.network, torch.nn.Module)
    assert not any(p.requires_grad for p in encoder.network.parameters()), "it comes frozen"
    pooled = encoder.pooled(images.requires_grad_())
    assert list(pooled) == list(encoder.layers)
    for layer, latents in encoder.encode(images).items():
        assert pooled[layer].requires_grad and torch.equal(pooled[layer].detach(), latents)
