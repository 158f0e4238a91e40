"""The command line as a person meets it: exit codes, one sentence on stderr, nothing lost."""

import json
import os
import socket

import numpy as np
import pytest
from test_report import MADE as REPORT

from gelda import __version__, runs, terminal
from gelda.config import resolve_config


def finished_run(run_id="r1"):
    from gelda.artifacts import write_json

    state = runs.create_run(resolve_config(preset="tiny").model_dump(mode="json"), "A run", "digits", run_id)
    state.status, state.headline = "done", "h"
    write_json(state.path / "report.json", {**REPORT, "run": run_id})
    runs.save_state(state)
    return state.path


def refused(done, *words):
    """Exit code 2, one sentence on stderr that says what is wrong, and nothing else."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in done.stderr.replace("\n", " "), done.stderr
    assert not done.stdout.strip()


def test_version(gelda, gelda_process):
    for done in (gelda("--version"), gelda_process("--version")):
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_help_names_the_commands(gelda):
    done = gelda("--help")
    assert done.returncode == 0
    for command in ("demo", "run", "report", "app", "doctor"):
        assert command in done.stdout
    assert "run-stored" not in done.stdout


@pytest.mark.parametrize("arguments, words", [
    (["demo", "digitz"], ["no demo called 'digitz'", "Did you mean 'digits'"]),
    (["demo", "--no-open", "--preset", "tinny"], ["no preset called 'tinny'", "Did you mean 'tiny'"]),
    (["demo", "--no-open", "--seeds", "0"], ["'seeds' is 0", "greater than or equal to 1"]),
    (["demo", "--no-open", "--json", "missing/out.json"], ["no folder", "create it first"]),
    (["demo", "--no-open", "--json", "."], ["is a folder: name a file"]),
    (["run", "missing.json"], ["There is no file", "missing.json"]),
    (["run", "no-such-run"], ["no run called 'no-such-run'", "Runs here: digits"]),
    (["run", "--dry-run", "--set", "generator.stepz=3"], ["'generator.stepz'", "Did you mean 'steps'"]),
    (["run", "--dry-run", "--set", "generator.steps=-3"], ["'generator.steps' is -3"]),
    (["run", "--dry-run", "--set", "seeds"], ["--set seeds has no '='"]),
    (["run", "--dry-run", "--set", "seeds=3", "--set", "seeds.x=1"], ["'seeds' was already set"]),
    (["report", "nope"], ["no run called 'nope'"]),
    (["report", ".."], ["no run called '..'"]),
    (["demo", "--port", "-1"], ["Port -1 cannot be used"]),
    (["app", "--port", "99999"], ["Port 99999 cannot be used"]),
    (["doctor", "--device", "gpu"], ["Device 'gpu' is not one of auto, cpu, cuda"]),
    (["doctor", "--device", "cuda:77"], ["Device 'cuda:77' was asked for, but torch sees"]),
    (["doctor", "--precision", "fp8"], ["Precision 'fp8' is not one of auto, fp32, bf16"]),
])  # fmt: skip
def test_mistakes_are_one_sentence_and_exit_code_2(arguments, words, gelda, gelda_home):
    refused(gelda(*arguments), *words)
    assert not list(gelda_home.glob("runs/*")), "a mistake leaves no run behind"


@pytest.mark.parametrize("arguments", [["demo", "digitz"], ["report", "nope"]])
def test_a_mistake_in_a_process_of_its_own(arguments, gelda_process):
    refused(gelda_process(*arguments), "called")


@pytest.mark.parametrize("arguments", [["demmo"], ["demo", "--seedz", "3"], ["demo", "--seeds", "many"]])
def test_usage_errors_are_code_2_as_well(arguments, gelda):
    done = gelda(*arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.strip()


def test_a_port_in_use_is_told_before_anything_starts(gelda, gelda_home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for command in (["app"], ["demo"]):
            refused(
                gelda(*command, "--port", port), f"Port {port} cannot be used", "choose another with --port"
            )
    assert not gelda_home.exists()


def test_a_workspace_that_cannot_be_written_is_told(gelda, gelda_home):
    gelda_home.write_text("a file where the folder should be")
    refused(
        gelda("demo", "--no-open", "--preset", "tiny"),
        "cannot be written",
        "set GELDA_HOME to another folder",
    )
    done = gelda("doctor")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("writable"))
    assert line.endswith("False")


@pytest.mark.parametrize("content, words", [
    ("{", ["not valid JSON"]),
    ("[1]", ["is not a spec", "one JSON object"]),
    ('{"format": 99, "config": {}}', ["has format 99", "upgrade"]),
    ('{"config": {"seeds": 3}}', ["no 'format' number"]),
    ('{"sedes": 3}', ["no setting called 'sedes'", "Did you mean 'seeds'"]),
])  # fmt: skip
def test_broken_specs(content, words, gelda, tmp_path):
    (tmp_path / "spec.json").write_text(content)
    refused(gelda("run", "spec.json", "--dry-run"), *words)


def test_a_dry_run_prints_settings_that_can_be_run(gelda, tmp_path):
    done = gelda(
        "run",
        "--preset",
        "tiny",
        "--dry-run",
        "--set",
        "generator.steps=7",
        "--set",
        'data.empty_subdomains=["thick"]',
    )
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["generator"]["steps"] == 7 and values["data"]["empty_subdomains"] == ["thick"]
    (tmp_path / "spec.json").write_text(done.stdout)
    assert json.loads(gelda("run", "spec.json", "--dry-run").stdout) == values


@pytest.mark.parametrize("content, words", [
    ('{"format": 1, "sta', ["not valid JSON"]),
    ('{"format": 99}', ["has format 99", "upgrade"]),
    ('{"format": 1}', ["half written"]),
])  # fmt: skip
def test_a_broken_or_newer_run_is_not_resumed_and_stays_as_it_is(content, words, gelda):
    path = finished_run()
    (path / "run.json").write_text(content)
    refused(gelda("run", "r1"), *words)
    refused(gelda("run-stored", "r1"), *words)
    assert (path / "run.json").read_text() == content


def test_a_stored_spec_with_an_unknown_setting_is_a_sentence(gelda):
    path = finished_run()
    spec = json.loads((path / "spec.json").read_text())
    spec["config"]["generator"]["stepz"] = 1
    (path / "spec.json").write_text(json.dumps(spec))
    refused(gelda("run", "r1"), "no setting called 'generator.stepz'")


@pytest.mark.parametrize(
    "form, first",
    [("md", "# toy"), ("csv", "method,subdomain,measure"), ("latex", "% Percent"), ("json", "{")],
)
def test_report_prints_every_form(form, first, gelda):
    finished_run()
    for run_id in ("r1", "latest"):
        done = gelda("report", run_id, "--format", form)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(first) and "gelda" in done.stdout.lower()


def test_report_of_an_unfinished_or_broken_run(gelda):
    path = finished_run()
    refused(gelda("report", "r1", "--format", "html"), "no report format 'html'")
    (path / "report.json").write_text("{")
    refused(gelda("report", "r1"), "not valid JSON")
    (path / "report.json").unlink()
    refused(gelda("report", "r1"), "has no report yet: let it finish or resume it")


def test_a_closed_pipe_is_no_error(gelda_home, tmp_path):
    import subprocess
    import sys

    finished_run()
    code = subprocess.run(
        f"{sys.executable} -m gelda report r1 --format json | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "GELDA_HOME": str(gelda_home)},
    )  # fmt: skip
    assert "Traceback" not in code.stderr


def test_doctor_says_what_the_machine_has(gelda, gelda_home):
    finished_run()
    done = gelda("doctor", "--speed")
    assert done.returncode == 0, done.stderr
    for words in (
        "version of torch",
        "threads",
        "cuda",
        "device that would be used",
        "matrix products",
        "GFLOP/s",
        f"{gelda_home} (1 runs)",
        "free disk",
        "encoder mini-image",
        "shipped runs",
    ):
        assert words in done.stdout, words


@pytest.mark.slow
def test_cancelling_is_exit_code_130(gelda_home, tmp_path):
    """Ctrl-C while the run works: 130, the run is kept as cancelled, no traceback."""
    import signal
    import subprocess
    import sys

    from test_kill import DRIVER, SPEC

    (tmp_path / "spec.json").write_text(
        json.dumps({**SPEC, "generator": {"steps": 100_000, "width": 16, "depth": 1}})
    )
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, "run", "spec.json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GELDA_HOME": str(gelda_home)},
    )
    try:
        while process.poll() is None:
            found = runs.list_runs()
            if found and found[0].stage == "generate":
                break
            signal.sigtimedwait([], 0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err and "gelda: cancelled; what was finished is kept" in err
    assert runs.list_runs()[0].status == "cancelled"


def test_report_falls_back_on_the_run_that_ships(gelda, monkeypatch):
    done = gelda("report")
    assert done.returncode == 0 and done.stdout.startswith("# digits demo") and "| GeLDA |" in done.stdout
    monkeypatch.setattr("gelda.runs.shipped_runs", lambda: [])
    refused(gelda("report"), "no finished run yet", "gelda demo")


def test_report_refuses_a_run_of_a_newer_release(gelda, gelda_home):
    folder = gelda_home / "runs" / "later"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"format": 99}')
    (folder / "report.json").write_text('{"format": 1}')
    refused(gelda("report", "later"), "format 99", "upgrade GeLDA")


@pytest.mark.parametrize(
    "setting",
    [
        'methods=["geldaa"]',
        "sampling.filter=confidenc",
        "precision=fp99",
        "device=cuda:77",
        "generator.adapter_layer=5",
        "adapter.fm_layer=stage9",
        "adapter.fm_layer=weighted",
    ],
)
def test_a_dry_run_and_a_run_refuse_what_cannot_work_and_leave_no_folder(setting, gelda, gelda_home):
    for arguments in (["run", "--dry-run"], ["run"]):
        refused(gelda(*arguments, "--set", setting))
    assert not (gelda_home / "runs").exists()


def test_names_are_printed_as_they_are(capsys):
    """Classes and folders may be called like rich's markup and emoji."""
    names = ["[red]", "[/x]", ":dog:"]
    terminal.print_similarity("Cosine of [/x]", names, np.eye(3).tolist())
    shown = capsys.readouterr().out
    assert all(shown.count(name) >= 2 for name in names) and "Cosine of [/x]" in shown
