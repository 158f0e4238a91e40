"""Comparisons as runs: started, found again, resumed in the background, and what a row may claim."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gelda import cli, compare, compare_runs, jobs, map_jobs, projection, report, runs, verdicts
from gelda.errors import UserError
from gelda.ready import open_bank

METHODS = ["ce", "logit-adjustment", "smote", "gelda"]
VALUES = {"methods": METHODS, "imbalance": 8.0, "device": "cpu"}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GELDA_READONLY", raising=False)
    return tmp_path


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: calls.append(arguments))
    return calls


def write_bank(path: Path, seed: int = 0) -> Path:
    """Three classes in two subdomains, 40 items a cell, as far apart as their noise."""
    rng = np.random.default_rng(seed)
    label, subdomain = np.repeat(np.arange(3), 80), np.tile(np.repeat([0, 1], 40), 3)
    centre = rng.normal(size=(3, 6)) + 0.5 * rng.normal(size=(2, 1, 6))
    np.savez(
        path,
        z_last=(centre[subdomain, label] + rng.normal(size=(240, 6))).astype(np.float32),
        y=label,
        class_names=np.array(["ant", "bee", "cat"]),
        subdomain=subdomain,
        subdomain_names=np.array(["day", "night"]),
    )
    return path


def test_a_comparison_is_started_in_the_background_and_finishes(workspace, spawned, monkeypatch):
    bank = write_bank(workspace / "small bank.npz")
    monkeypatch.chdir(workspace)
    run_id = jobs.start_comparison({**VALUES, "bank": bank.name}, "tiny")
    state = runs.read_state(runs.find_run(run_id))
    assert (
        spawned == [["queued", run_id, "--", "run-stored", run_id]]
        and state.comparison
        and state.status == "queued"
    )
    assert runs.read_spec(state.path)["bank"] == str(bank), "it must be found from any working directory"
    monkeypatch.chdir("/")
    done = CliRunner().invoke(cli.app, ["run-stored", run_id])
    assert done.exit_code == 0, done.output
    found = report.load_report(state.path)
    assert list(found["methods"]) == METHODS and runs.read_state(state.path).status == "done"
    monkeypatch.chdir(workspace)
    assert jobs.start_comparison({**VALUES, "bank": bank.name}, "tiny") == run_id
    assert len(spawned) == 1, "a finished comparison is shown, not computed again"


def test_a_given_cut_from_the_command_line_to_its_report(workspace, monkeypatch):
    """A long-tailed train split as it is; one choice for all seeds; what intervals are over is said."""
    bank = write_bank(workspace / "bank.npz")
    arrays = dict(np.load(bank))
    kept = np.isin(np.arange(240) % 40, range(10)) | (arrays["y"] == 0) | (np.arange(240) < 100)
    split = np.where(np.arange(240) % 3 == 2, "test", np.where(kept, "train", ""))
    np.savez(bank, **arrays, split=split)
    call = ["compare", str(bank), "--cut", "given", "--preset", "tiny", "--methods", ",".join(METHODS)]
    call += ["--json", str(workspace / "out.json")]
    first = CliRunner().invoke(cli.app, call)
    assert first.exit_code == 0, first.output
    found = json.loads((workspace / "out.json").read_text())
    assert found["setting"].startswith(
        "bank: long tail as the data's own split has it; classes ant, bee, cat"
    )
    assert f"; {(split == 'train').sum()} training items" in found["setting"]
    assert f"{(split == 'test').sum()} items tested" in found["setting"]
    assert any("same in every seed: seeds vary generators and heads" in note for note in found["notes"])
    choices = found["config"]["selection"]
    assert choices["0"] == choices["1"] and found["run"].startswith("compare-bank-longtail-given-")
    counts = {row["class"]: row["count"] for row in found["per_class"]}
    assert counts == {c: int(((split == "train") & (arrays["y"] == c)).sum()) for c in range(3)}
    assert "was finished before" in CliRunner().invoke(cli.app, call).output


def test_twelve_speakers_of_whom_two_say_the_rare_class_prove_nothing_of_it(workspace):
    arrays = dict(np.load(write_bank(workspace / "bank.npz")))
    at, rare = np.arange(240), arrays["y"] == 2
    test = at % 3 == 2
    split = np.where(test, "test", np.where(rare & (at % 12 != 0), "", "train"))
    speaker = np.where(test, np.where(rare, at // 3 % 2, at // 3 % 12), 100 + at)
    np.savez(workspace / "bank.npz", **arrays, split=split, speaker=speaker)
    call = ["compare", str(workspace / "bank.npz"), "--cut", "given", "--preset", "tiny", "--device", "cpu"]
    done = CliRunner().invoke(
        cli.app, [*call, "--methods", "ce,gelda", "--json", str(workspace / "out.json")]
    )
    assert done.exit_code == 0, done.output
    found = json.loads((workspace / "out.json").read_text())
    assert found["countable"] and {m: found["paired"]["ce"][m]["groups"] for m in report.PAIRED} == {
        "overall": 12, "tail": 2, "uar": 12, "unseen": 0
    }  # fmt: skip
    noted = [note for note in found["notes"] if "test groups" in note]
    assert noted == ["Tail classes: only 2 test groups, so the figures are shown and count for no claim."]


def test_an_interrupted_comparison_goes_on_with_what_it_had(workspace, spawned, monkeypatch):
    bank = write_bank(workspace / "bank.npz")
    run_id = jobs.start_comparison({**VALUES, "bank": str(bank)}, "tiny")
    path = runs.find_run(run_id)
    work = compare.Comparison._train

    def stop(self, seed, choice, tick):
        if seed == 1:
            raise KeyboardInterrupt
        return work(self, seed, choice, tick)

    monkeypatch.setattr(compare.Comparison, "_train", stop)
    CliRunner().invoke(cli.app, ["run-stored", run_id])
    assert runs.read_state(path).status == "cancelled"
    kept = {f: f.stat().st_mtime_ns for f in (path / "stages").rglob("*") if f.is_file()}
    assert any("train-0" in str(f) for f in kept) and not (path / "report.json").exists()
    monkeypatch.setattr(compare.Comparison, "_train", work)
    jobs.resume(run_id)
    assert spawned[-1] == ["queued", run_id, "--", "run-stored", run_id]
    done = CliRunner().invoke(cli.app, ["run", run_id])  # the same by hand
    assert done.exit_code == 0, done.output
    assert (path / "report.json").exists() and runs.read_state(path).status == "done"
    assert {f: f.stat().st_mtime_ns for f in kept} == kept, "finished parts are kept as they were"


def test_a_bank_that_changed_or_went_is_refused_in_a_sentence(workspace, spawned):
    bank = write_bank(workspace / "bank.npz")
    run_id = jobs.start_comparison({**VALUES, "bank": str(bank)}, "tiny")
    state = runs.read_state(runs.find_run(run_id))
    state.status = "interrupted"
    runs.save_state(state)
    write_bank(bank, seed=1)
    with pytest.raises(UserError, match="is not what it was .*start it anew"):
        jobs.resume(run_id)
    with pytest.raises(UserError, match="is not what it was"):
        CliRunner().invoke(cli.app, ["run-stored", run_id], catch_exceptions=False)
    assert runs.read_state(state.path).status == "failed", "a background process leaves its reason behind"
    bank.unlink()
    with pytest.raises(UserError, match="There is no bank at"):
        jobs.resume(run_id)
    assert len(spawned) == 1


def test_what_cannot_work_is_refused_before_a_run_exists(workspace, spawned):
    bank = str(write_bank(workspace / "bank.npz"))
    with pytest.raises(UserError, match="night"):
        jobs.start_comparison({**VALUES, "bank": bank, "protocol": "zero-shot", "target": "nigth"}, "tiny")
    with pytest.raises(UserError, match="no bank at"):
        jobs.start_comparison({**VALUES, "bank": bank + "x"}, "tiny")
    assert not runs.list_runs() and not spawned


def test_a_map_of_a_comparison_is_made_when_it_has_points(workspace, spawned):
    bank = write_bank(workspace / "bank.npz")
    run_id = jobs.start_comparison({**VALUES, "bank": str(bank)}, "tiny")
    with pytest.raises(UserError, match="keeps no points to draw a map of"):
        map_jobs.start_projection(run_id, "last")
    assert CliRunner().invoke(cli.app, ["run-stored", run_id]).exit_code == 0
    assert map_jobs.start_projection(run_id, "last")
    (info,) = projection.list_maps(runs.find_run(run_id))
    assert spawned[-1] == ["project-stored", run_id, info.key]


def test_a_comparison_from_before_points_were_kept_gets_them(workspace, spawned):
    bank = write_bank(workspace / "bank.npz")
    run_id = jobs.start_comparison({**VALUES, "bank": str(bank)}, "tiny")
    CliRunner().invoke(cli.app, ["run-stored", run_id])
    path = runs.find_run(run_id)
    figures = report.load_report(path)["methods"]
    (path / "points.json").unlink()
    jobs.resume(run_id)
    CliRunner().invoke(cli.app, ["run-stored", run_id])
    assert runs.read_state(path).mapped and report.load_report(path)["methods"] == figures


def test_a_name_of_any_length_and_letters_keeps_its_key(workspace):
    bank = open_bank(write_bank(workspace / f"ä (new) {'long ' * 40}.npz"))
    from gelda.compare_config import resolve_compare

    ids = {
        compare_runs.run_id(resolve_compare({"bank": "b.npz", "imbalance": i}), bank) for i in (10.0, 20.0)
    }
    assert len(ids) == 2 and all(len(i) < 200 for i in ids)
    for one in ids:
        (runs.home() / "runs" / one).mkdir(parents=True)
        assert runs.find_run(one).name == one


# -- what a row may claim ------------------------------------------------------------------------------------


def made(pairs: dict[str, tuple[float, float, float]], means: dict[str, float], **more) -> dict:
    """A report with gelda − method on the tail, and the methods' means (their own intervals ± 1)."""
    value = {
        "seeds": list(range(5)),
        "methods": {m: {"tail": {"mean": v, "ci95": [v - 1, v + 1]}} for m, v in means.items()},
        "paired": {m: {"tail": {"mean": p[0], "ci95": list(p[1:])}} for m, p in pairs.items()},
    }
    return {**value, **more}


MEANS = {"ce": 50.0, "smote": 58.0, "gelda-paper": 70.0, "gelda": 60.0, "gelda-uncond": 75.0}


@pytest.mark.parametrize(
    ("ce", "smote", "standing", "words"),
    [
        ((10, 8, 12), (2, 0.5, 3.5), "every", "ahead of every baseline"),
        ((10, -1, 21), (2, 0.5, 3.5), "best", "not told apart from ce"),
        ((10, 8, 12), (2, -0.5, 4.5), "inside", "inside the interval of the best baseline, smote"),
        ((10, 8, 12), (-2, -3.5, -0.5), "behind", "behind smote by 2.0 [0.5, 3.5]"),
        ((10, 8, 12), (2, float("nan"), float("nan")), "unknown", "without an interval"),
    ],
)
def test_a_verdict_says_what_the_paired_intervals_allow(ce, smote, standing, words):
    found = verdicts.verdict(made({"ce": ce, "smote": smote, "gelda-uncond": (-15, -16, -14)}, MEANS), "tail")
    assert found.standing == standing and found.best == "smote"
    assert words in verdicts.sentence(found, {})
    assert found.counted


def test_few_groups_or_few_seeds_are_never_counted():
    pairs = {"ce": (10, 8, 12), "smote": (2, 1, 3), "gelda-paper": (5, 3, 7)}
    means = MEANS | {"gelda-paper": 55.0}
    assert not verdicts.verdict(made(pairs, means, countable=False), "tail").counted
    assert not verdicts.verdict(made(pairs, means, seeds=[0, 1]), "tail").counted
    assert verdicts.clear_best(made(pairs, means, countable=False), "tail") is None
    assert verdicts.clear_best(made(pairs, means), "tail") == "gelda"
    few = made(pairs, means)
    for figures in few["methods"].values():
        figures |= {"tail": {**figures["tail"], "groups": 2}, "uar": {**figures["tail"], "groups": 12}}
    found = verdicts.verdict(few, "tail")
    assert (found.standing, found.counted) == ("every", False) and not verdicts.counts(few)
    assert verdicts.clear_best(few, "tail") is None and verdicts.counts(few, "uar")


def test_the_best_is_marked_only_where_an_interval_allows():
    pairs = {"ce": (10, 8, 12), "smote": (2, -0.1, 4.1), "gelda-paper": (5, 3, 7)}
    means = MEANS | {"gelda-paper": 55.0}
    assert verdicts.clear_best(made(pairs, means), "tail") is None
    other = copy.deepcopy(means) | {"smote": 63.0}
    assert verdicts.clear_best(made(pairs, other), "tail") == "smote"  # 62 to 64 against 59 to 61
    assert verdicts.clear_best(made(pairs, means | {"smote": 61.5}), "tail") is None  # 60.5 is under 61
    ahead = {"ce": (10, 8, 12), "smote": (2, 1, 3), "gelda-paper": (-10, -12, -8)}
    assert verdicts.clear_best(made(ahead, MEANS), "tail") == "gelda-paper", (
        "the paper's form is a method, too"
    )
    near = ahead | {"gelda-paper": (0.2, -1, 1.4)}
    assert verdicts.clear_best(made(near, means | {"gelda-paper": 59.8}), "tail") is None
    alone = made(pairs, other)
    for value in alone["methods"].values():
        value["worst"] = value["tail"]
    assert verdicts.clear_best(alone, "worst") is None, "its interval knows nothing of the items"


def test_measures_that_are_missing_have_no_verdict():
    assert verdicts.verdict(made({}, {"ce": 1.0}), "tail") is None
    assert verdicts.verdict(made({"ce": (1, 0, 2)}, MEANS), "unseen") is None
    assert verdicts.main_measure({"config": {"protocol": "few-shot"}}) == "uar"
    assert verdicts.main_measure({"config": {"data": {}}}) == "tail"
