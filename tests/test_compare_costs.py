"""What a comparison takes: it grows with what is trained, and this machine's own pace corrects it."""

import platform

import app_fixtures as fixtures
import pytest

from gelda import compare_costs, runs
from gelda.arm_progress import ArmProgress
from gelda.augmenters import AUGMENTERS
from gelda.compare_config import COMPARE_PRESETS, resolve_compare

LAYERS = {"low": 192, "pool": 1280}


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    return tmp_path


def config(preset="default", **changes):
    return resolve_compare({"bank": "x", **changes}, preset)


def total(settings, subdomains=4):
    return sum(compare_costs.modelled(settings, subdomains, LAYERS).values())


@pytest.mark.parametrize("preset", COMPARE_PRESETS)
@pytest.mark.parametrize("protocol", [{}, {"protocol": "zero-shot", "target": "a", "keep": "b"}])
def test_every_preset_has_a_cost(preset, protocol):
    settings = config(preset, **protocol)
    assert 1 < total(settings) < 1e5
    assert 1e6 < compare_costs.disk(settings, 10_000, LAYERS) < 1e9


@pytest.mark.parametrize("changes", [
    {"seeds": 10},
    {"generator": {"steps": 5000}},
    {"generator": {"width": 1024}},
    {"adapter": {"tune_steps": 1500}},
    {"adapter": {"hidden": (1024,)}},
])  # fmt: skip
def test_more_work_takes_longer(changes):
    assert total(config(**changes)) > 1.2 * total(config())


def test_fewer_arms_and_no_generator_take_less():
    losses = tuple(m for m in AUGMENTERS if not AUGMENTERS[m].generative)
    assert total(config(methods=losses)) < total(config())
    assert compare_costs.trainings(config(methods=losses), 4, 2)["train"][1] == 0


def test_the_reference_row_takes_its_twelve_minutes():
    """PACS in full, 9 to 16 minutes on one core (benchmarks/LOG.md)."""
    parts = compare_costs.modelled(config(), 4, {"b6_expand": 192, "b13_expand": 576, "pool": 1280})
    assert 540 < sum(parts.values()) < 960


def finished(home, run_id, factor, fresh=True, host=None, **changes):
    """A comparison that took so many times what the model says."""
    path = fixtures.make_comparison(home, run_id, **changes)
    state, settings = runs.read_state(path), resolve_compare(runs.read_spec(path))
    model = compare_costs.modelled(settings, 4, LAYERS)
    ArmProgress(("ce",), (), 1, 1, fresh, model).write(path)
    state.host = host or platform.node()
    for stage in state.stages:
        stage.seconds = factor * model.get(stage.name, 0)
    runs.save_state(state)
    return path


def test_a_comparison_that_finished_here_says_how_fast_this_machine_is(workspace):
    assert compare_costs.estimate(config(), 4, LAYERS).run == ""
    finished(workspace, "compare-a", 3.0)
    found = compare_costs.estimate(config(), 4, LAYERS)
    assert found.run == "compare-a" and found.seconds == pytest.approx(3 * total(config()))


def test_one_that_went_on_from_before_or_elsewhere_says_nothing(workspace):
    finished(workspace, "compare-resumed", 0.1, fresh=False)
    finished(workspace, "compare-elsewhere", 0.1, host="another")
    assert compare_costs.estimate(config(), 4, LAYERS) == compare_costs.Estimate(total(config()))


def test_it_rests_on_the_one_that_did_most_nearly_as_much(workspace):
    finished(workspace, "compare-small", 9.0)
    finished(workspace, "compare-large", 2.0, adapter={"tune_steps": 150}, generator={"steps": 500}, seeds=20)
    assert compare_costs.estimate(config(), 4, LAYERS).run == "compare-large"
    assert compare_costs.estimate(config("tiny", seeds=5), 4, LAYERS).run == "compare-small"


def test_what_goes_on_is_reckoned_at_its_own_pace(workspace):
    path = fixtures.make_comparison(workspace, status="running")
    state = runs.read_state(path)
    assert compare_costs.remaining(state) is None, "no stage goes on"
    ArmProgress(("ce",), (), 1, 1, True, {"select": 10.0, "train": 30.0}).write(path)
    select, train = state.stages[:2]
    select.state, select.seconds, select.remaining = "running", 15.0, 5.0
    assert compare_costs.remaining(state) == 5.0 + 2 * 30.0, "twice as long as modelled so far"
    select.state, train.state, train.remaining = "done", "running", 7.0
    assert compare_costs.remaining(state) == 7.0
