"""Maps as jobs: several in one process, failures said, what is finished kept; and on the command line."""

import time
from pathlib import Path

import numpy as np
import pytest
from app_fixtures import RUN, make_run
from typer.testing import CliRunner

from gelda import cli, embedding, jobs, layer_maps, map_costs, map_jobs, projection
from gelda.artifacts import read_json
from gelda.errors import UserError
from gelda.settings import ProjectionConfig

CONFIG = ProjectionConfig(n_neighbors=9, seed=2)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path))
    monkeypatch.delenv("GELDA_READONLY", raising=False)
    return make_run(tmp_path)


@pytest.fixture
def spawned(monkeypatch):
    calls = []
    monkeypatch.setattr(jobs, "spawn", lambda arguments, log: calls.append(arguments))
    return calls


@pytest.fixture
def quick(monkeypatch):
    """A map in no time: the first two dimensions."""

    def embed(real, others, config, rows):
        if len(real) < 5:
            raise UserError(f"A map needs at least 5 real latents; this selection has {len(real)}.")
        return embedding.Embedding(real[:, :2], others[:, :2], 0.9, len(rows))

    monkeypatch.setattr(embedding, "embed", embed)


def test_compiling_is_timed_apart_and_waited_for_once_a_process(run, quick, monkeypatch):
    waits = [0.4]
    monkeypatch.setattr(embedding, "_compiled", lambda: time.sleep(waits.pop() if waits else 0))
    first, second = (projection.project(run, layer, "all", "", CONFIG) for layer in ("adapter.1", "stage2.1"))
    assert first.compiling >= 0.4 > first.seconds and second.compiling < 0.1
    assert [m.key for m in map_costs.timed()][:2] == [second.key, first.key]


def test_several_maps_are_made_and_a_failure_keeps_the_others(run, spawned, quick):
    scopes = [("adapter.1", "class", "two"), ("adapter.1", "class", "twelve"), ("stage2.1", "all", "")]
    keys = map_jobs.start_projections(RUN, scopes, CONFIG, "fine")
    assert spawned == [["project-stored", RUN, *keys]]
    waiting = [m for m in projection.list_maps(run) if m.key in keys]
    assert len(waiting) == 3 and {m.state for m in waiting} == {"running"}
    done = CliRunner().invoke(cli.app, spawned[0])
    assert done.exit_code == 1
    found = {m.key: m for m in projection.list_maps(run)}
    two, twelve, early = (found[key] for key in keys)
    assert (two.state, early.state, two.name) == ("done", "done", "fine")
    assert two.settings == CONFIG.model_dump() and np.isfinite(projection.load_map(run, two.key)).any()
    assert twelve.state == "failed" and twelve.message.startswith(
        "There is no class called 'twelve'; there are"
    )
    assert layer_maps.load_change(run)["change"][0]["from"] == "stage2.1"


def test_maps_that_were_finished_before_a_kill_are_not_made_again(run, spawned, quick, monkeypatch):
    keys = map_jobs.start_projections(
        RUN, [("adapter.1", "class", "two"), ("adapter.1", "class", "one")], CONFIG
    )
    projection.project(run, "adapter.1", "class", "two", CONFIG)  # then the process was killed
    made = []
    whole = projection.project
    monkeypatch.setattr(projection, "project", lambda *a: made.append(a[3]) or whole(*a))
    assert map_jobs.make_projections(RUN, keys) == 0
    assert made == ["one"] and {m.state for m in projection.list_maps(run)} == {"done"}


def test_a_map_that_was_cut_off_before_its_document_said_so_is_made_again(run, spawned, quick, monkeypatch):
    (key,) = map_jobs.start_projections(RUN, [("adapter.1", "class", "two")], CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr(projection, "write_map_info", lambda info: 1 / 0)  # killed after the coordinates
        with pytest.raises(ZeroDivisionError):
            projection.project(run, "adapter.1", "class", "two", CONFIG)
    assert (run / "maps" / f"{key}.safetensors").is_file()
    again = map_jobs.start_projections(RUN, [("adapter.1", "class", "two")], CONFIG)
    assert again == [key] and map_jobs.make_projections(RUN, again) == 0
    (info,) = (m for m in projection.list_maps(run) if m.key == key)
    assert info.state == "done" and info.trustworthiness is not None


def test_a_finished_map_that_is_asked_for_again_stays_finished(run, spawned, quick):
    wanted = [("adapter.1", "class", "two")]
    map_jobs.make_projections(RUN, map_jobs.start_projections(RUN, wanted, CONFIG, "fine"))
    before = projection.list_maps(run)
    (key,) = map_jobs.start_projections(RUN, wanted, CONFIG)
    assert projection.list_maps(run) == before and spawned[-1][-1] == key


def test_what_is_unexpected_is_said_in_the_map_s_document(run, spawned, monkeypatch):
    monkeypatch.setattr(embedding, "embed", lambda *_: 1 / 0)
    (key,) = map_jobs.start_projections(RUN, [("adapter.1", "class", "two")])
    assert map_jobs.make_projections(RUN, [key]) == 1
    document = read_json(run / "maps" / f"{key}.json")
    assert document["state"] == "failed" and document["message"] == "ZeroDivisionError: division by zero"


def test_a_server_for_looking_starts_none(run, spawned, monkeypatch):
    monkeypatch.setenv("GELDA_READONLY", "1")
    with pytest.raises(UserError, match="read-only"):
        map_jobs.start_projection(RUN, "adapter.1")
    assert not spawned and len(projection.list_maps(run)) == 1


def test_the_command_makes_maps_of_every_class(run, quick):
    wanted = ["project", RUN, "adapter.1", "--scope", "each-class", "--n-neighbors", "9", "--name", "each"]
    done = CliRunner().invoke(cli.app, wanted)
    assert done.exit_code == 0 and done.output.count("trustworthiness 0.900") == 10
    made = [m for m in projection.list_maps(run) if m.name == "each"]
    assert len(made) == 10
    assert {(m.n_neighbors, m.scope_kind) for m in made} == {(9, "class")}


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--metric", "l7"], "'metric' is 'l7'"),
        (["--scope", "class:twelve"], "no class called 'twelve'"),
        (["--scope", "each"], "scope 'each' is not one of"),
        (["elsewhere"], "no layer called 'elsewhere'"),
    ],
)
def test_wrong_input_is_a_sentence(flags, words, run, quick):
    done = CliRunner().invoke(cli.app, ["project", RUN, *flags])
    assert isinstance(done.exception, UserError) and words in str(done.exception)
