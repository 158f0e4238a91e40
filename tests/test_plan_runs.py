"""Plans from the page: a look in the background at what one would take, and its start."""

import json
import os
import time

import pytest
from media_fixtures import picture
from test_pages import open_page, text, warnings

from app import plan_form
from gelda import jobs, plan_runs, runs
from gelda.errors import UserError
from gelda.plans import PLANS


@pytest.fixture(autouse=True)
def spawned(tmp_path, monkeypatch):
    monkeypatch.setenv("GELDA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GELDA_READONLY", raising=False)
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    calls = []
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: calls.append(arguments))
    return calls


@pytest.fixture
def pacs(tmp_path):
    for style in ("photo", "sketch"):
        for k, name in enumerate(("dog", "horse")):
            for i in range(8):
                picture(tmp_path / "pacs" / style / name / f"{i}.png", (90 * k, 20 * i, 30))
    return str(tmp_path / "pacs")


def look(state="done", **changes):
    """A look's document, as small as it comes."""
    stages = [
        {"stage": "encode", "what": "32 items", "bytes": 2e6, "seconds": 12.0, "how": "measured"},
        {"stage": "compare", "what": "longtail", "seconds": 66.0, "how": "rough"},
    ]
    found = {
        "items": {"total": 32, "known": "found", "by_split": {}}, "classes": 2, "subdomains": 2,
        "missing": [], "problem": "", "places": [], "weights": [], "start": "", "device": "cpu, float32",
        "encoder": {"name": "mini-image", "here": True, "caution": ""}, "stages": stages,
        "free_bytes": 5e9, "bank": "/b",
    }  # fmt: skip
    return {"format": 1, "state": state, "message": "", "found": {**found, **changes}}


def note(pacs, plan="pacs", encoder="mini-image", **document):
    file = plan_runs._file(plan_runs.key(plan, pacs, encoder))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))
    return file


def test_a_look_is_started_made_and_found(pacs, spawned):
    assert plan_runs.find("pacs", pacs, "mini-image") is None
    plan_runs.start_look("pacs", pacs, "mini-image")
    assert plan_runs.find("pacs", pacs, "mini-image").state == "running"
    ((command, name),) = spawned
    assert command == "plan-stored"
    plan_runs.make_look(name)
    found = plan_runs.find("pacs", pacs, "mini-image")
    assert found.state == "done" and found.found["items"]["total"] == 32
    assert plan_form.startable(found.found)
    assert plan_runs.find("pacs", pacs, "") is None, "another encoder is another look"


def test_a_look_that_was_killed_is_offered_again(pacs):
    plan_runs.start_look("pacs", pacs, "mini-image")
    file = plan_runs._file(plan_runs.key("pacs", pacs, "mini-image"))
    long_ago = time.time() - 2 * plan_runs.PATIENCE
    os.utime(file, (long_ago, long_ago))
    assert plan_runs.find("pacs", pacs, "mini-image") is None


def test_a_look_that_fails_says_why(pacs, monkeypatch):
    plan_runs.start_look("pacs", pacs, "mini-image")
    monkeypatch.setattr("gelda.plan_outlook.outlook", lambda job: (_ for _ in ()).throw(UserError("No.")))
    with pytest.raises(UserError):
        plan_runs.make_look(plan_runs.key("pacs", pacs, "mini-image"))
    found = plan_runs.find("pacs", pacs, "mini-image")
    assert (found.state, found.message) == ("failed", "No.")


@pytest.mark.parametrize("torn", ['{"format": 1', "[]", '{"format": 1, "state": "done"}'])
def test_a_torn_look_is_offered_again(pacs, torn):
    file = note(pacs)
    file.write_text(torn)
    assert plan_runs.find("pacs", pacs, "mini-image") is None


def test_it_starts_as_one_run_of_the_line(pacs, spawned):
    run = plan_runs.start_plan("pacs", pacs, "mini-image")
    state = runs.read_state(runs.find_run(run))
    assert state.extraction and state.status == "queued"
    wanted = ["run", "--preset=pacs", f"--data={pacs}", "--encoder=mini-image"]
    assert spawned == [["queued", run, "--", *wanted]]
    with pytest.raises(UserError, match="already going"):
        plan_runs.start_plan("pacs", pacs, "mini-image")


def test_what_is_missing_is_said_before_anything_starts(tmp_path, spawned):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="lacks"):
        plan_runs.start_plan("pacs", str(tmp_path / "empty"), "mini-image")
    with pytest.raises(UserError, match="no folder"):
        plan_runs.start_look("pacs", str(tmp_path / "nowhere"), "mini-image")
    assert not spawned and not runs.list_runs()


def test_looking_only_starts_nothing(pacs, spawned, monkeypatch):
    note(pacs, **look())
    monkeypatch.setenv("GELDA_READONLY", "1")
    for act in (plan_runs.start_plan, plan_runs.start_look):
        with pytest.raises(UserError, match="read-only"):
            act("pacs", pacs, "mini-image")
    page = open_page("generate", preset="plan", plan="pacs", data=pacs, by="mini-image")
    assert not page.button and "looking only" in text(page) and "32 items" in text(page)


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_says_what_it_needs(plan):
    page = open_page("generate", preset="plan", plan=plan)
    assert not warnings(page) and not page.button
    said = text(page)
    assert all(place.url in said for place in PLANS[plan].places)
    assert page.selectbox(key="by").value == PLANS[plan].encoder


def test_from_a_folder_to_the_start(pacs, spawned):
    asked = dict(preset="plan", plan="pacs", data=pacs, by="mini-image")
    page = open_page("generate", **asked)
    next(b for b in page.button if b.label == "What would it take?").click().run()
    assert "trying the encoder" in text(page) and spawned[0][0] == "plan-stored"
    note(pacs, **look())
    page = open_page("generate", **asked)
    said = text(page)
    assert "32 items, 2 classes, 2 subdomains" in said and "1\u202f<small>min</small> 18" in said
    assert [b.label for b in page.button] == ["Encode and compare", "Look again"]
    page.button[0].click().run()
    assert spawned[-1][0] == "queued" and not warnings(page)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"missing": ["*/*/*: pictures"]}, "Missing"),
        ({"problem": "The list is torn."}, "torn"),
        ({"encoder": {"name": "timm/x", "here": False, "caution": ""}}, "not on this machine"),
    ],
)
def test_what_is_not_here_keeps_it_from_starting(pacs, changes, said):
    note(pacs, **look(**changes))
    page = open_page("generate", preset="plan", plan="pacs", data=pacs, by="mini-image")
    assert any(said in w for w in warnings(page))
    assert [b.label for b in page.button] == ["Look again"]


def test_a_wrong_folder_is_a_sentence():
    page = open_page("generate", preset="plan", plan="pacs", data="/nowhere")
    next(b for b in page.button if b.label == "What would it take?").click().run()
    assert any("/nowhere" in w for w in warnings(page))
