"""`gelda ablate` on planted data: killed at any place it goes on; what is common is computed once."""

import json
import signal

import pytest
from conftest import PLANTED_DATASET, PLANTED_ENCODER
from test_kill import SPEC, let_time_pass, only_run, whole
from test_kill import gelda as process

from gelda import ablation, datasets, encoders, grids, recording, runs
from gelda.artifacts import write_json
from gelda.config import resolve_config
from gelda.errors import RunFailed, UserError
from gelda.pipeline import Pipeline
from gelda.study_result import read_result

SHARED = {k: v for k, v in SPEC.items() if k != "name"} | {
    "sampling": {"num_inference_steps": 10},
    "generator": {**SPEC["generator"], "steps": 20},
    "adapter": {**SPEC["adapter"], "steps": 10, "tune_steps": 10, "fm_layer": "deep"},
}
GRID = {
    "title": "Small grid",
    "factors": {"sampling.weight": [0.1, 1], "generator.learned_residual": [True, False]},
    "config": SHARED,
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(datasets.DATASETS, "planted", PLANTED_DATASET)
    monkeypatch.setitem(encoders.ENCODERS, "planted", PLANTED_ENCODER)
    study, shared = grids.from_spec(GRID, "grid.json")
    return study, resolve_config(shared)


def run(study, base):
    state, done = ablation.prepared(study, base)
    assert not done
    return ablation.execute(study, base, state), state


def figures(value: dict) -> dict:
    return {c["name"]: {m: f["mean"] for m, f in c["figures"].items()} for c in value["cells"]}


def test_a_study_shares_what_its_settings_have_in_common_and_is_found_again(planted):
    study, base = planted
    value, state = run(study, base)
    assert [c["state"] for c in value["cells"]] == ["done"] * 5 and state.status == "done"
    stages = [p.name.rsplit("-", 2)[0] for p in (state.path / "stages").iterdir()]
    # two seeds: one adapter each, one generator for each of the two residual settings
    assert stages.count("adapt") == 2 and stages.count("generate") == 4
    assert len(value["effects"]) == 3 and read_result(state.path)["headline"] == state.headline
    assert json.loads((state.path / "study.json").read_text())["items"] == "dev"
    _, done = ablation.prepared(study, base)
    assert done
    # more seeds go on in the same folder and keep what is there
    more = base.model_copy(update={"seeds": 3})
    kept = whole(state.path)
    second, found = run(study, more)
    assert found.id == state.id and second["seeds"] == [0, 1, 2]
    assert all(whole(state.path)[file] == stamp for file, stamp in kept.items())
    for name, own in figures(value).items():
        first_two = next(c for c in second["cells"] if c["name"] == name)["figures"]["overall"]["seeds"][:2]
        assert sum(first_two) / 2 == pytest.approx(own["overall"])


def test_figures_are_of_dev_items_alone(planted, monkeypatch):
    """What heads say of test items is spoilt: nothing of the study changes; of dev items: all of it does."""
    study, base = planted
    wanted, state = run(study, base)
    finetuned = Pipeline._finetune

    def spoilt(self, seed, adapted, *rest):
        heads = finetuned(self, seed, adapted, *rest)
        heads["arrays"][part] = heads["arrays"][part].roll(1, -1)
        return heads

    part = "test"
    monkeypatch.setattr(Pipeline, "_finetune", spoilt)
    assert figures(ablation.execute(study, base, state)) == figures(wanted)
    part = "dev"
    assert figures(ablation.execute(study, base, state)) != figures(wanted)


def test_a_setting_that_fails_is_a_sentence_and_the_others_go_on(planted, monkeypatch):
    study, base = planted
    sampled = Pipeline._sample

    def failing(self, *rest):
        if self.config.sampling.weight == 1 and self.config.generator.learned_residual:
            raise UserError("The disk is full.")
        return sampled(self, *rest)

    monkeypatch.setattr(Pipeline, "_sample", failing)
    value, state = run(study, base)
    (failed,) = [c for c in value["cells"] if c["state"] == "failed"]
    assert failed["error"] == "The disk is full." and value["effects"] == []
    assert sum("figures" in c for c in value["cells"]) == 4
    assert runs.read_state(state.path).status == "failed" and "1 of 5 settings failed" in state.error
    with pytest.raises(RunFailed, match="The disk is full"):
        ablation.raise_failures(value)
    monkeypatch.setattr(Pipeline, "_sample", sampled)
    again, _ = run(study, base)
    assert [c["state"] for c in again["cells"]] == ["done"] * 5


def test_cancelled_it_stops_and_goes_on(planted, monkeypatch):
    study, base = planted
    state, _ = ablation.prepared(study, base)

    def listener(current):
        if current.stages[2].state == "running":
            (current.path / "cancel").touch()

    with pytest.raises(recording.Cancelled):
        ablation.execute(study, base, state, listener)
    assert runs.read_state(state.path).status == "cancelled"
    cells = read_result(state.path)["cells"]
    assert [c["state"] for c in cells] == ["done", "done", "waiting", "waiting", "waiting"]
    value, _ = run(study, base)
    assert all(c["state"] == "done" for c in value["cells"])


def test_a_study_of_other_settings_is_not_gone_on_with(planted):
    study, base = planted
    state, _ = ablation.prepared(study, base)
    spec = runs.read_spec(state.path)
    spec["base"]["data"]["imbalance"] = 3
    runs.write_spec(state.path, spec)
    with pytest.raises(UserError, match="must not be mixed"):
        ablation.stored(state)


@pytest.mark.slow
def test_killed_it_goes_on_by_the_same_command_and_by_its_id(tmp_path):
    (tmp_path / "grid.json").write_text(json.dumps(GRID))
    reference = process(tmp_path / "whole", "ablate", "grid.json", "--json", "whole.json")
    assert reference.returncode == 0, reference.stderr
    home = tmp_path / "killed"
    for place in ("generate-0-", "predictions.safetensors", "study.json"):
        done = process(home, "ablate", "grid.json", GELDA_TEST_KILL=place)
        assert done.returncode == -signal.SIGKILL, (place, done.stdout, done.stderr)
        let_time_pass(only_run(home))
    done = process(home, "run", only_run(home).name, "--json", "killed.json")
    assert done.returncode == 0, done.stderr
    values = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "killed")]
    for value in values:
        for cell in value["cells"]:
            cell.pop("seconds")
        for name in ("seconds", "run", "versions"):
            value.pop(name)
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "Name one study"),
        (["--study", "guidence"], 2, "Did you mean 'guidance'"),
        (["--study", "guidance", "--set", "sampling.wieght=1"], 2, "Did you mean 'weight'"),
        (["--study", "guidance", "grid.json"], 2, "Name one study"),
        (["nowhere.json"], 2, "There is no file"),
        (["--study", "guidance", "--dry-run"], 0, "50 runs"),
        (["--study", "guidance", "--dry-run", "--seeds", "7"], 0, "70 runs"),
    ],
)
def test_exit_codes_of_the_command(gelda, arguments, code, says):
    done = gelda("ablate", *arguments)
    assert done.returncode == code and says in done.stdout + done.stderr
    assert not list((runs.home() / "runs").glob("*"))


def test_the_command_ends_with_1_where_a_setting_failed_and_130_where_it_was_cancelled(
    planted, gelda, tmp_path, monkeypatch
):
    grid = tmp_path / "grid.json"
    write_json(grid, {**GRID, "factors": {"sampling.weight": [0.1, 1]}})

    def failing(*_):
        raise UserError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "_sample", failing)
        done = gelda("ablate", grid)
    assert done.returncode == 1 and "3 of 3 settings failed" in done.stderr

    def cancelling(*_):
        raise recording.Cancelled

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "_sample", cancelling)
        assert gelda("ablate", grid).returncode == 130
    done = gelda("ablate", grid, "--json", tmp_path / "out.json")
    assert done.returncode == 0 and "Small grid" in done.stdout
    assert len(json.loads((tmp_path / "out.json").read_text())["cells"]) == 3
