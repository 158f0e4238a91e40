"""Files on disk: atomic, versioned, and a sentence where they are broken."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors
import torch
from pydantic import BaseModel
from safetensors import SafetensorError

from gelda import artifacts
from gelda.errors import UserError

TABLE = pd.DataFrame({"id": ["a", "b"], "label": [0, 1]})


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.endswith(".tmp")]


@pytest.mark.parametrize("error", [ValueError("stop"), KeyboardInterrupt("stop")])
def test_a_failing_write_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "x.json"
    artifacts.write_json(path, {"old": 1})
    with pytest.raises(type(error), match="stop"):
        with artifacts.atomic(path) as temporary:
            temporary.write_text("half")
            raise error
    assert json.loads(path.read_text()) == {"old": 1}
    assert leftovers(tmp_path) == []


def test_the_file_appears_only_when_whole(tmp_path):
    path = tmp_path / "deep" / "x.txt"
    with artifacts.atomic(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "whole" and leftovers(path.parent) == []


def test_a_value_without_json_form_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(TypeError, match="set has no JSON form"):
        artifacts.write_json(tmp_path / "x.json", {"a": {1, 2}})
    assert list(tmp_path.iterdir()) == []


def test_json_round_trip_turns_what_json_lacks_into_null(tmp_path):
    value = {
        "nan": float("nan"),
        "inf": [float("inf"), -np.inf],
        "np": np.float32(1.5),
        "npnan": np.float64("nan"),
        "int": np.int64(3),
        "bool": np.bool_(True),
        "array": np.arange(3),
        "tuple": (1, 2),
        "path": Path("a/b"),
        "text": "é",
    }
    artifacts.write_json(tmp_path / "x.json", value)
    assert (
        "NaN" not in (tmp_path / "x.json").read_text() and "Infinity" not in (tmp_path / "x.json").read_text()
    )
    assert artifacts.read_json(tmp_path / "x.json") == {
        "nan": None,
        "inf": [None, None],
        "np": 1.5,
        "npnan": None,
        "int": 3,
        "bool": True,
        "array": [0, 1, 2],
        "tuple": [1, 2],
        "path": "a/b",
        "text": "é",
    }


def test_nan_inside_an_array_becomes_null_too(tmp_path):
    artifacts.write_json(tmp_path / "x.json", {"a": np.array([1.0, np.nan])})
    assert artifacts.read_json(tmp_path / "x.json") == {"a": [1.0, None]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_round_trip_bit_for_bit(tmp_path, dtype):
    value = (torch.arange(12).reshape(3, 4) % 2 if dtype == torch.bool else torch.randn(3, 4) * 9).to(dtype)
    artifacts.write_tensors(
        tmp_path / "x.safetensors", {"a": value, "view": value.T, "np": value.float().clone().numpy()}
    )
    found = artifacts.read_tensors(tmp_path / "x.safetensors")
    assert torch.equal(found["a"], value) and found["a"].dtype == dtype
    assert torch.equal(found["view"], value.T) and torch.equal(found["np"], value.float())


def test_table_round_trip(tmp_path):
    artifacts.write_table(tmp_path / "x.parquet", TABLE)
    pd.testing.assert_frame_equal(artifacts.read_table(tmp_path / "x.parquet"), TABLE)


READERS = [artifacts.read_json, artifacts.read_tensors, artifacts.read_table]


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file_is_a_sentence(read, tmp_path):
    with pytest.raises(UserError, match=r"no file .*nothing|nothing cannot be read"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize("read", READERS)
def test_a_folder_in_place_of_a_file_is_a_sentence(read, tmp_path):
    (tmp_path / "folder").mkdir()
    if read is artifacts.read_table:
        (tmp_path / "folder" / "part.parquet").write_bytes(b"no parquet")  # an empty folder is an empty table
    with pytest.raises(UserError, match="folder cannot be read"):
        read(tmp_path / "folder")


@pytest.mark.parametrize("read, words", zip(READERS, ["JSON", "safetensors", "Parquet"], strict=True))
@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe\x00garbage" * 9])
def test_a_malformed_file_is_a_sentence(read, words, content, tmp_path):
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"broken .*{words}"):
        read(path)


@pytest.mark.parametrize("read, write, value", [
    (artifacts.read_tensors, artifacts.write_tensors, {"a": torch.randn(50, 50)}),
    (artifacts.read_table, artifacts.write_table, TABLE),
    (artifacts.read_json, artifacts.write_json, {"a": list(range(99))}),
])  # fmt: skip
def test_a_truncated_file_is_a_sentence(read, write, value, tmp_path):
    write(tmp_path / "x", value)
    whole = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be read as|not valid JSON"):
        read(tmp_path / "x")


@pytest.mark.parametrize("value, words", [
    ({"format": artifacts.FORMAT + 1}, "has format 2, this release reads up to 1: upgrade GeLDA"),
    ({}, "no 'format' number"),
    ({"format": "1"}, "no 'format' number"),
    ([1], "no 'format' number"),
    (None, "no 'format' number"),
])  # fmt: skip
def test_documents_of_newer_releases_are_refused(value, words):
    with pytest.raises(UserError, match=words):
        artifacts.check_format(value, Path("run.json"))
    artifacts.check_format({"format": artifacts.FORMAT}, Path("run.json"))


def test_disk_full_is_a_sentence_for_every_writer(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_in_rust(*args, **kwargs):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    monkeypatch.setattr("safetensors.torch.save_file", full_in_rust)
    for write, value in (
        (artifacts.write_json, {}),
        (artifacts.write_table, TABLE),
        (artifacts.write_tensors, {"a": torch.zeros(2)}),
    ):
        with pytest.raises(UserError, match="disk is full while writing .*x: free some space and resume"):
            write(tmp_path / "x", value)
    assert list(tmp_path.iterdir()) == []


def test_another_error_of_the_disk_is_not_called_full(tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "write_text", broken)
    with pytest.raises(OSError, match="Input/output error"):
        artifacts.write_json(tmp_path / "x", {})


def test_no_permission_is_a_sentence(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refused)
    with pytest.raises(UserError, match=r"x cannot be written \(Permission denied\).*GELDA_HOME"):
        artifacts.write_json(tmp_path / "x", {})


def test_a_file_in_place_of_the_folder_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x.json", tmp_path / "file" / "deep" / "x.json"):
        with pytest.raises(UserError, match="x.json cannot be written"):
            artifacts.write_json(path, {})
    for path in (tmp_path / ("x" * 300), tmp_path / ("x" * 300) / "x.json"):
        with pytest.raises(UserError, match=r"cannot be written \(File name too long\)"):
            artifacts.write_json(path, {})


def test_json_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "map.json").write_text('{"größe": 1}', "utf-8-sig")
    assert artifacts.read_json(tmp_path / "map.json") == {"größe": 1}


def test_too_little_disk_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and type("U", (), {"free": 5_000_000})
    )
    with pytest.raises(UserError, match=r"needs about 200 MB and its disk has 5 MB free"):
        artifacts.require_space(tmp_path / "not" / "yet", 200_000_000)
    artifacts.require_space(tmp_path, 4_000_000)


class Setting(BaseModel):
    a: int = 1


def test_content_key_depends_on_values_and_not_on_order():
    key = artifacts.content_key({"a": 1, "b": [1, 2]}, Setting(), np.int64(3), np.arange(2), Path("p"))
    assert key == artifacts.content_key({"b": (1, 2), "a": 1}, {"a": 1}, 3, [0, 1], "p")
    assert len(key) == 16 and int(key, 16) >= 0
    others = [
        artifacts.content_key(*parts)
        for parts in ([1, 2], [12], [[1, 2]], ["1", 2], [Setting(a=2)], [Setting()])
    ]
    assert len(set(others)) == len(others)


def test_file_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert artifacts.file_sha256(tmp_path / "x") == expected


def stored(folder, stem, size=1000, age=0.0):
    for suffix in (".json", ".safetensors"):
        file = folder / f"{stem}{suffix}"
        file.write_bytes(b"x" * (size // 2))
        os.utime(file, (time.time() - age, time.time() - age))


def stems(folder):
    return {file.stem for file in folder.glob("*.safetensors")}


def test_pruning_takes_what_was_used_longest_ago_and_nothing_needed(tmp_path):
    for k in range(6):
        stored(tmp_path, f"set-{k}", age=10_000 - k)
    (tmp_path / "log.txt").write_text("a log")
    artifacts.prune(tmp_path, (), most_bytes=6000)
    assert len(stems(tmp_path)) == 6, "all of it may stay"
    artifacts.used(tmp_path / "set-0.safetensors")
    artifacts.prune(tmp_path, {"set-1"}, most_bytes=4000)
    assert stems(tmp_path) == {"set-0", "set-1", "set-4", "set-5"}
    artifacts.prune(tmp_path, (), most=1)
    assert stems(tmp_path) == {"set-0"}, "somebody is at it, though it is the oldest document"
    assert (tmp_path / "log.txt").is_file() and len(list(tmp_path.iterdir())) == 3


def test_pruning_leaves_what_is_being_written_but_not_what_a_kill_left(tmp_path):
    for age, name in ((10, "now"), (9999, "then")):
        file = tmp_path / f".{name}.safetensors.12345678.tmp"
        file.write_bytes(b"x")
        os.utime(file, (time.time() - age, time.time() - age))
    artifacts.prune(tmp_path, ())
    assert [file.name for file in tmp_path.iterdir()] == [".now.safetensors.12345678.tmp"]
    artifacts.prune(tmp_path / "nowhere", ())


def test_killed_while_pruning_leaves_whole_sets_or_none(tmp_path):
    for k in range(4):
        stored(tmp_path, f"set-{k}", age=9000 - k)
    code = (
        "import os, pathlib, signal, sys\n"
        "from gelda import artifacts\n"
        "unlink, left = pathlib.Path.unlink, [3]\n"
        "def guarded(self, **more):\n"
        "    left[0] -= 1\n"
        "    os.kill(os.getpid(), signal.SIGKILL) if not left[0] else unlink(self, **more)\n"
        "pathlib.Path.unlink = guarded\n"
        "artifacts.prune(pathlib.Path(sys.argv[1]), (), most=1)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -signal.SIGKILL
    documents = {file.stem for file in tmp_path.glob("*.json")}
    assert documents <= stems(tmp_path) and len(documents) == 3, "no document without its latents"
    artifacts.prune(tmp_path, (), most=1)
    assert stems(tmp_path) == documents & stems(tmp_path) == {"set-3"}


@pytest.mark.parametrize("dtype", artifacts.MAPPED.values())
def test_a_mapped_array_is_the_one_that_was_written(tmp_path, dtype):
    path, z = tmp_path / "z.safetensors", np.random.default_rng(0).normal(size=(40, 3)).astype(dtype)
    artifacts.write_tensors(path, {"a": np.arange(5), "z": z})
    found = artifacts.map_array(path, "z")
    assert found.dtype == dtype and np.array_equal(found, z) and not found.flags.writeable


def test_a_file_that_is_replaced_while_it_is_mapped_is_read_as_it_was(tmp_path, monkeypatch):
    path, z = tmp_path / "z.safetensors", np.ones((40, 3), np.float16)
    artifacts.write_tensors(path, {"z": z})
    opened = safetensors.safe_open

    def replaced(*arguments, **named):
        artifacts.write_tensors(path, {"a": np.zeros((90, 2)), "z": np.full((7, 5), 2, np.float32)})
        return opened(*arguments, **named)

    monkeypatch.setattr(safetensors, "safe_open", replaced)
    assert np.array_equal(artifacts.map_array(path, "z"), z)


@pytest.mark.parametrize("broken", ["no such array", "type", "cut short", "missing"])
def test_a_mapped_array_that_cannot_be_read_is_a_sentence(tmp_path, broken):
    path = tmp_path / "z.safetensors"
    if broken != "missing":
        artifacts.write_tensors(path, {"z": np.zeros((4, 2), np.float32), "n": np.arange(3)})
    if broken == "cut short":
        path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match="cannot be read as safetensors"):
        artifacts.map_array(path, {"no such array": "y", "type": "n"}.get(broken, "z"))


@pytest.mark.parametrize(("rows", "width"), [(116_000, 768), (1_000_000, 1024)])
def test_a_file_as_large_as_its_content_is_read(tmp_path, rows, width):
    file = tmp_path / "bank.npz"
    file.touch()
    os.truncate(file, rows * width * 4)  # sparse: it takes no disk
    artifacts.require_modest(file, rows * width * 4 + rows * 200)


def test_a_small_table_that_would_fill_the_memory_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "index.parquet"
    same = np.zeros(16_000_000, np.int8)
    artifacts.write_table(path, pd.DataFrame({"id": same, "label": same}))
    monkeypatch.setattr(pd, "read_parquet", lambda *_: pytest.fail("it was read"))
    with pytest.raises(UserError, match=r"is 0\.\d MB, but would take 1\.0 GB of memory"):
        artifacts.read_table(path)
