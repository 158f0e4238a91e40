"""Generate: every setting with its line, the cost, the start, what is going on, and the line of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import app_fixtures as fixtures
import pytest
from pydantic import BaseModel
from test_pages import open_page, text, warnings

from app import fields, going_view, run_settings
from gelda import jobs, runs, setting_words
from gelda.arm_progress import ArmProgress
from gelda.compare_config import CompareConfig
from gelda.config import RunConfig

pytestmark = pytest.mark.usefixtures("workspace")


def every_field(model: type[BaseModel] = RunConfig, prefix: str = "") -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= every_field(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field.description
    return found


def test_every_setting_has_a_line() -> None:
    assert not [name for name, line in every_field().items() if not line]


def test_every_setting_of_a_run_is_on_the_page() -> None:
    folded = [name for section in run_settings.SECTIONS for name in run_settings.folded(section)]
    shown = [*run_settings.MAIN, *folded]
    assert {*shown, *run_settings.FIXED} == set(every_field()) and len(shown) == len(set(shown))


def test_an_empty_workspace_offers_the_presets_and_knows_no_time() -> None:
    page = open_page("generate")
    assert not warnings(page) and page.radio(key="preset").value == "digits"
    assert "is not known before a run has finished here" in text(page)
    assert "Training steps of the denoiser." in text(page), "the line under a setting"
    assert [b.label for b in page.button] == ["Start"]


def test_the_cost_rests_on_the_last_run_here_and_grows(workspace: Path) -> None:
    import platform

    path = fixtures.make_run(workspace)
    state = runs.read_state(path)
    state.host = platform.node()
    runs.save_state(state)
    page = open_page("generate", preset="tiny")
    assert "From your last run on this machine" in text(page)
    # 3, 4, … 9 seconds a stage; five seeds in place of two, where a stage has seeds
    assert "42\u202f<small>s</small>" in text(page)
    page.number_input(key="generate-tiny.seeds").set_value(4).run()
    assert 3 + 2 * (
        4 + 5 + 6 + 7 + 8
    ) + 9 == 72 and "1\u202f<small>min</small> 12\u202f<small>s</small>" in text(page)


def test_start_takes_what_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(jobs, "start_run", lambda *a: started.append(a))
    page = open_page("generate", preset="tiny")
    page.number_input(key="generate-tiny.generator.steps").set_value(60)
    page.multiselect(key="generate-tiny.methods").set_value(["ce", "logit-adjustment", "gelda"])
    page.run()
    assert "2 settings changed" in text(page)
    assert "1 changed: Diffusion training steps 60 (40)." in text(page), "said under the fold that holds it"
    page.button[0].click().run()
    assert started == [({"generator": {"steps": 60}, "methods": ("ce", "logit-adjustment", "gelda")}, "tiny")]


def test_one_press_leads_back_to_the_preset() -> None:
    page = open_page("generate", preset="tiny")
    page.number_input(key="generate-tiny.seeds").set_value(7).run()
    assert "1 setting changed" in text(page)
    next(b for b in page.button if b.label == "Back to the preset").click().run()
    assert "changed" not in text(page) and page.number_input[0].value == 2


@pytest.mark.parametrize("setting", fields.NOTES)
def test_a_choice_is_explained_by_itself(setting: str) -> None:
    """The line under a choice says what it means, for every one that can be chosen."""
    config = CompareConfig(bank="x") if setting in CompareConfig.model_fields else RunConfig()
    field = fields.field_of(config, setting)[0]
    offered = fields.CHOICES.get(setting) or get_args(field.annotation)
    assert set(offered) <= set(fields.NOTES[setting]) and set(offered) <= set(setting_words.TITLES[setting])


def test_the_line_follows_the_choice() -> None:
    page = open_page("generate", preset="tiny")
    assert "Scarce and empty cells get the most." in text(page)
    page.selectbox(key="generate-tiny.sampling.allocation").set_value("empty-cells").run()
    assert "Cells with a real item get nothing." in text(page)


def test_settings_that_cannot_be_are_a_sentence_and_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page("generate", preset="tiny")
    page.selectbox(key="generate-tiny.generator.timestep_sampling").set_value("logit-normal").run()
    assert any("is for flows" in w for w in warnings(page))
    assert not page.button


def test_looking_only_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GELDA_READONLY", "1")
    page = open_page("generate")
    assert not page.button and "looking only" in text(page)


def test_your_own_latents_need_a_path() -> None:
    page = open_page("generate", preset="own")
    assert not page.button and "encoded first" in text(page)
    page.text_input(key="generate.path").set_value("/nowhere/latents.npz").run()
    assert page.selectbox(key="bank").value == "/nowhere/latents.npz"
    assert [b.label for b in page.button] == ["Compare"] and not warnings(page)
    page.button[0].click().run()
    assert any("/nowhere/latents.npz" in w for w in warnings(page))


def test_what_is_going_on_has_stages_and_a_curve() -> None:
    path = fixtures.make_unfinished("running", "running-run")
    lines = [{"stage": "generate/seed0", "step": s, "loss": 1 - s / 100} for s in (10, 20, 30)]
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    page = open_page("generate")
    assert "Train the latent diffusion model" in text(page) and "9 s left" in text(page)
    (chart,) = page.get("plotly_chart")
    assert "loss fell from 0.90 to 0.70" in json.loads(chart.proto.spec)["layout"]["title"]["text"]
    assert "waits in line" in text(page)


def test_the_line_is_shown_and_a_run_goes_to_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: None)
    fixtures.make_unfinished("running", "running-run")
    names = [jobs.start_run({"name": name}, "tiny", name) for name in ("first", "second", "third")]
    page = open_page("generate")
    said = text(page)
    assert "waiting: next in line" in said and "waiting: 2 runs before it in line" in said
    assert not [b for b in page.button if b.key == "front-first"]
    assert [b.key for b in page.button if b.label == "Earlier"] == ["earlier-third"]
    assert [b.label for b in page.button if b.key == "cancel-second"] == ["Take out"]
    next(b for b in page.button if b.key == "front-third").click().run()
    from gelda import slots

    assert [s.id for s in slots.line()] == ["third", "first", "second"] and set(names) == {
        "first", "second", "third",
    }  # fmt: skip


def test_a_failed_run_keeps_its_sentence_and_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    fixtures.make_unfinished("failed", "failed-run", "The disk is full: free some space and resume.")
    asked = []
    monkeypatch.setattr(jobs, "resume", lambda run: asked.append(run))
    page = open_page("generate")
    assert "The disk is full" in text(page)
    page.button(key="resume-failed-run").click().run()
    assert asked == ["failed-run"]


def test_small_settings_are_shown_as_they_are() -> None:
    page = open_page("generate")
    rate = page.number_input(key="generate-digits.generator.learning_rate")
    assert rate.value == 0.0015 and rate.proto.format == "%g" and rate.step == pytest.approx(0.0001)


def test_runs_going_on_stand_in_the_order_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: None)
    for name in ("run-a", "run-b"):
        jobs.start_run({"name": name}, "tiny", name)
    fixtures.make_unfinished("running", "run-z")
    assert [run.id for run in going_view.alive()] == ["run-z", "run-a", "run-b"]
    jobs.to_front("run-b")
    assert [run.id for run in going_view.alive()] == ["run-z", "run-b", "run-a"]


def test_a_comparison_that_goes_on_tells_of_its_arms(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace, status="running")
    (path / "heartbeat").touch()
    told = ArmProgress(("ce", "smote", "gelda"), ("smote", "gelda"), 2, 2)
    told.chose(path, "gelda", 0, 0.8)
    page = open_page("generate")
    assert "3 methods: 1 of 4 settings chosen on validation, 0 of 6 trainings done." in text(page)
    (chart,) = page.get("plotly_chart")
    drawn = json.loads(chart.proto.spec)["layout"]["title"]
    assert drawn["text"] == "Best on validation so far: GeLDA"
    assert "1 method still to come" in drawn["subtitle"]["text"]
    told.chose(path, "smote", 0, 0.7)
    told.chose(path, "smote", 1, float("nan"))
    told.finished(path, ["ce"])
    stage = "generate/select/gelda/fold1/seed0"
    lines = [{"stage": stage, "step": s, "loss": 1 - s / 100} for s in (10, 20)]
    (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    page.run()
    losses, arms = (json.loads(c.proto.spec)["layout"]["title"] for c in page.get("plotly_chart"))
    assert arms["text"] == "Best on validation so far: SMOTE"
    assert "Blue: GeLDA, seed 1, fold 2, to choose its setting." in losses["subtitle"]["text"]
    assert "<td>Cross-entropy</td><td>–</td><td>–</td><td>1 of 2</td>" in text(page)
    assert "<td>0.700</td><td>2 of 2</td><td>0 of 2</td>" in text(page)
    assert "Cancel" in [b.label for b in page.button]


def test_a_torn_account_of_the_arms_is_a_sentence(workspace: Path) -> None:
    path = fixtures.make_comparison(workspace, status="running")
    (path / "heartbeat").touch()
    (path / "arms.json").write_text('{"format": 1, "meth')
    assert any("arms.json" in w for w in warnings(open_page("generate")))


def test_a_run_that_ends_keeps_its_place_and_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    path = fixtures.make_unfinished("running", "going-one")
    page = open_page("generate")
    (path / "cancel").touch()
    state = runs.read_state(path)
    state.status = "cancelled"
    runs.save_state(state)
    page.run()
    assert [h.value for h in page.header] == ["Ended just now", "Another one"], "and not in the list below"
    resumed = []
    monkeypatch.setattr(jobs, "resume", resumed.append)
    page.button(key="resume-going-one").click().run()
    assert resumed == ["going-one"] and not page.exception
    assert "Ended just now" not in [h.value for h in open_page("generate").header]


def test_the_same_run_once_more_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    fixtures.make_unfinished("running", "going-one")
    same = "A run of these very settings is going or waits already"
    assert same in text(open_page("generate", preset="tiny"))
    assert same not in text(open_page("generate", preset="digits"))


def test_the_speech_demo_says_that_its_comparisons_run_side_by_side() -> None:
    said = text(open_page("generate", preset="speech"))
    assert "as many at once as there are cores" in said and "one after another" not in said
