"""A run that is killed with SIGKILL at any stage goes on from there and ends with the very same numbers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gelda import runs

TESTS = Path(__file__).resolve().parent

# The command line with the planted data registered. GELDA_TEST_KILL=text: the process kills itself with
# SIGKILL before the first file whose path holds that text is renamed into place.
DRIVER = f"""
import os, signal, sys
sys.path.insert(0, {str(TESTS)!r})
from conftest import PLANTED_DATASET, PLANTED_ENCODER
from gelda import artifacts, cli, datasets, encoders
datasets.DATASETS["planted"], encoders.ENCODERS["planted"] = PLANTED_DATASET, PLANTED_ENCODER
kill, replace = os.environ.get("GELDA_TEST_KILL"), os.replace
def guarded(source, target):
    if kill and kill in str(target):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
artifacts.os.replace = guarded
cli.main()
"""
SPEC = {
    "name": "planted",
    "seeds": 2,
    "data": {"dataset": "planted", "empty_subdomains": ["shifted"], "imbalance": 6},
    "encoder": {"name": "planted"},
    "adapter": {"steps": 40, "tune_steps": 40, "batch_size": 64, "hidden": [16]},
    "generator": {"steps": 60, "batch_size": 64, "width": 32, "depth": 1, "condition_dim": 16},
    "sampling": {"num_inference_steps": 10, "filter": "confidence"},
    "projection": {"fit_on": 60},
}
# One place in every stage, in the order in which a run meets them.
PLACES = [
    "deep/shard-00000",
    "adapt-1-",
    "generate-0-",
    "smote.safetensors",
    "heads.safetensors",
    "points.parquet",
]


def gelda(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", DRIVER, *arguments],
        cwd=home.parent, capture_output=True, text=True, timeout=300,
        env={**os.environ, "GELDA_HOME": str(home), **environment},
    )  # fmt: skip


def figures(path: Path) -> dict:
    """A report without what may differ: times, the run's name and the versions."""
    value = json.loads((path / "report.json").read_text())
    return {k: v for k, v in value.items() if k not in ("seconds", "run", "versions")}


def only_run(home: Path) -> Path:
    (path,) = (home / "runs").iterdir()
    return path


def let_time_pass(path: Path) -> None:
    """As if the killed run had been silent for long enough to be known as interrupted."""
    for name in ("run.json", "heartbeat"):
        if (path / name).exists():
            os.utime(path / name, (time.time() - 2 * runs.SILENCE,) * 2)


def whole(path: Path) -> dict[Path, tuple[int, int]]:
    """Files of the finished stages of a run and of its bank: inode and time of writing."""
    stages = [done.parent.glob("*.*") for done in path.glob("stages/*/done.json")]
    banks = [done.parent.glob("*/*.safetensors") for done in path.parent.parent.glob("banks/*/manifest.json")]
    files = [f for folder in stages + banks for f in folder]
    return {f: (f.stat().st_ino, f.stat().st_mtime_ns) for f in files if not f.name.endswith(".tmp")}


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """The same spec, run once without interruption."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "spec.json").write_text(json.dumps(SPEC))
    done = gelda(folder / "home", "run", "spec.json")
    assert done.returncode == 0, done.stderr
    return only_run(folder / "home")


@pytest.mark.slow
def test_killed_in_every_stage_a_run_ends_as_if_nothing_had_happened(reference, tmp_path):
    home = tmp_path / "killed"
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    command = ["run", "spec.json"]
    before: dict = {}
    for place in PLACES:
        done = gelda(home, *command, GELDA_TEST_KILL=place)
        assert done.returncode == -signal.SIGKILL, (place, done.stdout, done.stderr)
        path = only_run(home)
        let_time_pass(path)
        assert runs.read_state(path).status == "interrupted", place
        after = whole(path)
        assert {file: after.get(file) for file in before} == before, "what was whole is not written again"
        before, command = after, ["run", path.name]
    done = gelda(home, *command)
    assert done.returncode == 0, done.stderr
    assert runs.read_state(path).status == "done"
    assert figures(path) == figures(reference)
    stages = {stage.name: stage for stage in runs.read_state(path).stages}
    assert all(stages[name].earlier > 0 for name in ("adapt", "generate"))
    took = json.loads((path / "report.json").read_text())["seconds"]
    assert {name: stages[name].seconds for name in took} == took, "of all attempts"
    for name in ("points/deep.safetensors", "neighbours.safetensors"):
        assert (path / name).read_bytes() == (reference / name).read_bytes(), name


@pytest.mark.slow
def test_a_job_killed_from_outside_is_interrupted_and_resumes(reference, tmp_path):
    home = tmp_path / "home"
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, "run", "spec.json"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GELDA_HOME": str(home)},
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if list(home.glob("runs/*/stages/generate-*")):
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    path = only_run(home)
    refused = gelda(home, "run", path.name)
    if refused.returncode != 0:  # its last sign of life is seconds old: it may still be going
        assert refused.returncode == 2 and "already going in another process" in refused.stderr
    let_time_pass(path)
    done = gelda(home, "run", path.name)
    assert done.returncode == 0, done.stderr
    assert figures(path) == figures(reference)


@pytest.mark.slow
def test_a_file_cut_short_on_disk_is_a_sentence_and_nothing_is_lost(reference, tmp_path):
    import shutil

    home = tmp_path / "home"
    shutil.copytree(reference.parent.parent, home)
    path = only_run(home)
    model = next(path.glob("stages/generate-0-*/model.safetensors"))
    model.write_bytes(model.read_bytes()[:100])
    refused = gelda(home, "run", path.name)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "model.safetensors cannot be read as safetensors: delete it and resume" in refused.stderr
    assert figures(path) == figures(reference), "the old report is still there"
