"""Extractions as runs: by command and in the background, found again, resumed, cancelled, refused."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PlantedEncoder
from media_fixtures import recording as recording_file
from media_fixtures import tone
from PIL import Image
from streamlit.testing.v1 import AppTest
from test_pages import warnings

from gelda import encoders, extraction_runs, jobs, recording, runs
from gelda.datasets import Source
from gelda.errors import UserError
from gelda.extract_config import ExtractConfig, resolve_extract
from gelda.manifest import Manifest
from gelda.ready import open_bank

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Two styles of two animals, 12 small pictures a folder; one is cut short."""
    rng = np.random.default_rng(0)
    for style in ("photo", "sketch"):
        for animal in ("ant", "bee"):
            folder = tmp_path / "pictures" / style / animal
            folder.mkdir(parents=True)
            for i in range(12):
                shade = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
                Image.fromarray(shade).save(folder / f"{i:02d}.jpg")
    broken = tmp_path / "pictures" / "photo" / "bee" / "03.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    return tmp_path / "pictures"


@pytest.fixture
def spawned(monkeypatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: calls.append(arguments))
    return calls


def only_run() -> runs.RunState:
    (state,) = runs.list_runs()
    return state


def test_a_folder_of_pictures_becomes_a_bank_by_one_command(gelda, pictures, tmp_path):
    done = gelda("extract", pictures, "--out", "bank", "--layers", "last4", "--json", "result.json")
    assert done.returncode == 0, done.stderr
    assert f"47 items in 4 layers at {tmp_path / 'bank'}; 1 could not be used." in done.stdout
    assert "left out photo/bee/03.jpg: " in done.stdout and f"gelda layers {tmp_path / 'bank'}" in done.stdout
    bank = open_bank(tmp_path / "bank")
    assert bank.items.class_names == ("ant", "bee") and bank.items.subdomain_names == ("photo", "sketch")
    assert list(bank.layers) == list(encoders.get("mini-image").load().layers)[-4:]
    result = json.loads((tmp_path / "result.json").read_text())
    assert (
        result["rows"] == 47 and result["encoded"] == 48 and result["skipped"][0]["id"].endswith("bee/03.jpg")
    )
    state = only_run()
    assert state.extraction and state.status == "done" and state.headline in done.stdout
    again = gelda("extract", pictures, "--out", "bank", "--layers", "last4")
    assert again.returncode == 0 and "(reused)" in again.stdout and only_run().id == state.id
    by_id = gelda("run", state.id)
    assert by_id.returncode == 0 and state.headline in by_id.stdout


def test_latents_are_a_direct_call_s_over_the_same_pictures(gelda, pictures, tmp_path):
    assert gelda("extract", pictures, "--out", "bank", "--batch-size", 5).returncode == 0
    bank = open_bank(tmp_path / "bank")
    encoder = encoders.get("mini-image").load()
    for row in (0, 20, 46):
        image = encoder.prepare(Image.open(pictures / bank.ids[row]).convert("RGB"))
        direct = encoder.encode(torch.from_numpy(image[None]))
        for layer in bank.layers:
            torch.testing.assert_close(bank.load(layer)[row], direct[layer][0], atol=1e-5, rtol=1e-5)


def test_parts_are_runs_of_their_own_and_the_last_one_finishes(gelda, pictures, tmp_path):
    command = ["extract", pictures, "--out", "bank", "--set", "shard_size=10"]
    first = gelda(*command, "--shard", "1/2")
    assert first.returncode == 0 and "Part 1/2 is done" in first.stdout and "gelda layers" not in first.stdout
    assert not (tmp_path / "bank" / "manifest.json").exists()
    second = gelda(*command, "--shard", "2/2")
    assert second.returncode == 0 and "47 items" in second.stdout
    assert len(runs.list_runs()) == 2 and len(open_bank(tmp_path / "bank").items) == 47


@pytest.mark.parametrize("options, words", [
    (["--encoder", "random-whisper"], "holds items of the kind image, and random-whisper takes audio"),
    (["--encoder", "mini-imag"], "no encoder called 'mini-imag'. Did you mean 'mini-image'"),
    (["--pooling", "cls"], "mini-image cannot pool by 'cls'"),
    (["--shard", "0/3"], "The setting 'shard' is '0/3': it must be i/n with i from 1 to n"),
    (["--dtype", "float8"], "The setting 'dtype' is 'float8'"),
    (["--set", "source.labl=x"], "no setting called 'source.labl'"),
    (["--device", "tpu"], "Device 'tpu' is not one of"),
    (["--json", "no/such/folder.json"], "no folder"),
    (["--out", "pictures"], "is not empty: choose another folder for the bank"),
])  # fmt: skip
def test_a_mistake_is_said_before_there_is_a_run(gelda, pictures, options, words):
    done = gelda("extract", pictures, *options)
    assert done.returncode == 2 and words in done.stderr and not runs.list_runs()


def test_an_unknown_layer_fails_the_run_in_a_sentence(gelda, pictures):
    done = gelda("extract", pictures, "--layers", "nine")
    assert done.returncode == 2 and "'nine' is no layer of this encoder" in done.stderr
    assert only_run().status == "failed" and "'nine' is no layer" in only_run().error


def test_too_many_unreadable_pictures_stop_it(gelda, pictures):
    for file in (pictures / "sketch" / "ant").iterdir():
        file.write_bytes(b"no picture")
    done = gelda("extract", pictures, "--out", "bank")
    assert done.returncode == 2 and "could not be used, more than 5 % of 48" in done.stderr
    allowed = gelda("extract", pictures, "--out", "bank", "--max-skipped", 0.5)
    assert allowed.returncode == 0 and "13 could not be used" in allowed.stdout


def test_data_that_changed_are_not_mixed_into_an_old_bank(gelda, pictures):
    assert gelda("extract", pictures, "--out", "bank").returncode == 0
    shutil.copy(pictures / "photo" / "ant" / "00.jpg", pictures / "photo" / "ant" / "99.jpg")
    done = gelda("extract", pictures, "--out", "bank")
    assert done.returncode == 2 and "holds a bank of other settings: its list of items" in done.stderr


def test_the_bank_has_a_place_in_the_workspace_where_none_is_named(gelda, pictures, gelda_home):
    assert gelda("extract", pictures).returncode == 0
    (folder,) = (gelda_home / "banks").iterdir()
    assert folder.name.startswith("pictures-mini-image-") and len(open_bank(folder).items) == 47


def test_an_encoder_of_random_weights_says_so_wherever_its_latents_go(gelda, pictures, tmp_path):
    done = gelda("extract", pictures, "--encoder", "random-vit", "--out", "bank", "--layers", "4")
    assert done.returncode == 0 and "Random weights, for plumbing only" in done.stdout
    assert open_bank(tmp_path / "bank").note.startswith("Random weights, for plumbing only")
    study = gelda("layers", "bank", "--preset", "tiny", "--seeds", 1, "--imbalance", 3, "--device", "cpu")
    assert study.returncode == 0, study.stderr
    assert "Random weights, for plumbing only" in study.stdout


def test_a_job_is_started_resumed_and_finished_in_the_background(pictures, spawned, gelda, monkeypatch):
    run_id = jobs.start_extraction({"path": str(pictures), "device": "cpu"})
    assert spawned == [["queued", run_id, "--", "run-stored", run_id]] and only_run().status == "queued"
    with pytest.raises(UserError, match="already going"):
        jobs.start_extraction({"path": str(pictures), "device": "cpu"})
    done = gelda("run-stored", run_id)
    assert done.returncode == 0, done.stderr
    state = only_run()
    assert state.status == "done" and [s.state for s in state.stages] == ["done", "done"]
    assert jobs.start_extraction({"path": str(pictures), "device": "cpu"}) == run_id
    assert gelda("run-stored", run_id).returncode == 0
    assert [s.state for s in only_run().stages] == ["done", "reused"]


@pytest.mark.parametrize("values, words", [
    ({"path": "/no/such/folder"}, "/no/such/folder"),
    ({"path": "digits", "encoder": "nothing"}, "no encoder called 'nothing'"),
    ({"path": "digits", "batchsize": 3}, "no setting called 'batchsize'. Did you mean 'batch_size'"),
])  # fmt: skip
def test_a_job_that_cannot_work_is_refused_before_there_is_one(spawned, values, words):
    with pytest.raises(UserError, match=words):
        jobs.start_extraction(values)
    assert not spawned and not runs.list_runs()


def test_a_read_only_server_starts_no_extraction(pictures, monkeypatch):
    monkeypatch.setenv("GELDA_READONLY", "1")
    with pytest.raises(UserError, match="read-only"):
        jobs.start_extraction({"path": str(pictures)})


def test_banks_are_written_where_files_may_be_opened(pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(pictures))
    with pytest.raises(UserError, match="lies outside the folders that may be opened"):
        jobs.start_extraction({"path": str(pictures), "out": str(tmp_path / "elsewhere")})


def test_a_cancelled_extraction_resumes_where_it_was(pictures, tmp_path, spawned):
    config = extraction_runs.resolved(
        resolve_extract(
            {"path": str(pictures), "out": str(tmp_path / "bank"), "batch_size": 4, "shard_size": 8}
        )
    )
    state = extraction_runs.prepared(config)

    def cancel(current: runs.RunState) -> None:
        if current.stages[1].done >= 20:
            (current.path / "cancel").touch()

    with pytest.raises(recording.Cancelled):
        extraction_runs.execute(config, state, cancel)
    assert only_run().status == "cancelled"
    jobs.resume(state.id)
    assert spawned == [["queued", state.id, "--", "run-stored", state.id]]
    seen = []
    result = extraction_runs.execute(config, only_run(), lambda s: seen.append(s.stages[1].done))
    assert result["rows"] == 47 and 0 < result["encoded"] <= 48 - 16 and 16 in seen


def test_remaining_time_counts_what_this_process_does(tmp_path):
    state = runs.create_run({}, "n", runs.EXTRACTION)
    state.stages = [runs.StageState("extract", "Encode")]
    with recording.Recorder(state) as recorder, recorder.stage("extract", 100) as stage:
        recorder._started -= 10
        recorder.advance(stage, 90, before=80)
        assert stage.remaining == pytest.approx(10, abs=0.5), "10 items took 10 s, 10 are left"
        recorder.advance(stage, 80, before=80)
        assert stage.remaining is None


@pytest.mark.parametrize("seconds, count, workers", [(0.0, 2000, 0), (0.01, 300, 0), (0.01, 2000, 1)])
def test_workers_start_where_decoding_takes_longer_than_they_do(seconds, count, workers, monkeypatch):
    """A few seconds of decoding are done here; what cannot be decoded takes its time, too."""

    def decode(uri):
        time.sleep(seconds)
        raise UserError(f"{uri} is broken.")

    monkeypatch.setattr(extraction_runs.os, "cpu_count", lambda: 2)
    names = [f"{n}.jpg" for n in range(count)]
    table = pd.DataFrame({"id": names, "uri": names, "label": 0, "subdomain": 0, "group": names})
    source = Source("x", "image", Manifest(table, ("a",), ("b",), "x"), "/", decode)
    cpu = torch.device("cpu")
    assert extraction_runs.workers_for(None, source, PlantedEncoder(), cpu) == workers
    assert extraction_runs.workers_for(5, source, PlantedEncoder(), cpu) == 5


def test_every_setting_has_words_for_its_form():
    for name, field in ExtractConfig.model_fields.items():
        assert field.description or name == "source", name


def test_pages_take_an_extraction_for_what_it_is(gelda, pictures):
    assert gelda("extract", pictures).returncode == 0
    page = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60).run()
    assert not page.exception
    (row,) = [e.proto.body for e in page.get("html") if "pictures through mini-image" in e.proto.body]
    assert "extraction of latents" in row and "47 items in 8 layers" in row
    page.query_params["run"] = only_run().id
    page.switch_page(str(ROOT / "pages" / "results.py")).run()
    assert not page.exception
    assert any("made a bank, and has no report" in said for said in warnings(page))


def test_a_report_of_an_extraction_is_refused_in_a_sentence(gelda, pictures):
    assert gelda("extract", pictures).returncode == 0
    done = gelda("report", only_run().id)
    assert done.returncode == 2 and "made a bank, and has no report" in done.stderr
    latest = gelda("report")
    assert "made a bank" not in latest.stderr, "the newest run with a report is meant"


def test_a_comparison_on_the_bank_is_found_by_its_folder(gelda, pictures, tmp_path):
    assert gelda("extract", pictures, "--out", "bank", "--layers", "stage3.1").returncode == 0
    done = gelda(
        "compare", "bank", "--preset", "tiny", "--seeds", 1, "--imbalance", 3, "--device", "cpu",
        "--methods", "ce,logit-adjustment",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (state,) = [s for s in runs.list_runs() if s.comparison]
    assert runs.read_spec(state.path)["bank"] == str(tmp_path / "bank") and state.status == "done"


def test_several_manifests_become_one_bank_by_one_command(gelda, tmp_path):
    """Given as they lie, from another folder on: emotions joined, speakers of both corpora apart."""
    for corpus, happy in (("emodb", "joy"), ("nemo", "Happiness")):
        rows = []
        for k, emotion in enumerate(("anger", happy, "neu", "sad", "disgust")):
            recording_file(tmp_path / corpus / f"{k}.wav", tone(0.2))
            row = {"key": f"{k}", "dataset": corpus, "wav": f"{k}.wav", "emo": emotion, "speaker": "1"}
            rows.append(json.dumps(row))
        (tmp_path / corpus / f"{corpus}.jsonl").write_text("\n".join(rows))
    files = ("emodb/emodb.jsonl", "nemo/nemo.jsonl")
    done = gelda("extract", *files, "--emotions", "four", "--encoder", "random-whisper", "--out", "bank")
    assert done.returncode == 0, done.stderr
    assert "'happiness' is called 'Happiness', 'joy' in the data" in " ".join(done.stdout.split())
    bank = open_bank(tmp_path / "bank")
    assert bank.items.class_names == ("anger", "happiness", "neutral", "sadness")
    assert bank.items.subdomain_names == ("german", "nemo") and len(set(bank.items.group)) == 2
    spec = runs.read_spec(only_run().path)
    assert spec["source"]["beside"] == [str(tmp_path / files[1])], "the run means the same from anywhere"
    assert only_run().name == "emodb + nemo through random-whisper"
    assert gelda("extract", files[0], "digits", "--out", "none").returncode == 2


def test_a_command_in_the_line_takes_up_the_run_it_waited_under(gelda, pictures, spawned):
    """The speech demo and plans wait in line as the extraction that they begin with."""
    run = jobs.start_extraction({"path": str(pictures), "encoder": "mini-image"})
    again = ["extract", str(pictures), "--encoder", "mini-image"]
    assert gelda("extract", pictures, "--encoder", "mini-image").returncode == 2, "it waits elsewhere"
    done = gelda("queued", run, "--", *again)
    assert done.returncode == 0, done.stderr
    assert only_run().id == run and only_run().status == "done"


def test_a_command_that_ends_before_its_work_says_why_in_the_run(gelda, pictures, spawned):
    run = jobs.start_extraction({"path": str(pictures), "encoder": "mini-image"})
    assert gelda("queued", run, "--", "extract", "/nowhere").returncode == 2
    assert only_run().status == "failed" and "/nowhere" in only_run().error
