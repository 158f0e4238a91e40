"""What a comparison tells of its arms while it goes on."""

import json

import pytest
from bank_fixtures import planted_latents, ready_bank, speech_items

from gelda import arm_progress, compare, curves, runs
from gelda.arm_progress import ArmProgress
from gelda.compare_config import resolve_compare
from gelda.errors import UserError
from gelda.recording import Cancelled

METHODS = ("ce", "logit-adjustment", "smote", "gelda", "gelda-shuffled")


@pytest.fixture
def begun(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    config = resolve_compare({"bank": "planted", "methods": METHODS, "seeds": 2, "device": "cpu"}, "tiny")
    bank = ready_bank(speech_items(), {"pool": planted_latents(speech_items(), 6)})
    return config, bank, runs.create_run(config.model_dump(mode="json"), "planted", "compare")


@pytest.mark.parametrize("change", [{"methods": None}, {"tuned": 3}, {"more": 1}])
def test_a_document_of_another_form_is_a_sentence(tmp_path, change):
    ArmProgress(("ce",), (), 1).write(tmp_path)
    value = json.loads((tmp_path / arm_progress.FILE).read_text()) | change
    (tmp_path / arm_progress.FILE).write_text(json.dumps({k: v for k, v in value.items() if v is not None}))
    with pytest.raises(UserError, match="does not say how far"):
        arm_progress.read(tmp_path)


def test_every_arm_is_told_and_a_loss_is_drawn(begun):
    config, bank, state = begun
    compare.execute(config, bank, state)
    told = arm_progress.read(state.path)
    assert told.methods == METHODS and set(told.tuned) == {"smote", "gelda"}
    assert told.rounds == 2 and told.total == 2
    assert told.trained == dict.fromkeys(METHODS, 2)
    assert {m: set(scores) for m, scores in told.validated.items()} == {m: {"0", "1"} for m in told.tuned}
    report = json.loads((state.path / "report.json").read_text())
    for seed, choice in report["config"]["selection"].items():
        for m in told.tuned:
            assert told.validated[m][seed] == min(choice["scores"][m].values())
    losses = curves.losses(state.path)
    assert {s.split("/")[1] for s in losses["stage"]} >= {"select", "train"}
    assert {s.split("/")[2] for s in losses["stage"]} <= {"gelda", "gelda-shuffled"}
    assert losses["loss"].gt(0).all() and losses["step"].max() == config.generator.steps


def test_what_is_kept_from_before_counts_and_a_cancelled_generator_stops_in_its_midst(begun, monkeypatch):
    config, bank, state = begun
    heard = []

    def stop(self, arm, episode, step, loss):
        heard.append(self.state.stage)
        if self.state.stage == "train":
            (state.path / "cancel").touch()
        self.cancelled()

    with monkeypatch.context() as patch:
        patch.setattr(compare.Comparison, "heard", stop)
        with pytest.raises(Cancelled):
            compare.execute(config, bank, state)
    assert heard.count("train") == 1, "it stopped inside of the first generator"
    told = arm_progress.read(state.path)
    assert told.trained == {"ce": 1, "logit-adjustment": 1, "smote": 1}
    compare.execute(config, bank, state)
    assert arm_progress.read(state.path).trained == dict.fromkeys(METHODS, 2)


def test_scores_are_set_side_by_side_over_the_same_seeds():
    told = ArmProgress(METHODS, ("smote", "gelda"), 3)
    assert told.seeds() == []
    told.validated = {"smote": {"0": 1.2}}
    assert told.seeds() == ["0"]
    told.validated = {"smote": {"0": 1.2, "1": 1.0}, "gelda": {"0": 1.1}}
    assert told.seeds() == ["0"]


def test_nothing_yet_and_a_torn_file(tmp_path):
    assert arm_progress.read(tmp_path) is None
    (tmp_path / "arms.json").write_text('{"format": 1, "meth')
    with pytest.raises(UserError):
        arm_progress.read(tmp_path)
