"""Latents drawn to be looked at: measured as the run measures, found by what was asked, killed, repeated."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from pydantic import ValidationError

from gelda import generator_kit, jobs, projection, recording, runs, samples
from gelda.artifacts import read_json
from gelda.encoders import assets
from gelda.errors import UserError
from gelda.samples import SampleRequest

RUN = assets() / "runs" / "digits"
WAY = SampleRequest(kind="way", start=(0, 1), count=6, num_inference_steps=10, seed=1)
BETWEEN = SampleRequest(kind="between", start=(3, 0), end=(8, 0), count=5, num_inference_steps=10, seed=1)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GELDA_HOME", str(tmp_path_factory.mktemp("home")))
        for request in (WAY, BETWEEN):
            samples.make(RUN, request)
        yield {request.kind: samples.find(RUN, request) for request in (WAY, BETWEEN)}


def test_a_way_ends_where_the_generator_puts_its_samples(drawn):
    found, kit = drawn["way"], generator_kit.load(RUN)
    assert found.state == "done" and found.scales == [1.0, 1.5, 2.0, 3.0, 5.0]
    assert len(found.spread) == 11 and found.spread[-1] == 0
    assert found.arrays["near"].shape == (2, 5, 11, 6, samples.NEAR)
    points = projection.load_points(RUN)
    z = projection.load_latents(RUN, projection.generation_layer(RUN))
    for place, scale in enumerate(found.scales):
        made = kit.sample(
            0, 1, 6, guidance_class=scale, guidance_subdomain=scale, num_inference_steps=10, seed=1
        ).latents
        said = kit.head(made, made.new_ones(6).long()).argmax(1)
        assert (found.arrays["said"][0, place, -1] == said).all()
        near = found.arrays["near"][0, place, -1]
        assert set(points["split"].iloc[near.reshape(-1)]) <= {"train", "dev"}
        far = np.linalg.norm(made.numpy() - z[near[:, 0]], axis=1)
        np.testing.assert_allclose(found.arrays["far"][0, place, -1], far, rtol=5e-3)
    # what a step takes the end to be is the end itself after the last step
    assert (found.arrays["near"][0, :, -1] == found.arrays["near"][1, :, -1]).all()
    assert (found.arrays["far"][0, 0, 0] > found.arrays["far"][0, 0, -1]).all(), "noise lies far from data"


def test_the_head_turns_from_one_end_to_the_other(drawn):
    probability = drawn["between"].arrays["probability"]
    assert probability.shape == (5, len(samples.SHARES), 10)
    np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-4)
    assert (probability[:, 0].argmax(-1) == 3).all() and (probability[:, -1].argmax(-1) == 8).all()


def test_a_latent_is_placed_among_its_neighbours():
    xy = np.array([[0, 0], [0, 1], [1, 0], [9, 9], [np.nan, np.nan]], np.float32)
    assert samples.place(np.array([[0, 1, 2, 3, 4]], np.uint16), xy)[0].tolist() == [0.5, 0.5]
    assert np.isnan(samples.place(np.array([[4, 4]], np.uint16), xy)).all()


def test_placing_agrees_with_the_map_where_the_map_has_the_latents_itself(drawn):
    info = next(m for m in projection.list_maps(RUN) if m.has_synthetic and m.scope_kind == "all")
    xy = projection.load_map(RUN, info.key)
    median, most = samples.misplaced(drawn["way"], xy)
    # the map means a latent between two groups to lie between them, the median takes a side
    assert 0 < median < 0.01 and median < most < 0.05
    shuffled = np.random.default_rng(0).permutation(xy)
    assert samples.misplaced(drawn["way"], shuffled)[0] > 0.1
    synthetic = (projection.load_points(RUN)["origin"] == "synthetic").to_numpy()
    assert samples.misplaced(drawn["way"], np.where(synthetic[:, None], np.nan, xy)) is None


def test_what_is_asked_has_one_key_and_is_found_again(drawn, tmp_path, monkeypatch):
    again = SampleRequest.model_validate(WAY.model_dump(mode="json"))
    assert samples.key(RUN, again) == samples.key(RUN, WAY)
    others = [
        WAY.model_copy(update=change) for change in ({"seed": 2}, {"start": (0, 2)}, {"steer": "class"})
    ]
    assert len({samples.key(RUN, request) for request in (WAY, *others)}) == 4
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    assert samples.find(RUN, WAY) is None
    name = samples.note(RUN, WAY, "running")
    assert samples.asked(RUN, name) == WAY and samples.find(RUN, WAY).state == "running"
    document = samples.folders(RUN)[-1] / f"{name}.json"
    old = time.time() - 2 * samples.PATIENCE
    os.utime(document, (old, old))
    assert samples.find(RUN, WAY) is None, "its process is gone: it is offered again"
    document.write_text('{"format": 1, "sta')
    assert samples.find(RUN, WAY) is None
    with pytest.raises(ValidationError):
        SampleRequest(kind="way", start=(0, 1), count=0)


def test_a_failure_stays_as_a_sentence():
    wrong = WAY.model_copy(update={"start": (77, 1)})
    name = samples.note(RUN, wrong, "running")
    with pytest.raises(UserError):
        jobs.make_samples("digits", name)
    found = samples.find(RUN, wrong)
    assert found.state == "failed" and "no class number 77" in found.message


def test_killed_in_the_middle_it_is_made_again(gelda_home):
    name = samples.note(RUN, WAY, "running")
    code = (
        "import os, signal; from gelda import jobs, samples\n"
        "samples.write_tensors = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"jobs.make_samples('digits', {name!r})"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    folder = samples.folders(RUN)[-1]
    assert read_json(folder / f"{name}.json")["state"] == "running"
    assert not list(folder.glob("*.safetensors"))
    jobs.make_samples("digits", name)
    assert samples.find(RUN, WAY).state == "done"


def test_a_set_that_takes_long_gives_signs_of_life(monkeypatch):
    name = samples.note(RUN, WAY, "running")
    document = samples.folders(RUN)[-1] / f"{name}.json"

    def slowly(*_):
        os.utime(document, (0, 0))
        end = time.monotonic() + 30
        while time.monotonic() < end and document.stat().st_mtime == 0:
            time.sleep(0.01)
        found.append(samples.find(RUN, WAY))

    found = []
    monkeypatch.setattr(recording, "HEARTBEAT", 0.01)
    monkeypatch.setattr(samples, "make", slowly)
    jobs.make_samples("digits", name)
    assert found[0].state == "running"


def test_starting_is_refused_where_looking_is_all_that_is_allowed(monkeypatch):
    monkeypatch.setattr(jobs, "spawn", lambda *_: pytest.fail("a process was started"))
    monkeypatch.setenv("GELDA_READONLY", "1")
    with pytest.raises(UserError, match="read-only"):
        jobs.start_samples("digits", WAY)


def test_starting_notes_what_is_asked_and_starts_a_process(monkeypatch, gelda_home):
    started = []
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: started.append(arguments))
    name = jobs.start_samples("digits", WAY)
    assert started == [["draw-stored", "digits", name]]
    assert samples.find(runs.find_run("digits"), WAY).state == "running"
