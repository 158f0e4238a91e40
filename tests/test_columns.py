"""Further columns: read as what they are, kept by every reader and file, and no part of what is trained."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bank_fixtures import npz_arrays, photo_items, planted_latents, ready_bank, write_npz
from conftest import PlantedEncoder
from media_fixtures import picture
from safetensors.numpy import save_file
from test_readers import EXAMPLES, hugging_face, item, jsonl, pictures, recordings, table

from gelda import columns, compare, compare_runs, projection, runs
from gelda.augmenters.base import Synthetic
from gelda.bank_import import import_bank
from gelda.compare_config import resolve_compare
from gelda.datasets import READERS, SourceOptions, open_demo, open_source
from gelda.extraction import extract
from gelda.manifest import Manifest
from gelda.points import point_table
from gelda.ready import open_bank

WRITTEN = {
    "number": (["1", "2.5", "", "NA"], [1, 2.5, np.nan, np.nan]),
    "whole": (["1", "2", "3", "4"], [1, 2, 3, 4]),
    "infinite": ([1.0, np.inf, 2.0, -np.inf], [1, np.nan, 2, np.nan]),
    "tenths": (pd.array([1, None, 3, 4], dtype="Int64"), [1, np.nan, 3, 4]),
    "code": (["007", "12", "", "3"], ["007", "12", "", "3"]),
    "long id": (["12345678901234567890", "1", "2", "3"], ["12345678901234567890", "1", "2", "3"]),
    "flag": ([True, False, None, True], ["true", "false", "", "true"]),
    "date": (["2024-01-02", "2024-01-03T10:00:00Z", "", "2020-02-02"],
             pd.to_datetime(["2024-01-02", "2024-01-03 10:00", None, "2020-02-02"], format="ISO8601")),
    "day": ([datetime.date(2020, 1, 1), None, None, datetime.date(2020, 1, 2)],
            pd.to_datetime(["2020-01-01", None, None, "2020-01-02"])),
    "category": (pd.Categorical(["a", "b", None, "a"]), ["a", "b", "", "a"]),
    "mixed": (["a", 1, None, 2.5], ["a", "1", "", "2.5"]),
    "long": (["x" * 500, "y", " z ", ""], ["x" * (columns.LONGEST - 1) + "…", "y", "z", ""]),
}  # fmt: skip
NO_COLUMNS = {
    "empty": ["", "", "nan", "-"], "lists": [[1], [2], [3], [4]], "bytes": [b"a"] * 4, "objects": [{}] * 4,
    "no number": [np.nan] * 4, "complex": [1j] * 4,
}  # fmt: skip


def further(values: dict) -> pd.DataFrame:
    return pd.DataFrame({f"{columns.PREFIX}{name}": column for name, column in values.items()})


@pytest.mark.parametrize("name", WRITTEN)
def test_a_column_is_read_as_what_all_of_its_values_are(name: str) -> None:
    given, expected = WRITTEN[name]
    found = columns.tidied(further({name: given}))[f"{columns.PREFIX}{name}"]
    pd.testing.assert_series_equal(found, pd.Series(expected), check_names=False, check_dtype=False)
    assert columns.kind(found) == columns.kind(pd.Series(expected))
    again = columns.tidied(found.to_frame())
    pd.testing.assert_series_equal(again.iloc[:, 0], found)


@pytest.mark.parametrize("name", NO_COLUMNS)
def test_what_is_no_single_value_is_no_column(name: str) -> None:
    assert columns.tidied(further({name: NO_COLUMNS[name]})).empty


def test_dates_that_there_are_not_are_counted_and_the_first_is_named(tmp_path) -> None:
    notes: list[str] = []
    days = ["2024-02-28", "2024-02-30", "", "n/a", "2023-13-01", "2024-02-29"]
    some = {"day": days, "one": ["2024-01-01"] * 5 + ["2024-04-31"], "good": ["2024-01-01"] * 6}
    found = columns.tidied(further({**some, "none": ["2024-02-30"] * 6, "number": [1.5] * 6}), notes)
    assert found[f"{columns.PREFIX}day"].isna().tolist() == [False, True, True, True, True, False]
    assert found[f"{columns.PREFIX}none"].tolist() == ["2024-02-30"] * 6
    assert notes[1:] == [
        "Column day: 2 of 6 values cannot be read as dates (the first: 2024-02-30) and are left empty: mend "
        "them in the data.",
        "Column one: 1 of 6 values cannot be read as a date (2024-04-31) and is left empty: mend it in the "
        "data.",
    ]
    count = len(ITEMS.label)
    taken = np.array(["2024-02-30", *["2024-03-01"] * (count - 1)])
    opened = open_bank(write_npz(tmp_path / "z.npz", {**npz_arrays(ITEMS), "taken": taken}))
    assert f"1 of {count} values cannot be read as a date (2024-02-30)" in " ".join(opened.notes)


def test_columns_are_bounded_in_number_and_name() -> None:
    notes: list[str] = []
    many = further({f"c{k}": [k, k + 1] for k in range(columns.MOST + 3)})
    found = columns.tidied(many, notes)
    assert len(found.columns) == columns.MOST and "c32, c33, c34" in notes[-1]
    odd = columns.tidied(further({" a  b ": [1, 2], "a b": [3, 4], "n" * 99: [5, 6], "": [7, 8]}))
    titles = [columns.title(name) for name in odd]
    assert titles[:2] == ["a b", "a b (2)"] and len(set(titles)) == 4
    assert max(map(len, titles)) <= columns.LONGEST_NAME


MORE = {"duration_s": [1.5, 2.5], "label_of_mine": ["x", "y"], "kept": ["no", "yes"]}


def _csv(root: Path) -> str:
    rows = {"file": ["x/1.png", "x/2.png"], "label": ["cat", "dog"], **MORE}
    return str(table(pictures(root, "x/1.png", "x/2.png"), rows))


def _parquet(root: Path) -> str:
    rows = {"file": ["x/1.png", "x/2.png"], "label": ["cat", "dog"], **MORE, "emb": [[1.0], [2.0]]}
    return str(table(pictures(root, "x/1.png", "x/2.png"), rows, "items.parquet"))


def _emobox(root: Path) -> str:
    more = [{name: values[k] for name, values in MORE.items()} for k in range(2)]
    items = [item("a", "sad", "1", **more[0]), item("b", "happy", "2", **more[1], bins=[1, 2])]
    return str(jsonl(recordings(root, "wav/a.wav", "wav/b.wav") / "toy.jsonl", items))


def _folder(root: Path) -> str:
    pictures(root / "pets", "cat/1.jpg", "dog/1.jpg")
    rows = {"file_name": ["cat/1.jpg", "./dog/1.jpg"], **MORE}
    pd.DataFrame(rows).to_csv(root / "pets" / "metadata.csv", index=False)
    return str(root / "pets")


def _hub(root: Path) -> str:
    import datasets

    hugging_face(root / "hf")
    data = datasets.load_from_disk(root / "hf")
    for name, values in MORE.items():
        data = datasets.DatasetDict({s: p.add_column(name, values * 2) for s, p in data.items()})
    data.save_to_disk(root / "more")
    return str(root / "more")


@pytest.mark.parametrize("make", [_csv, _parquet, _emobox, _folder, _hub])
def test_a_reader_keeps_further_columns_beside_its_own(make, tmp_path) -> None:
    source = open_source(make(tmp_path))
    found = source.manifest.table
    for name, values in MORE.items():
        assert found[f"column.{name}"].iloc[:2].tolist() == values, "and a column called 'kept' is not ours"
    assert not {"column.emb", "column.bins", "column.file", "column.label", "column.wav"} & set(found)
    assert any("duration_s" in note for note in source.notes)
    bare = Manifest(
        found.drop(columns=columns.own(found)),
        source.manifest.class_names,
        source.manifest.subdomain_names,
        source.manifest.dataset,
    )
    assert source.manifest.key() == bare.key(), "columns are no part of what is encoded"


@pytest.mark.parametrize("name", READERS)
def test_a_source_without_further_columns_has_none(name, tmp_path) -> None:
    path, _ = EXAMPLES[name](tmp_path)
    found = columns.own(open_source(path).manifest.table)
    assert name == "demo" or set(found) <= {"column.dataset"}  # an EmoBox item names its corpus


@pytest.mark.parametrize("name", ["digits", "speech"])
def test_the_demos_tell_more_of_their_items(name: str) -> None:
    found = open_demo(name).manifest.table
    assert len(columns.own(found)) >= 2
    pd.testing.assert_frame_equal(columns.tidied(found), found[columns.own(found)], check_dtype=False)


def test_columns_stay_with_their_rows_where_items_are_left_out(tmp_path) -> None:
    pictures(tmp_path, "1.png", "2.png", "3.png", "4.png")
    rows = {
        "file": ["1.png", "gone.png", "2.png", "3.png", "4.png"], "label": ["a", "a", "", "b", "a"],
        "number": [10, 20, 30, 40, 50],
    }  # fmt: skip
    source = open_source(table(tmp_path, rows), SourceOptions(classes=("b", "a")))
    assert dict(zip(source.manifest.table["id"], source.manifest.table["column.number"], strict=True)) == {
        "1.png": 10, "3.png": 40, "4.png": 50,
    }  # fmt: skip


ITEMS = photo_items()
PLACE = np.arange(len(ITEMS))
EXTRA = {
    "seconds": PLACE / 30,
    "take": PLACE,
    "loud": PLACE % 2 == 0,
    "voice": np.array(["f", "m", "m"])[PLACE % 3],
}


def _npz(path: Path) -> Path:
    return write_npz(path.with_suffix(".npz"), {**npz_arrays(ITEMS), **EXTRA})


def _tensors(path: Path) -> Path:
    arrays = {**npz_arrays(ITEMS), **EXTRA}
    texts = {name: json.dumps(v.tolist()) for name, v in arrays.items() if v.dtype.kind == "U"}
    texts["format"] = "pt"
    numbers = {name: v for name, v in arrays.items() if v.dtype.kind != "U"}
    save_file(numbers, path.with_suffix(".safetensors"), metadata=texts)
    return path.with_suffix(".safetensors")


def _latent_table(path: Path) -> Path:
    arrays = npz_arrays(ITEMS)
    frame = pd.DataFrame(
        {"z_pool": list(arrays["z_pool"]), "label": ITEMS.label, "split": ITEMS.split, **EXTRA}
    )
    frame["nothing"] = None
    frame.loc[3, "voice"] = None
    frame.to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


@pytest.mark.parametrize("write", [_npz, _tensors, _latent_table])
def test_ready_latents_keep_them_through_an_import(write, tmp_path) -> None:
    file = write(tmp_path / "bank")
    import_bank(file, tmp_path / "bank")
    for bank in (open_bank(file), open_bank(tmp_path / "bank")):
        assert bank.columns is not None and set(bank.columns) == {f"column.{name}" for name in EXTRA}
        np.testing.assert_allclose(bank.columns["column.seconds"], EXTRA["seconds"])
        assert bank.columns["column.loud"].iloc[:2].tolist() == ["true", "false"]
        assert bank.columns["column.voice"].iloc[1] == "m" and bank.columns_key
    index = pd.read_parquet(tmp_path / "bank" / "index.parquet")
    before = open_bank(tmp_path / "bank")
    index.drop(columns=columns.own(index)).to_parquet(tmp_path / "bank" / "index.parquet", index=False)
    after = open_bank(tmp_path / "bank")
    assert after.columns is None and after.columns_key == "" and after.key == before.key
    index["of mine"] = np.arange(len(index))
    index.to_parquet(tmp_path / "bank" / "index.parquet", index=False)
    assert "column.of mine" in open_bank(tmp_path / "bank").columns, "added to the index by hand"


def test_synthetic_latents_have_nothing_in_them() -> None:
    own = {"id": ["a", "b"], "uri": "", "label": [0, 1], "subdomain": 0, "group": "", "split": "train"}
    days = pd.to_datetime(["2020-01-01"] * 2)
    real = pd.DataFrame({**own, "column.label": ["x", "y"], "column.n": [1, 2], "column.day": days})
    made = Synthetic(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long))
    points = point_table(real, [("gelda", made, np.ones(3, bool))])
    assert points["label"].tolist() == [0, 1, 0, 0, 0]
    assert points["column.label"].tolist() == ["x", "y", "", "", ""]
    for name in ("n", "day"):
        assert points[f"column.{name}"].isna().tolist() == [False] * 2 + [True] * 3


class Pixels(PlantedEncoder):
    """The planted encoder on the corner of a picture."""

    prepare = staticmethod(lambda image: np.asarray(image, np.float32)[None, :4, :4, 0] / 255)


def _compared(bank, home: str, monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv("GELDA_HOME", str(tmp_path / home))
    config = resolve_compare(
        {"bank": "b", "seeds": 1, "imbalance": 4, "methods": ["ce", "smote"], "device": "cpu",
         "adapter": {"fm_layer": "pool"}}, "tiny",
    )  # fmt: skip
    state = runs.create_run(config.model_dump(mode="json"), "planted", runs.COMPARISON, "one")
    compare.execute(config, bank, state)
    return state.path


def test_columns_never_enter_training(tmp_path, monkeypatch) -> None:
    bare = ready_bank(ITEMS, {"pool": planted_latents(ITEMS)})
    told = replace(bare, columns=columns.tidied(further({**EXTRA, "answer": ITEMS.label})))
    assert told.key == bare.key
    a, b = (_compared(bank, home, monkeypatch, tmp_path) for bank, home in ((bare, "a"), (told, "b")))
    files = sorted(f.relative_to(a) for f in (a / "stages").rglob("*.safetensors"))
    assert files and files == sorted(f.relative_to(b) for f in (b / "stages").rglob("*.safetensors"))
    assert all((a / f).read_bytes() == (b / f).read_bytes() for f in files)
    for file in (f for f in a.rglob("points/*.safetensors")):
        assert file.read_bytes() == (b / file.relative_to(a)).read_bytes()
    points, with_columns = projection.load_points(a), projection.load_points(b)
    pd.testing.assert_frame_equal(points, with_columns.drop(columns=columns.own(with_columns)))
    assert not columns.own(points) and projection.points_key(a) != projection.points_key(b)


def test_from_a_table_to_the_points_of_a_comparison(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for k in range(96):
        name = f"{k:03d}.png"
        shade = tuple(int(v) for v in rng.integers(0, 90, 3) + 120 * (k % 2))
        picture(tmp_path / "data" / name, shade, (8, 8))
        rows.append({"file": name, "label": "ab"[k % 2], "split": "test" if k % 6 > 3 else "train",
                     "seconds": k / 7, "voice": f"v{k % 5}", "label of mine": f"code {k:03d}"})  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "items.csv", index=False)
    source, folder = open_source(tmp_path / "data" / "items.csv"), tmp_path / "bank"

    def encode(of):
        return extract(of, Pixels(), folder, encoder_name="planted", revision="1", device=torch.device("cpu"))

    encode(source)
    bank = open_bank(folder)
    config = resolve_compare(
        {"bank": str(folder), "seeds": 1, "imbalance": 3, "methods": ["ce", "gelda"], "device": "cpu",
         "adapter": {"fm_layer": "deep"}}, "tiny",
    )  # fmt: skip
    state, _ = compare_runs.prepared(config, bank)
    compare.execute(config, bank, state)
    points = projection.load_points(state.path)
    real = points[points["origin"] == "real"]
    expected = pd.DataFrame(rows).set_index("file").loc[real["id"]]
    np.testing.assert_allclose(real["column.seconds"], expected["seconds"])
    for name in ("voice", "label of mine"):
        assert real[f"column.{name}"].tolist() == expected[name].tolist()
    made = points[points["origin"] == "synthetic"]
    assert len(made) and made["column.seconds"].isna().all() and (made["column.voice"] == "").all()

    assert compare_runs.finished(config, bank) is not None
    kept = {f: f.stat().st_mtime_ns for f in (state.path / "stages").rglob("*") if f.is_file()}
    table = source.manifest.table.drop(columns="column.voice").assign(**{"column.mood": "calm"})
    encode(replace(source, manifest=replace(source.manifest, table=table)))
    changed = open_bank(folder)
    assert compare_runs.run_id(config, changed) == state.id, "the bank is the same for all that is trained"
    assert compare_runs.finished(config, changed) is None
    state, _ = compare_runs.prepared(config, changed)
    compare.execute(config, changed, state)
    assert {f: f.stat().st_mtime_ns for f in kept} == kept
    shown = projection.load_points(state.path)
    assert "column.voice" not in shown and (shown["column.mood"] == "calm").any()
    assert compare_runs.finished(config, changed) is not None


def test_a_table_of_a_folder_that_is_a_link_out_of_it_is_not_read(tmp_path) -> None:
    path = Path(_folder(tmp_path))
    (path / "metadata.csv").rename(tmp_path / "elsewhere.csv")
    (path / "metadata.csv").symlink_to(tmp_path / "elsewhere.csv")
    source = open_source(str(path), SourceOptions())
    assert not columns.own(source.manifest.table)
    assert any("metadata.csv" in problem.item for problem in source.problems)


def test_a_column_that_a_person_adds_to_a_bank_changes_no_key(tmp_path) -> None:
    write_npz(tmp_path / "z.npz", npz_arrays(photo_items()))
    before = import_bank(tmp_path / "z.npz", tmp_path / "bank") and open_bank(tmp_path / "bank")
    index = pd.read_parquet(tmp_path / "bank" / "index.parquet")
    index.assign(age=np.arange(len(index))).to_parquet(tmp_path / "bank" / "index.parquet", index=False)
    after = open_bank(tmp_path / "bank")
    assert after.columns is not None and list(after.columns) == ["column.age"]
    assert after.key == before.key and after.columns_key != before.columns_key
