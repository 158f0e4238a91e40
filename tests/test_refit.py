"""Heads trained again: no change is exactly none, bad latents cost what they cost, a kill loses nothing."""

import dataclasses
import errno
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import kit_fixtures as made
import numpy as np
import pandas as pd
import pytest
import torch

from gelda import artifacts, confirm, datasets, edit_jobs, edits, kit, recording, runs
from gelda.config import RunConfig
from gelda.edit_figures import HEADS, SAID, difference, history, pending, piece, predictions
from gelda.edits import Add, Drop, Edits, Weight
from gelda.errors import UserError
from gelda.refit import Bench, made_latents, refit, seeds_of
from gelda.report import load_report
from gelda.splits import long_tail_cut

ROOT = Path(__file__).resolve().parent.parent
_spec = importlib.util.spec_from_file_location("refit_intervals", ROOT / "benchmarks" / "refit_intervals.py")
coverage = importlib.util.module_from_spec(_spec)
sys.modules["refit_intervals"] = coverage  # dataclasses look their module up
_spec.loader.exec_module(coverage)


@pytest.fixture
def planted(gelda_home):
    return kit.load(made.make_run(map_too=False))


def started(planted, *steps, name="edits") -> Edits:
    one = Edits(planted.run.name, planted.key, name)
    for step in steps:
        one = one.push(step)
    edits.save(one)
    return one


def test_an_edit_that_changes_nothing_changes_nothing_at_all(planted):
    mine = started(planted, Weight(factor=1), Drop(cells=(("cat", "day"),)))  # there are none of these
    refit(planted, mine)
    found = history(planted, mine)
    for step in found["steps"]:
        for change in [*step["to_start"]["measures"].values(), *step["to_start"]["classes"]]:
            assert change["mean"] == 0 and change["ci95"] == [0, 0]
    assert found["note"] == SAID and found["dev"] == {"items": 160, "groups": 160}


def test_dropping_planted_bad_latents_raises_their_class_on_dev(planted):
    mine = started(planted, Drop(ids=made.bad_ids()))
    refit(planted, mine)
    (step,) = history(planted, mine)["steps"]
    ants = step["to_start"]["classes"][0]
    assert ants["name"] == "ant" and ants["ci95"][0] > 0, "latents called dog no longer lie on the ants"
    assert step["to_start"]["measures"]["uar"]["ci95"][0] > 0
    assert step["to_previous"] == step["to_start"]["measures"]


def test_undo_returns_to_the_very_figures_and_trains_nothing(planted, monkeypatch):
    mine = started(planted, Drop(ids=made.bad_ids()), Drop(classes=("dog",)))
    refit(planted, mine)
    before = history(planted, mine.undo())
    monkeypatch.setattr(Bench, "head", lambda *_: pytest.fail("everything is there already"))
    refit(planted, mine.undo())
    assert history(planted, mine.undo()) == before and len(before["steps"]) == 1
    assert history(planted, mine.undo().redo())["steps"][:1] == before["steps"]


def test_a_refit_never_reads_the_test_half(planted):
    (planted.run / kit.TEST).unlink()
    mine = started(planted, Drop(ids=made.bad_ids()))
    refit(planted, mine)
    assert history(planted, mine)["steps"][0]["to_start"]
    with pytest.raises(UserError, match="no test half"):
        confirm.confirm(planted, mine)
    assert confirm.confirmations(planted) == []


def test_confirming_counts_every_look_and_only_the_first_is_a_result(planted, monkeypatch):
    with pytest.raises(UserError, match="nothing to confirm"):
        confirm.confirm(planted, started(planted))
    mine = started(planted, Drop(ids=made.bad_ids()))
    refit(planted, mine)
    first = confirm.confirm(planted, mine)
    assert first["number"] == 1 and "a result" in first["standing"]
    assert first["dev"] == history(planted, mine)["steps"][0]["to_start"], "the same heads are measured"
    assert first["test"]["measures"]["uar"]["mean"] > 0
    assert confirm.confirm(planted, mine) == first, "the same steps again are no new look"
    more = mine.push(Weight(factor=0.5))
    second = confirm.confirm(planted, more)
    assert second["number"] == 2 and "2nd look" in second["standing"] and "no longer" in second["standing"]
    assert [c["number"] for c in confirm.confirmations(planted)] == [1, 2]


def test_a_look_that_was_stopped_half_way_counts_and_is_finished_later(planted, monkeypatch):
    mine = started(planted, Drop(ids=made.bad_ids()))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        confirm.confirm(planted, mine, stop)
    (look,) = confirm.confirmations(planted)
    assert "test" not in look
    assert confirm.confirm(planted, mine)["number"] == 1
    (confirm.folder(planted.run.name) / "002.json").write_text("{")
    assert confirm.confirm(planted, mine.push(Weight(factor=0.5)))["number"] == 3


def test_a_look_in_a_copy_of_the_run_is_the_same_look(planted):
    mine = started(planted, Drop(ids=made.bad_ids()))
    first = confirm.confirm(planted, mine)
    shutil.copytree(planted.run, planted.run.with_name("copied"))
    copied = kit.load(planted.run.with_name("copied"))
    again = dataclasses.replace(mine, run="copied")
    assert confirm.confirm(copied, again) == first, "nothing is measured anew"
    other = confirm.confirm(copied, again.push(Weight(factor=0.5)))
    assert other["number"] == 2 and "no longer a result" in other["standing"]
    assert f"(also in {planted.run.name})" in other["standing"]
    third = mine.push(Weight(factor=0.3))
    assert confirm.number_of(planted, edits.state_key(planted, third.active)) == 3
    assert [look["number"] for look in confirm.confirmations(planted)] == [1, 2]


def test_the_same_test_items_are_the_same_half_in_whatever_run(planted):
    def changed(**about):
        return dataclasses.replace(
            planted, run=planted.run.with_name("later"), about={**planted.about, **about}
        )

    mine = started(planted, Drop(ids=made.bad_ids()))
    confirm.confirm(planted, mine)
    state = edits.state_key(planted, mine.push(Weight(factor=0.5)).active)
    assert confirm.number_of(changed(key="of other latents"), state) == 2
    assert confirm.number_of(changed(half="of other items"), state) == 1
    older = {name: value for name, value in planted.about.items() if name != "half"}
    assert confirm.number_of(dataclasses.replace(planted, about=older), state) == 2, "its own looks count"


def test_a_test_half_is_known_by_its_items():
    about = {"class_names": ("a", "b"), "subdomain_names": ("day", "night"), "seed": 0}
    key = kit.half_key(["x", "y", "z"], about)
    assert kit.half_key(["z", "y", "x"], {**about, "seed": 1}) == key
    assert kit.half_key(["x", "y", "w"], about) != key
    assert kit.half_key(["x", "y", "z"], {**about, "class_names": ("a", "c")}) != key


def test_two_looks_at_once_are_two(planted):
    lists = [started(planted, Weight(factor=0.1 * k), name=f"list {k}") for k in range(1, 7)]
    with ThreadPoolExecutor(6) as pool:
        states = [edits.state_key(planted, one.active) for one in lists]
        numbers = [look["number"] for _, look in pool.map(confirm._look, [planted] * 6, lists, states)]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]


def test_a_full_disk_is_a_sentence_and_no_look(planted, monkeypatch):
    def full(path, *arguments, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    mine = started(planted, Drop(ids=made.bad_ids()))
    state = edits.state_key(planted, mine.active)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UserError, match="disk is full"):
        edit_jobs.work(planted.run.name, mine.name, "refit")
    job = edit_jobs.status(planted.run.name, mine.name)
    assert job.state == "failed" and "disk is full" in job.message and "\n" not in job.message
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="disk is full"):
        confirm.confirm(planted, mine)
    monkeypatch.undo()
    monkeypatch.setenv("GELDA_HOME", str(planted.run.parent.parent))
    assert confirm.confirmations(planted) == [] and confirm.number_of(planted, state) == 1


def test_few_groups_have_no_interval_and_of_many_classes_one_must_change_much(planted):
    rng, items = np.random.default_rng(0), planted.table.iloc[planted.rows("dev")]
    label = items["label"].to_numpy()
    before = [
        np.where(rng.random(len(label)) < 0.5, label, (label + 1) % 4).astype(np.int16) for _ in range(HEADS)
    ]
    after = [said.copy() for said in before]
    for said in after:
        said[label == 0] = 0  # certain, whatever else is looked at
        said[np.flatnonzero(label == 1)[:7]] = 1
    found = difference(planted, before, after, items)
    ant, bee, cat, _ = found["classes"]
    assert ant["beyond"] and ant["groups"] == 40 and not cat["beyond"] and cat["ci95"] == [0, 0]
    assert bee["ci95"][0] > 0 and 0.05 / 3 < bee["p"] < 0.05 and not bee["beyond"], (
        "three are looked at with it"
    )
    few = items.assign(
        group=np.where(label == 0, "one of " + (np.arange(len(items)) % 7).astype(str), items["group"])
    )
    ant, *_ = difference(planted, before, after, few)["classes"]
    assert ant["mean"] > 0 and np.isnan(ant["ci95"]).all() and not ant["beyond"] and ant["groups"] == 7
    kennels = "kennel " + pd.Series(np.arange(len(items)) % 7).astype(str)
    tail = items.assign(group=np.where(label == 3, kennels, items["group"]))
    measures = difference(planted, before, after, tail)["measures"]
    assert np.isnan(measures["tail"]["ci95"]).all() and measures["tail"]["groups"] == 7
    assert np.isfinite(measures["uar"]["ci95"]).all() and measures["uar"]["groups"] == 127


CASE = next(case for case in coverage.CASES if case.each == 20)


def test_the_interval_of_a_refit_covers_the_truth():
    """150 experiments with real heads; benchmarks/refit_intervals.py has all cases."""
    bench, drop = coverage.problem(24)
    heads = coverage.trained(bench, drop, 8)
    found = coverage.coverage(bench, heads, CASE, 150).groupby("measure")
    assert coverage.truth(bench, heads, CASE)["tail"] > 5, "dropping what lies on another class helps"
    assert found["inside"].mean().min() > 0.88, "two standard errors of 150 experiments below 93 %"
    assert found["half"].mean()["tail"] < 20 and found["point"].mean().max() == 0


def test_looks_are_numbered_in_words():
    said = [confirm.standing(number).split()[0] for number in (1, 2, 3, 4, 11, 21)]
    assert said == ["First", "2nd", "3rd", "4th", "11th", "21st"]


def test_head_seeds_start_with_the_runs_own_and_differ(planted):
    seeds = seeds_of(planted)
    assert seeds[0] == planted.about["seed"] and len(set(seeds)) == HEADS
    start = started(planted)
    refit(planted, start)
    said = predictions(planted, ())
    assert any(not np.array_equal(said[0], other) for other in said[1:])


def test_the_command_line_gives_the_numbers_of_the_job(planted, gelda, tmp_path):
    mine = started(planted, Drop(ids=made.bad_ids()), Weight(factor=0.5))
    edit_jobs.work(planted.run.name, mine.name, "refit")
    assert edit_jobs.status(planted.run.name, mine.name).state == "done"
    by_job = history(planted, mine)
    for file in edits.folder(planted.run.name).glob("refits/*/*"):
        file.unlink()
    file, out = tmp_path / "mine.json", tmp_path / "out.json"
    file.write_text(json.dumps(mine.as_json()))
    done = gelda("run", "--from", planted.run.name, "--edits", file, "--json", out, "--confirm")
    assert done.returncode == 0, done.stderr
    assert "Drop 20 latents" in done.stdout and "First look" in done.stdout
    value = json.loads(out.read_text())
    assert {k: value[k] for k in by_job} == json.loads(json.dumps(by_job))
    assert value["confirmation"]["number"] == 1


@pytest.mark.parametrize("arguments, words", [
    (("--from", "nobody", "--edits", "x.json"), "no run called 'nobody'"),
    (("--from", made.RUN), "needs --edits FILE"),
    (("--from", made.RUN, "--edits", "none.json"), "There is no file none.json"),
    (("--confirm",), "name it with --from RUN"),
])  # fmt: skip
def test_the_command_line_says_what_is_missing(planted, gelda, arguments, words):
    done = gelda("run", *arguments)
    assert done.returncode == 2 and words in done.stderr


def test_killed_while_refitting_it_goes_on_where_it_stopped(planted, gelda_home):
    mine = started(planted, Drop(ids=made.bad_ids()))
    driver = (
        "import os, signal\n"
        "from gelda import cli, refit\n"
        "write = refit.write_tensors\n"
        "def guarded(path, tensors):\n"
        "    if path.name == 'head-3.safetensors':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    write(path, tensors)\n"
        "refit.write_tensors = guarded\n"
        "cli.main()\n"
    )
    command = [sys.executable, "-c", driver, "edit-job", planted.run.name, mine.name]
    env = {**os.environ, "GELDA_HOME": str(gelda_home)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert edit_jobs.status(planted.run.name, mine.name).state == "interrupted"
    left = pending(planted, mine.active)
    assert len(left) == 2 * HEADS - 3, "three heads are kept"
    kept = {p: p.stat().st_mtime_ns for p in edits.folder(planted.run.name).glob("refits/*/*.safetensors")}
    edit_jobs.work(planted.run.name, mine.name, "refit")
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert not pending(planted, mine.active)
    assert history(planted, mine)["steps"][0]["to_start"]["classes"][0]["ci95"][0] > 0


def test_a_job_leaves_its_failure_as_a_sentence(planted):
    mine = started(planted, Drop(ids=made.bad_ids()))
    (planted.run / "kit.parquet").unlink()
    with pytest.raises(UserError):
        edit_jobs.work(planted.run.name, mine.name, "refit")
    job = edit_jobs.status(planted.run.name, mine.name)
    assert job.state == "failed" and "kit.parquet" in job.message


def test_a_job_gives_signs_of_life_while_one_head_takes_long(planted, monkeypatch):
    mine = started(planted, Drop(ids=made.bad_ids()))
    seen = []

    def slowly(kit, steps, tick):
        document = edits.folder(planted.run.name) / "jobs" / f"{mine.name}.json"
        os.utime(document, (0, 0))
        end = time.monotonic() + 30
        while time.monotonic() < end and document.stat().st_mtime == 0:
            time.sleep(0.01)
        seen.append(edit_jobs.status(planted.run.name, mine.name).state)
        refit(kit, steps, tick)

    monkeypatch.setattr(recording, "HEARTBEAT", 0.01)
    monkeypatch.setattr("gelda.refit.refit", slowly)
    edit_jobs.work(planted.run.name, mine.name, "refit")
    assert seen == ["running"]


def test_a_step_that_comes_at_the_very_end_is_trained_too(planted, monkeypatch):
    mine = started(planted, Drop(ids=made.bad_ids()))
    write, late = edit_jobs._write, mine.push(Weight(factor=0.5))

    def last_moment(run, name, what, state, *rest, **more):
        if state == "done" and pending(planted, late.active):
            edits.save(late)
            edit_jobs.start(run, name)  # it sees a job that is going
        write(run, name, what, state, *rest, **more)

    monkeypatch.setattr(edit_jobs, "_write", last_moment)
    monkeypatch.setattr("gelda.jobs.spawn", lambda *_: pytest.fail("a second process"))
    edit_jobs.work(planted.run.name, mine.name, "refit")
    assert not pending(planted, late.active)


def waited(planted, mine, state: str) -> edit_jobs.Job:
    end = time.monotonic() + 10
    while (job := edit_jobs.status(planted.run.name, mine.name)).state != state and time.monotonic() < end:
        time.sleep(0.05)
    return job


def test_a_refit_killed_before_it_began_is_known_to_be_gone_and_the_next_step_starts_another(planted):
    mine = started(planted, Drop(ids=made.bad_ids()))
    document, pids = edits.folder(planted.run.name) / "jobs" / f"{mine.name}.json", []
    for _ in range(2):
        edit_jobs.start(planted.run.name, mine.name)
        pids.append(json.loads(document.read_text())["pid"])
        assert edit_jobs.status(planted.run.name, mine.name).going and pids[-1] != os.getpid()
        os.kill(pids[-1], signal.SIGKILL)
        job = waited(planted, mine, "interrupted")
        assert job.state == "interrupted" and "process was ended" in job.message
    assert pids[0] != pids[1]


def test_a_refit_that_is_cancelled_stops_within_a_head_and_goes_on_later(planted, monkeypatch):
    mine = started(planted, Drop(ids=made.bad_ids()))
    with pytest.raises(UserError, match="No refit"):
        edit_jobs.cancel(planted.run.name, mine.name)
    write = artifacts.write_tensors

    def third(path, tensors):
        write(path, tensors)
        if path.name == "head-2.safetensors":
            edit_jobs.cancel(planted.run.name, mine.name)
            assert edit_jobs.status(planted.run.name, mine.name).stopping

    monkeypatch.setattr("gelda.refit.write_tensors", third)
    edit_jobs.work(planted.run.name, mine.name, "refit")
    job = edit_jobs.status(planted.run.name, mine.name)
    assert (job.state, job.stopping, job.message) == ("cancelled", False, "")
    assert len(pending(planted, mine.active)) == 2 * HEADS - 3
    monkeypatch.setattr("gelda.refit.write_tensors", write)
    edit_jobs.work(planted.run.name, mine.name, "refit")
    assert not pending(planted, mine.active)
    assert edit_jobs.status(planted.run.name, mine.name).state == "done"


def test_a_step_that_comes_while_a_refit_is_stopping_keeps_it_going(planted, monkeypatch):
    mine = started(planted, Drop(ids=made.bad_ids()))
    write, late = artifacts.write_tensors, mine.push(Weight(factor=0.5))
    stopped = edit_jobs._stopped

    def at_once(run, name):  # the process has seen the wish, and has not written that down yet
        edits.save(late)
        edit_jobs.start(run, name)
        return stopped(run, name)

    def first(path, tensors):
        write(path, tensors)
        monkeypatch.setattr("gelda.refit.write_tensors", write)
        edit_jobs.cancel(planted.run.name, mine.name)

    monkeypatch.setattr("gelda.refit.write_tensors", first)
    monkeypatch.setattr(edit_jobs, "_stopped", at_once)
    monkeypatch.setattr("gelda.jobs.spawn", lambda *_: pytest.fail("a second process"))
    edit_jobs.work(planted.run.name, mine.name, "refit")
    assert not pending(planted, late.active)
    assert edit_jobs.status(planted.run.name, mine.name).state == "done"


def test_a_confirmation_measures_the_steps_that_were_seen_or_none(planted, monkeypatch):
    spawned = []
    monkeypatch.setattr("gelda.jobs.spawn", lambda arguments, log: spawned.append(arguments))
    mine = started(planted, Drop(ids=made.bad_ids()))
    seen = edits.state_key(planted, mine.active)
    edit_jobs.start(planted.run.name, mine.name, "confirm", seen)
    assert spawned[0][-1] == f"--state={seen}"
    edits.save(mine.push(Weight(factor=0.5)))  # in another window, before the process has begun
    with pytest.raises(UserError, match="changed after"):
        edit_jobs.work(planted.run.name, mine.name, "confirm", seen)
    assert edit_jobs.status(planted.run.name, mine.name).state == "failed"
    with pytest.raises(UserError, match="changed after"):
        edit_jobs.start(planted.run.name, mine.name, "confirm", seen)
    assert confirm.confirmations(planted) == [] and len(spawned) == 1


def test_starting_is_refused_where_it_must_be(planted, monkeypatch):
    spawned = []
    monkeypatch.setattr("gelda.jobs.spawn", lambda arguments, log: spawned.append(arguments))
    mine = started(planted, Drop(ids=made.bad_ids()))
    edit_jobs.start(planted.run.name, mine.name)
    edit_jobs.start(planted.run.name, mine.name)
    assert len(spawned) == 1, "the one that is going takes up what was added"
    with pytest.raises(UserError, match="still going"):
        edit_jobs.start(planted.run.name, mine.name, "confirm")
    monkeypatch.setenv("GELDA_READONLY", "1")
    with pytest.raises(UserError, match="read-only"):
        edit_jobs.start(planted.run.name, "other")


def test_the_shipped_run_has_a_kit_that_fits_its_points():
    from gelda.projection import load_points

    path = runs.find_run("digits")
    shipped, points = kit.load(path), load_points(path)
    assert np.array_equal(shipped.table["id"], points["id"].iloc[shipped.table["point"]])
    assert sum((path / name).stat().st_size for name in kit.FILES) < 1_500_000
    z, items = kit.load_test(path)
    assert len(z) == len(items) == shipped.about["test"] and np.isfinite(z).all()
    manifest = datasets.get("digits").manifest()
    config = RunConfig.model_validate(runs.read_spec(path))
    assert load_report(path)["config"]["projection"] == config.projection.model_dump(), "its maps' settings"
    data = config.data.model_dump(include={"imbalance", "empty_subdomains", "one_subdomain_a_group"})
    held = manifest.table[long_tail_cut(manifest, shipped.about["seed"], **data).split == "test"]
    assert shipped.half == kit.half_key(held["id"], shipped.about)


def test_a_level_that_a_step_empties_leaves_the_weight_of_the_others(planted, monkeypatch):
    table = planted.table.assign(level=planted.table["level"] * 2)
    good = table["id"].isin([f"gelda-{i:05d}" for i in range(made.BAD, made.BAD + made.GOOD)])
    table.loc[good, "level"] = 1
    curriculum = dataclasses.replace(planted, table=table)
    seen = []
    monkeypatch.setattr("gelda.refit.tune", lambda start, data, *rest, **more: seen.append(data[0]))
    for steps in ((), (Drop(ids=made.bad_ids()),)):
        Bench(curriculum).head(edits.applied(curriculum, steps), 0)
    for data in seen:
        assert set(data.weight[data.level == 1].tolist()) == {0.5}


def test_heads_of_another_release_are_trained_again(planted, monkeypatch):
    here = piece(planted, (), 0)
    monkeypatch.setattr("gelda.edit_figures.__version__", "0.0.1")
    assert piece(planted, (), 0) != here


def test_pieces_of_another_state_are_other_files(planted):
    assert piece(planted, (), 0) != piece(planted, (Weight(factor=2),), 0)


def test_latents_that_no_list_makes_any_more_are_given_up(planted, monkeypatch):
    class Generator:
        def sample(self, label, subdomain, count, *, seed, **_):
            return SimpleNamespace(latents=torch.randn(count, made.DIM, generator=torch.manual_seed(seed)))

    monkeypatch.setattr("gelda.generator_kit.load", lambda run: Generator())
    monkeypatch.setattr("gelda.refit.prune", partial(artifacts.prune, most_bytes=0, grace=0))
    add = [Add(cells=(("dog", "night"),), count=3, seed=seed) for seed in range(1, 5)]
    other = started(planted, add[0], name="other")
    mine = started(planted, add[1], add[2])
    for one in (other, mine):
        (*_, last) = edits.applied(planted, one.steps).made
        made_latents(planted, last)
    kept = {file.stem for file in edits.folder(planted.run.name).glob("made/*")}
    assert len(kept) == 2 and kept < edits.needed(planted)
    edits.save(mine.undo().undo())
    replaced = edits.change(planted, mine.name, lambda now: now.redo().push(add[3]))
    (_, last) = edits.applied(planted, replaced.steps).made
    made_latents(planted, last)
    left = {file.stem for file in edits.folder(planted.run.name).glob("made/*")}
    assert len(kept & left) == 1, "what was undone was needed until another step took its place"
    assert left <= edits.needed(planted)
