"""Extraction: rows, order, resuming, parts, what is skipped, and decode workers."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PLANTED_DATASET, PlantedEncoder, planted_manifest, planted_read
from decoders import picture

from gelda import decoding
from gelda.batching import batches
from gelda.datasets import DATASETS, Problem, Source, open_demo
from gelda.errors import UserError
from gelda.extraction import STORES, extract
from gelda.latents import LatentBank
from gelda.manifest import Manifest
from gelda.media import Clip

TESTS = Path(__file__).resolve().parent
MANIFEST = planted_manifest(5)  # 90 items


def source(decode=picture, manifest=MANIFEST, media="image", **options) -> Source:
    return Source("planted", media, manifest, "/data", decode, **options)


def build(folder, decode=picture, encoder=None, **options):
    options = {"batch_size": 16, "shard_size": 40, "revision": "1", **options}
    given = options.pop("source", None) or source(decode)
    return extract(
        given, encoder or PlantedEncoder(), folder,
        encoder_name="planted", device=torch.device("cpu"), **options,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def other(**changes) -> PlantedEncoder:
    encoder = PlantedEncoder()
    for name, value in changes.items():
        setattr(encoder, name, value)
    return encoder


class Counting:
    """Decodes, notes what was asked for, and fails for good after some items."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.seen = after, []

    def __call__(self, uri: str) -> np.ndarray:
        if len(self.seen) == self.after:
            raise KeyboardInterrupt
        self.seen.append(uri)
        return picture(uri)


def test_rows_are_the_encoder_s_output_in_the_manifest_s_order(tmp_path):
    seen = []
    bank = build(tmp_path / "bank", progress=lambda done, total: seen.append((done, total)))
    assert len(bank) == 90 and bank.layers == PlantedEncoder.layers
    expected_rows = MANIFEST.table[["id", "uri", "label", "subdomain", "group"]]
    pd.testing.assert_frame_equal(bank.index[list(expected_rows.columns)], expected_rows)
    assert bank.info["shard_rows"] == [40, 40, 10]
    pictures = np.stack([picture(uri) for uri in MANIFEST.table["uri"]])
    expected = PlantedEncoder().encode(torch.from_numpy(pictures))
    for layer, width in bank.layers.items():
        assert bank.load(layer).shape == (90, width)
        torch.testing.assert_close(bank.load(layer), expected[layer])
    assert seen[0] == (0, 90) and seen[-1] == (90, 90) and seen == sorted(seen) and len(set(seen)) > 5
    assert list(bank.index["shard"] * 40 + bank.index["row"]) == list(range(90))


def test_the_manifest_says_what_the_bank_was_made_of(tmp_path):
    given = source(problems=(Problem("d/x.jpg", "empty"),), notes=("merged",), grouped=True)
    info = build(tmp_path / "bank", source=given).info
    said = {"encoder": "planted", "revision": "1", "pooling": "mean", "precision": "float32",
            "dtype": "float32", "media": "image", "root": "/data", "source": "planted", "grouped": True,
            "problems": [{"item": "d/x.jpg", "reason": "empty"}], "notes": ["merged"],
            "skipped": []}  # fmt: skip
    assert {key: info[key] for key in said} == said


def test_a_split_of_the_data_s_own_is_kept(tmp_path):
    table = MANIFEST.table.assign(split=["train", "test", ""] * 30)
    manifest = Manifest(table, MANIFEST.class_names, MANIFEST.subdomain_names, "planted")
    bank = build(tmp_path / "bank", source=source(manifest=manifest))
    assert list(bank.index["split"]) == list(table["split"])


@pytest.mark.parametrize("stop_after", [0, 41, 85])
def test_a_stopped_extraction_resumes_by_shard_bit_for_bit(tmp_path, stop_after):
    build(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "bank", Counting(stop_after))
    assert not (tmp_path / "bank" / "manifest.json").exists()
    rest, seen = Counting(), []
    build(tmp_path / "bank", rest, progress=lambda done, total: seen.append(done))
    finished = stop_after // 40 * 40
    assert rest.seen == list(MANIFEST.table["uri"])[finished:] and seen[0] == finished
    assert contents(tmp_path / "bank") == contents(tmp_path / "whole")


def test_half_a_shard_is_extracted_again(tmp_path):
    """A shard whose record or one of whose files is missing is made again, whole; its remains are removed."""
    build(tmp_path / "bank")
    whole = contents(tmp_path / "bank")
    (tmp_path / "bank" / "deep" / "shard-00001.safetensors").unlink()
    (tmp_path / "bank" / "shards" / "shard-00002.json").unlink()
    (tmp_path / "bank" / "deep" / ".shard-00001.safetensors.0a1b.tmp").write_bytes(b"half")
    again = Counting()
    build(tmp_path / "bank", again)
    assert again.seen == list(MANIFEST.table["uri"])[40:]
    assert contents(tmp_path / "bank") == whole


def test_parts_make_the_same_bank_and_the_last_one_finishes_it(tmp_path):
    build(tmp_path / "whole")
    other = tmp_path / "bank" / "deep" / ".shard-00001.safetensors.0a1b.tmp"
    assert build(tmp_path / "bank", part=(0, 2)) is None
    other.write_bytes(b"the other part's, which it is writing now")
    assert build(tmp_path / "bank", part=(0, 2)) is None and other.exists()
    seen = []
    bank = build(tmp_path / "bank", part=(1, 2), progress=lambda done, total: seen.append((done, total)))
    assert len(bank) == 90 and seen[-1] == (40, 40)
    assert contents(tmp_path / "bank") == contents(tmp_path / "whole")


def test_a_part_without_shards_is_done_at_once(tmp_path):
    assert build(tmp_path / "bank", part=(5, 9)) is None
    assert [f.name for f in (tmp_path / "bank").iterdir()] == ["plan.json"]


def test_skipped_items_are_listed_and_left_out(tmp_path):
    broken = tuple(MANIFEST.table["uri"].iloc[[3, 44]])
    bank = build(tmp_path / "bank", partial(picture, broken=broken))
    assert [s["id"] for s in bank.info["skipped"]] == list(MANIFEST.table["id"].iloc[[3, 44]])
    assert bank.info["skipped"][0]["reason"] == "the file is cut short." and len(bank) == 88
    whole = build(tmp_path / "whole")
    rows = np.flatnonzero(~MANIFEST.table["uri"].isin(broken))
    assert list(bank.index["id"]) == list(MANIFEST.table["id"].iloc[rows])
    torch.testing.assert_close(bank.load("deep"), whole.load("deep")[rows])


def test_what_a_decoder_raises_is_a_reason_and_no_traceback(tmp_path):
    def decode(uri):
        return picture(uri) if uri != MANIFEST.table["uri"][7] else 1 / 0

    bank = build(tmp_path / "bank", decode)
    assert bank.info["skipped"][0]["reason"] == "ZeroDivisionError: division by zero"


def test_latents_that_are_not_finite_are_skipped(tmp_path):
    def decode(uri):
        return picture(uri) * (np.nan if uri == MANIFEST.table["uri"][50] else np.float32(1))

    bank = build(tmp_path / "bank", decode)
    assert [(s["id"], s["reason"]) for s in bank.info["skipped"]] == [
        (MANIFEST.table["id"][50], "its latents are not finite")
    ]
    assert torch.isfinite(bank.load("deep")).all() and len(bank) == 89


def test_too_many_skipped_items_stop_it_with_the_first_reasons(tmp_path):
    broken = tuple(MANIFEST.table["uri"].iloc[10:20])
    decode = partial(picture, broken=broken)
    with pytest.raises(UserError) as stopped:
        build(tmp_path / "bank", decode)
    said = str(stopped.value)
    assert said.startswith("10 items could not be used, more than 5 % of 90: planted:")
    assert said.count("the file is cut short.") == 3 and "--max-skipped" in said
    assert len(build(tmp_path / "bank", decode, max_skipped=0.2)) == 80


def test_a_source_of_which_nothing_can_be_read_says_so(tmp_path):
    manifest = Manifest(MANIFEST.table[:1], MANIFEST.class_names, MANIFEST.subdomain_names, "planted")
    given = source(partial(picture, broken=tuple(manifest.table["uri"])), manifest)
    with pytest.raises(UserError, match="No item of planted could be used: .*cut short"):
        build(tmp_path / "bank", source=given)


@pytest.mark.parametrize("change, words", [
    ({"revision": "2"}, "its revision is '1', not '2'"),
    ({"encoder": other(layers={"deep": 12})}, "its layers is 'blind, deep', not 'deep'"),
    ({"encoder": other(pooling="cls")}, "its pooling is 'mean', not 'cls'"),
    ({"store": "float16"}, "its dtype is 'float32', not 'float16'"),
    ({"dtype": torch.bfloat16}, "its precision is 'float32', not 'bfloat16'"),
    ({"source": source(manifest=planted_manifest(4))}, "its list of items is"),
])  # fmt: skip
def test_a_folder_of_another_plan_is_refused_and_left_alone(tmp_path, change, words):
    build(tmp_path / "bank")
    before = contents(tmp_path / "bank")
    with pytest.raises(UserError, match=words):
        build(tmp_path / "bank", **change)
    assert contents(tmp_path / "bank") == before


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        build(tmp_path)
    for place in (tmp_path / "notes.txt", tmp_path / "notes.txt" / "below"):
        with pytest.raises(UserError, match="is a file|cannot be written: choose another folder"):
            build(place)


def test_another_batch_size_goes_on_in_the_same_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "bank", Counting(50))
    assert len(build(tmp_path / "bank", batch_size=4)) == 90


@pytest.mark.parametrize("store", STORES)
def test_latents_are_stored_as_asked_for(tmp_path, store):
    bank = build(tmp_path / "bank", store=store)
    whole = build(tmp_path / "whole")
    size = (tmp_path / "bank" / "deep" / "shard-00000.safetensors").stat().st_size
    assert abs(size - 40 * 12 * STORES[store].itemsize) < 200 and bank.info["dtype"] == store
    torch.testing.assert_close(bank.load("deep"), whole.load("deep"), atol=1e-3, rtol=1e-3)


def test_values_that_float16_cannot_hold_are_refused(tmp_path):
    class Large(PlantedEncoder):
        def encode(self, images):
            return {k: v * 1e6 for k, v in super().encode(images).items()}

    with pytest.raises(UserError, match="beyond 65504, which float16 cannot hold: use --dtype float32"):
        build(tmp_path / "bank", encoder=Large(), store="float16")
    assert len(build(tmp_path / "other", encoder=Large())) == 90


def test_the_encoder_computes_as_precisely_as_asked_for(tmp_path):
    encoder = PlantedEncoder()
    told = []
    encoder.to = lambda *arguments: told.append(arguments) or encoder
    bank = build(tmp_path / "bank", encoder=encoder, dtype=torch.bfloat16)
    assert told == [(torch.device("cpu"), torch.bfloat16)] and bank.info["precision"] == "bfloat16"


def test_a_demo_s_drawn_items_are_encoded(tmp_path, monkeypatch):
    monkeypatch.setitem(DATASETS, "planted", PLANTED_DATASET)
    given = open_demo("planted")
    bank = build(tmp_path / "bank", source=given)
    expected = PlantedEncoder().encode(torch.from_numpy(planted_read(list(bank.index["uri"]))))
    torch.testing.assert_close(bank.load("deep"), expected["deep"])
    assert bank.info["grouped"] and len(bank) == len(planted_manifest())


def test_too_little_memory_on_the_device_is_a_sentence(tmp_path):
    class Small(PlantedEncoder):
        def encode(self, images):
            if len(images) > 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().encode(images)

    with pytest.raises(UserError, match="too little memory for 16 items at once: use a smaller --batch-size"):
        build(tmp_path / "bank", encoder=Small())
    assert len(build(tmp_path / "bank", encoder=Small(), batch_size=4)) == 90


# -- sound of mixed lengths ------------------------------------------------------------------------------


def clip_of(uri: str) -> Clip:
    rng = np.random.default_rng(int(uri))
    return Clip(rng.normal(size=int(rng.integers(50, 400))).astype(np.float32), 100)


class Listening:
    """Stands in for a downloaded encoder: pools over real samples, and notes the batches it was given."""

    media, pooling = "audio", "mean"
    layers = {"pooled": 3}

    def __init__(self, even: bool = False) -> None:
        self.even, self.seen = even, []

    @staticmethod
    def prepare(clip: Clip) -> np.ndarray:
        return clip.samples

    def to(self, device, dtype):
        return self

    def encode(self, batch):
        self.seen.append([len(sound) for sound in batch])
        pooled = [[np.mean(s), np.mean(s**2), len(s)] for s in batch]
        return {"pooled": torch.tensor(np.array(pooled), dtype=torch.float32)}


def sounds(count: int) -> Source:
    table = pd.DataFrame({"id": [f"s{i}" for i in range(count)], "uri": [str(i) for i in range(count)],
                          "label": 0, "subdomain": 0, "group": "a"})  # fmt: skip
    return Source("sounds", "audio", Manifest(table, ("x",), ("y",), "sounds"), "", clip_of)


@pytest.mark.parametrize("even", [False, True])
def test_sound_is_batched_by_length_and_comes_back_in_order(tmp_path, even):
    encoder = Listening(even)
    bank = build(tmp_path / "bank", source=sounds(200), encoder=encoder, shard_size=120, batch_size=8)
    expected = Listening().encode([clip_of(str(i)).samples for i in range(200)])["pooled"]
    torch.testing.assert_close(bank.load("pooled"), expected)
    used = sum(map(sum, encoder.seen))
    padded = sum(len(batch) * max(batch) for batch in encoder.seen)
    if even:
        assert padded == used
    else:
        assert padded < 1.2 * used and {len(batch) for batch in encoder.seen} == {8}


def test_batches_hold_like_lengths():
    lengths = [10, 3, 10, 7, 1, 7]
    assert batches(lengths, 2, False) == [[0, 2], [3, 5], [1, 4]]
    assert batches(lengths, 4, True) == [[0, 2], [3, 5], [1], [4]]
    assert batches([0, 0, 0], 2, False) == [[0, 1], [2]], "images keep their order"


# -- decode workers --------------------------------------------------------------------------------------


class Eager(ProcessPoolExecutor):
    """Waits for its first worker, so that workers decode everything."""

    def submit(self, function, *arguments):
        future = super().submit(function, *arguments)
        if function is decoding._nothing:
            future.result()
        return future


def test_workers_make_the_same_bytes(tmp_path, monkeypatch):
    decode = partial(picture, broken=tuple(MANIFEST.table["uri"].iloc[[8]]))
    build(tmp_path / "here", decode)
    build(tmp_path / "there", decode, workers=2)
    monkeypatch.setattr(decoding, "ProcessPoolExecutor", Eager)
    build(tmp_path / "by workers", decode, workers=2)
    assert contents(tmp_path / "by workers") == contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_worker_that_the_system_ends_is_a_sentence_and_the_state_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "ProcessPoolExecutor", Eager)
    with pytest.raises(UserError, match="decode worker was ended by the system.*fewer --workers"):
        build(tmp_path / "bank", partial(picture, deadly=MANIFEST.table["uri"][60]), workers=1)
    rest = Counting()
    assert len(build(tmp_path / "bank", rest)) == 90
    assert rest.seen == list(MANIFEST.table["uri"])[40:], "the first shard was finished"


def test_ctrl_c_while_workers_start_prints_nothing_of_theirs(tmp_path, capfd):
    """A terminal sends it to the whole group, to processes that have imported nothing yet, too."""
    from gelda.decoding import decoded

    stream = decoded(picture, picture, ["a", "b"], 2)
    next(stream)  # decoded here: the workers have just been launched
    time.sleep(0.3)
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, signal.SIGINT)
    stream.close()
    said = capfd.readouterr().err  # others may have logged something
    assert "Traceback" not in said and "KeyboardInterrupt" not in said


# -- killed by SIGKILL -----------------------------------------------------------------------------------

DRIVER = f"""
import os, signal, sys
sys.path.insert(0, {str(TESTS)!r})
if __name__ == "__main__":  # decode workers import this file, too
    from pathlib import Path
    import test_extraction
    from gelda import artifacts, decoding
    decoding.ProcessPoolExecutor = test_extraction.Eager
    kill, replace = sys.argv[2], os.replace
    def guarded(source, target):
        if kill and kill in str(target):
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
    artifacts.os.replace = guarded
    test_extraction.build(Path(sys.argv[1]), workers=2)
"""


@pytest.mark.slow
def test_killed_twice_it_ends_with_the_same_bytes_and_leaves_no_worker(tmp_path):
    build(tmp_path / "whole")
    (tmp_path / "driver.py").write_text(DRIVER)

    def run(kill: str) -> int:
        command = [sys.executable, tmp_path / "driver.py", tmp_path / "bank", kill]
        # workers hold its output open: this returns only when they are gone too
        return subprocess.run(command, capture_output=True, text=True, timeout=120).returncode

    assert run("deep/shard-00000") == -signal.SIGKILL
    assert run("shards/shard-00001.json") == -signal.SIGKILL
    kept = {name: (tmp_path / "bank" / name).stat().st_mtime_ns for name in ("deep/shard-00000.safetensors",)}
    assert run("") == 0
    assert contents(tmp_path / "bank") == contents(tmp_path / "whole")
    for name, written in kept.items():
        assert (tmp_path / "bank" / name).stat().st_mtime_ns == written
    assert json.loads((tmp_path / "bank" / "manifest.json").read_text())["rows"] == 90
    assert len(LatentBank.open(tmp_path / "bank")) == 90
