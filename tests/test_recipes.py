"""Recipes: who is drawn when, with which class counts; copies stay independent; joint stays what it was."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import PLANTED_DATASET, PLANTED_ENCODER, planted_task

from gelda import recipes, runs
from gelda.adapter import Adapter, HeadData, HeadPlan
from gelda.artifacts import read_tensors
from gelda.augmenters import get as augmenter
from gelda.augmenters.base import Augmenter, Synthetic
from gelda.augmenters.diffusion import Gelda
from gelda.augmenters.starts import own_or_transported
from gelda.config import resolve_config
from gelda.datasets import DATASETS
from gelda.encoders import ENCODERS
from gelda.errors import UserError
from gelda.filters import keep
from gelda.finetune import head_data
from gelda.heads import _Group, fit
from gelda.pipeline import Pipeline, execute
from gelda.pool import Pool, draws
from gelda.recipes import LEVELS, RECIPES
from gelda.settings import GeneratorConfig, SamplingConfig

SETTINGS = dict(steps=20, batch_size=32, learning_rate=5e-3, weight_decay=0.05, dropout=0.2)
REAL, WEIGHT = (40, 12, 4), 0.5
STEPS, BATCH = 200, 64


def data(levels: int = 1, seed: int = 0, made=(0, 20, 30)) -> HeadData:
    """40, 12 and 4 real items of three classes; 0, 20 and 30 synthetic ones at every level, weight 0.5."""
    rng = torch.Generator().manual_seed(seed)
    real = torch.repeat_interleave(torch.arange(3), torch.tensor(REAL))
    one = torch.repeat_interleave(torch.arange(3), torch.tensor(made))
    label = torch.cat([real, one.repeat(levels)])
    level = torch.cat([torch.zeros_like(real), torch.arange(1, levels + 1).repeat_interleave(len(one))])
    weight = torch.where(level == 0, 1.0, WEIGHT / levels)
    z = torch.randn(len(label), 6, generator=rng) + 2 * torch.eye(3, 6)[label]
    return HeadData(z, label, weight, torch.zeros_like(label), level)


def table(name, d, strength=None, steps=STEPS):
    return recipes.timetable(name, strength, steps, d.weight, d.label, d.level)


def drawn(d, found, steps=STEPS):
    """Row numbers [steps, B] of one head."""
    return draws([found], steps, BATCH, 3)[:, 0]


# -- who is drawn when -----------------------------------------------------------------------


def test_joint_is_one_table_drawn_as_ever():
    d = data()
    found = table("joint", d)
    assert len(found) == 1 and found[0][0] == 0 and found[0][1] is d.weight
    # inverse sampling of the cumulative weights, written anew: to the bit
    from gelda.seeds import generator

    uniform = torch.rand(STEPS, BATCH, generator=generator(3, "head-draws"), dtype=torch.float64).numpy()
    edges = np.cumsum(d.weight.double().numpy())
    np.testing.assert_array_equal(drawn(d, found), np.searchsorted(edges, uniform * edges[-1]))


def test_joint_trains_what_a_head_without_a_recipe_trains():
    d = data()
    plans = [HeadPlan("logit-adjustment", recipe=r) for r in (None, "joint")]
    blind = replace(d, level=None)
    alone = fit(Adapter((6, 5), 3), [blind], [HeadPlan("logit-adjustment")], **SETTINGS)
    for plan in plans:
        again = fit(Adapter((6, 5), 3), [d], [plan], **SETTINGS)
        assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_synthetic_first_then_real_alone(share):
    d = data()
    rows = drawn(d, table("synthetic-first", d, share))
    split = round(share * STEPS)
    level, label = d.level[rows], d.label[rows]
    first, second = slice(0, split), slice(split, STEPS)
    assert (level[second] == 0).all()
    # class 0 has no synthetic latent: its real ones stay, those of the others do not
    assert ((level[first] == 0) == (label[first] == 0)).all()
    counts = np.bincount(label[first].ravel(), minlength=3) / label[first].numel()
    np.testing.assert_allclose(counts, np.array([40, 10, 15]) / 65, atol=0.02)


def test_real_last_is_joint_until_its_last_share():
    d = data()
    found = table("real-last", d, 0.4)
    assert [first for first, _ in found] == [0, 120] and found[0][1] is d.weight
    rows = drawn(d, found)
    assert torch.equal(rows[:120], drawn(d, table("joint", d))[:120])
    assert (d.level[rows[120:]] == 0).all() and (d.level[rows[:120]] > 0).any()


def test_a_curriculum_draws_one_level_at_a_time_and_each_counts_in_full():
    d = data(LEVELS)
    found = table("curriculum", d)
    rows = drawn(d, found)
    for k, part in enumerate(d.level[rows].split(STEPS // LEVELS)):
        assert set(part.unique().tolist()) == {0, k + 1}
        share = float((part > 0).float().mean())
        assert share == pytest.approx(25 / (56 + 25), abs=0.03), "50 latents of weight 0.5 beside 56 real"


def test_without_levels_a_curriculum_fades_the_weight():
    d = data()
    for k, (first, weight) in enumerate(table("curriculum", d)):
        assert first == k * STEPS // LEVELS
        torch.testing.assert_close(weight[d.level == 0], d.weight[d.level == 0])
        assert weight[d.level > 0].unique().tolist() == pytest.approx([WEIGHT * (1, 0.75, 0.5, 0.25)[k]])


@pytest.mark.parametrize("name", RECIPES)
def test_heads_without_synthetic_latents_have_nothing_to_schedule(name):
    d = data(made=(0, 0, 0))
    assert table(name, d) == [(0, d.weight)] and table(name, replace(d, level=None))[0][1] is d.weight


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_phases_cover_few_steps_too(name, steps):
    d = data()
    found = table(name, d, steps=steps)
    starts = [first for first, _ in found]
    assert starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] < steps
    assert all(float(weight.sum()) > 0 for _, weight in found)
    assert drawn(d, found, steps).shape == (steps, BATCH)


# -- class counts ----------------------------------------------------------------------------


def counts_at(name, d, step, strength=None):
    """Effective counts [C] that a logit-adjusted head goes by at a step, through `fit`'s own objects."""
    pool = Pool([d], 3, torch.device("cpu"), [table(name, d, strength)])
    plan = HeadPlan("logit-adjustment", 1.0).checked()
    group = _Group(Adapter((6, 5), 3), pool, [plan], [0], 0)
    for k in range(step + 1):
        if pool.enter(k):
            group.recount(pool)
    return group.counts[0, 0].tolist()


@pytest.mark.parametrize("name, step, expected", [
    ("joint", 0, [40, 22, 19]),
    ("joint", 199, [40, 22, 19]),
    ("synthetic-first", 0, [40, 10, 15]),
    ("synthetic-first", 99, [40, 10, 15]),
    ("synthetic-first", 100, [40, 12, 4]),
    ("real-last", 149, [40, 22, 19]),
    ("real-last", 150, [40, 12, 4]),
])  # fmt: skip
def test_logit_adjustment_goes_by_the_counts_of_the_phase(name, step, expected):
    assert counts_at(name, data(), step) == pytest.approx(expected)


def test_counts_of_a_curriculum():
    faded = [[40, 12 + 10 * f, 4 + 15 * f] for f in (1, 0.75, 0.5, 0.25)]
    for k in range(LEVELS):
        assert counts_at("curriculum", data(LEVELS), 50 * k) == pytest.approx([40, 22, 19])
        assert counts_at("curriculum", data(), 50 * k) == pytest.approx(faded[k])


def test_a_blind_head_learns_the_prior_that_its_last_phase_leaves():
    """Latents that say nothing: trained with τ = 0 a head ends at the frequencies of what it drew last, and
    with τ = 1 at none at all, in every recipe: the counts followed the draws."""
    d = data()
    blind = HeadData(torch.zeros(len(d.label), 2), d.label, d.weight, None, d.level)
    names = ("joint", "synthetic-first", "real-last")
    plans = [HeadPlan("logit-adjustment", tau, recipe=name) for tau in (0.0, 1.0) for name in names]
    settings = dict(steps=900, batch_size=256, learning_rate=0.05, weight_decay=0.0, dropout=0.0)
    heads = fit(Adapter((2,), 3, len(plans)), [blind] * len(plans), plans, **settings)
    p = heads.run(torch.zeros(1, 2)).softmax(-1)[:, 0].numpy()
    np.testing.assert_allclose(p[0], np.array([40, 22, 19]) / 81, atol=0.03)
    for k in (1, 2):
        np.testing.assert_allclose(p[k], np.array([40, 12, 4]) / 56, atol=0.03)
    np.testing.assert_allclose(p[3:], 1 / 3, atol=0.03)


# -- copies side by side ---------------------------------------------------------------------


def test_no_copy_depends_on_the_recipe_of_its_neighbours():
    sets = [data(LEVELS), data(1, 1), data(LEVELS, 2, (5, 5, 5)), data(1, 3)]
    plans = [HeadPlan(loss, recipe=name) for name in RECIPES for loss in ("logit-adjustment", "ldam")]
    plans = [replace(p, deferred=0.3) if p.loss == "ldam" else p for p in plans]
    pairs = [(d, plan) for plan in plans for d in sets]
    both = fit(Adapter((6, 5), 3, len(pairs), seed=4), *map(list, zip(*pairs, strict=True)), **SETTINGS)
    for k, (d, plan) in enumerate(pairs):
        alone = fit(Adapter((6, 5), 3, 1, seed=4), [d], [plan], **SETTINGS)
        for a, b in zip(both.gather([k]).parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=5e-4, rtol=2e-3)
    logits = [both.run(data(seed=9).latents)[4 * k] for k in range(len(plans))]
    for i in range(0, len(plans), 2):
        for j in range(i):
            assert not torch.allclose(logits[i], logits[j], atol=1e-3), (plans[i], plans[j])


# -- what makers hand over -------------------------------------------------------------------

GENERATOR = GeneratorConfig(steps=8, width=16, depth=1, condition_dim=8, batch_size=16)


def gelda(recipe="curriculum", strength=None, form="plain", **generator):
    sampling = SamplingConfig(num_inference_steps=8, recipe=recipe, recipe_strength=strength)
    return Gelda(GENERATOR.model_copy(update=generator), sampling=sampling, form=form)


@pytest.mark.parametrize("form", ["plain", "residual", "translate", "aligned"])
def test_a_generator_makes_every_cell_at_every_level(form):
    task = planted_task()
    made = gelda(form=form).synthesise(task)
    for k in range(1, LEVELS + 1):
        cells = np.zeros_like(task.allocation)
        one = made.select(made.level == k)
        np.add.at(cells, (one.label.numpy(), one.subdomain.numpy()), 1)
        np.testing.assert_array_equal(cells, task.allocation)
    assert made.level.max() == LEVELS and torch.isfinite(made.latents).all()
    assert gelda("joint", form=form).synthesise(task).level is None


@pytest.mark.parametrize("form", ["plain", "residual"])
def test_less_noise_comes_nearer_to_the_real_starts(form):
    task = planted_task()
    made = gelda(form=form).synthesise(task)
    first = made.select(made.level == 1)
    start = own_or_transported(task, first.label, first.subdomain)
    away = [float((made.latents[made.level == k] - start).norm(dim=1).mean()) for k in range(1, LEVELS + 1)]
    assert away == sorted(away, reverse=True) and away[-1] < 0.6 * away[0]


def test_the_strength_is_the_first_noise():
    task = planted_task()
    weak, strong = gelda(strength=0.25).synthesise(task), gelda().synthesise(task)
    assert recipes.noise_levels("curriculum", 0.25) == pytest.approx((0.25, 0.1875, 0.125, 0.0625))
    level = strong.level
    torch.testing.assert_close(weak.latents[weak.level == 1], strong.latents[level == LEVELS])


def test_starts_are_real_latents_of_the_cell_where_it_has_any():
    task = planted_task()  # cell (2, 1) is empty
    label, subdomain = torch.tensor([0, 1, 2, 2]), torch.tensor([1, 0, 0, 1])
    found = own_or_transported(task, label, subdomain)
    for k in range(3):
        rows = (task.label == label[k]) & (task.subdomain == subdomain[k])
        assert (task.latents[rows] == found[k]).all(1).any()
    assert not (task.latents == found[3]).all(1).any() and torch.isfinite(found[3]).all()


def test_a_flow_can_start_from_real_latents_too():
    made = Gelda(
        GENERATOR.model_copy(update={"prediction_type": "flow"}),
        sampling=SamplingConfig(num_inference_steps=8, scheduler="flow-euler", recipe="curriculum"),
    ).synthesise(planted_task())
    assert made.level.max() == LEVELS and torch.isfinite(made.latents).all()


def test_levels_share_the_weight_and_reach_the_head():
    task = planted_task()
    arm = gelda()
    made = arm.synthesise(task)
    d = head_data(task, arm, made)
    made_rows = d.level > 0
    assert d.level.tolist() == [0] * len(task.label) + made.level.tolist()
    assert float(d.weight[made_rows].sum()) == pytest.approx(arm.weight * task.allocation.sum())
    plain = head_data(task, Augmenter(), Synthetic.none(6))
    assert not plain.level.any() and torch.equal(plain.weight, torch.ones(len(task.label)))
    smote = augmenter("smote").build()
    assert head_data(task, smote, smote.synthesise(task)).level.max() == 1


def test_a_filter_keeps_its_share_of_every_level():
    task = planted_task()
    made = gelda().synthesise(task)
    kept = keep("neighbour", made, task, lambda z: z, 0.5)
    for k in range(1, LEVELS + 1):
        assert 0.4 < float(kept[made.level == k].float().mean()) < 0.65


def test_a_generative_arm_follows_its_own_sampling_and_others_the_run():
    task = planted_task()
    assert gelda("real-last", 0.1).plan(task).resolved("ce", 1.0, "joint").recipe == "real-last"
    own = gelda("real-last", 0.1).plan(task).resolved("ce", 1.0, "curriculum", 0.5)
    assert own.recipe_strength == 0.1
    plan = Augmenter().plan(task).resolved("ce", 1.0, "synthetic-first", 0.4)
    assert (plan.recipe, plan.recipe_strength) == ("synthetic-first", 0.4)


def test_a_whole_run_by_a_curriculum_and_its_resumption(monkeypatch):
    """Levels are kept on disk: a resumed run trains heads on what the first one trained them on."""
    settings = resolve_config(
        {
            "seeds": 1,
            "device": "cpu",
            "data": {"dataset": "planted", "empty_subdomains": ["shifted"], "imbalance": 6},
            "encoder": {"name": "planted"},
            "methods": ["ce", "smote", "gelda"],
            "sampling": {"num_inference_steps": 8, "recipe": "curriculum", "filter": "neighbour"},
        },
        "tiny",
    )
    monkeypatch.setitem(DATASETS, "planted", PLANTED_DATASET)
    monkeypatch.setitem(ENCODERS, "planted", PLANTED_ENCODER)
    monkeypatch.setattr(Pipeline, "_project", lambda *_: None)
    state = runs.create_run(settings.model_dump(mode="json"), "planted", "planted", "by-recipe")
    first = execute(settings, state)
    (made,) = state.path.glob("stages/sample-*/gelda.safetensors")
    saved = read_tensors(made)
    assert set(saved["level"].tolist()) == set(range(1, LEVELS + 1))
    for file in state.path.glob("stages/finetune-*/*"):
        file.unlink()
    state = runs.create_run(settings.model_dump(mode="json"), "planted", "planted", "again")
    shutil.rmtree(state.path / "stages", ignore_errors=True)
    shutil.copytree(runs.home() / "runs" / "by-recipe" / "stages", state.path / "stages")
    again = execute(settings, state)
    assert json.dumps(first["methods"]) == json.dumps(again["methods"])
    assert [s.state for s in state.stages if s.name == "sample"] == ["reused"]


@pytest.mark.parametrize("name, value, words", [
    ("joint", 0.5, "'joint' has no strength to set"),
    ("synthetic-first", 1.0, "is 1: it must be above 0 and below 1"),
    ("real-last", 0.0, "is 0: it must be above 0 and below 1"),
    ("curriculum", 1.5, "is 1.5: it must be above 0 and at most 1"),
    ("curriculum", float("nan"), "is nan"),
    ("real-first", None, "no recipe called 'real-first'. Did you mean 'real-last'"),
])  # fmt: skip
def test_wrong_recipes_are_sentences(name, value, words):
    with pytest.raises(UserError, match=words):
        fit(Adapter((6, 5), 3), [data()], [HeadPlan("ce", recipe=name, recipe_strength=value)], **SETTINGS)
