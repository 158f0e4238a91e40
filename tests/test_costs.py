"""What a run would take: scaled from what was measured, and by nothing else."""

import platform

import app_fixtures as fixtures
import pytest

from gelda import costs, runs
from gelda.config import PRESETS, resolve_config
from gelda.runs import STAGES


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    return tmp_path


def base(**seconds):
    config = resolve_config(preset="digits")
    return costs.Measured("r0", "base", True, config, {**dict.fromkeys(STAGES, 10.0), **seconds})


def total(config, known):
    return sum(value for value, _ in costs.seconds(config, known).values())


def test_the_same_settings_take_the_same_time():
    known = [base(generate=70.0)]
    found = costs.seconds(resolve_config(preset="digits"), known)
    assert {stage: value for stage, (value, _) in found.items()} == known[0].seconds


@pytest.mark.parametrize("changes, stage, factor", [
    ({"seeds": 10}, "generate", 2),
    ({"generator": {"steps": 250}}, "generate", 0.5),
    ({"generator": {"width": 512}}, "generate", 4),
    ({"sampling": {"num_inference_steps": 40}}, "sample", 2),
    ({"adapter": {"tune_steps": 300}}, "finetune", 2),
    ({"methods": ("ce", "gelda")}, "finetune", 2 / 7),
    ({"methods": ("ce",)}, "generate", 0),
    ({"seeds": 10}, "extract", 1),
    ({"seeds": 10}, "project", 1),
])  # fmt: skip
def test_stages_grow_with_what_they_do(changes, stage, factor):
    found = costs.seconds(resolve_config(changes), [base()])
    assert found[stage][0] == pytest.approx(10 * factor)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_a_cost(preset):
    config = resolve_config(preset=preset)
    assert total(config, [base()]) > 0 and 1e6 < costs.disk(config) < 1e9


def test_larger_runs_take_more_disk():
    small, large = (resolve_config({"seeds": n, "generator": {"width": n * 64}}) for n in (2, 8))
    assert costs.disk(small) < costs.disk(large)


def test_latents_that_are_there_are_not_encoded_again(workspace):
    config = resolve_config()
    assert costs.seconds(config, [base()])["extract"][0] == 10
    folder = workspace / "banks" / "digits-mini-image-abc"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    assert costs.seconds(config, [base()])["extract"][0] == 0


def test_runs_of_this_machine_go_first_and_give_what_they_computed(workspace):
    path = fixtures.make_run(workspace)
    state = runs.read_state(path)
    assert [m.run for m in costs.measured()] == [], "where it ran is not known"
    state.host = platform.node()
    state.stages[0].state = "reused"
    runs.save_state(state)
    (own,) = costs.measured()
    assert own.run == state.id and "extract" not in own.seconds and own.seconds["adapt"] == 4.0
    found = costs.seconds(own.config, [own, base()])
    assert found["extract"][1].run == "r0" and found["adapt"][1].run == own.run


def test_nothing_measured_gives_nothing():
    assert costs.seconds(resolve_config(), []) == {}


def test_a_stage_rests_on_the_run_that_did_most_nearly_as_much():
    tiny = costs.Measured("tiny", "tiny", False, resolve_config(preset="tiny"), dict.fromkeys(STAGES, 1.0))
    known = [tiny, base()]

    def rests_on(config):
        return {stage: own.run for stage, (_, own) in costs.seconds(config, known).items()}

    assert set(rests_on(resolve_config(preset="tiny")).values()) == {"tiny"}
    assert rests_on(resolve_config())["generate"] == "r0", "3 200 times the work of the tiny one"
    assert rests_on(resolve_config({"seeds": 3}, "tiny"))["generate"] == "tiny"
    assert total(resolve_config(), known) < 100
