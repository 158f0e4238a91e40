"""Every reader opens a small example; what is wrong with a person's files is a sentence or a problem."""

import io
import json
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from media_fixtures import encoded, picture, recording, tone
from PIL import Image

from gelda.datasets import READERS, Columns, SourceOptions, find_leaks, open_source, probe
from gelda.datasets import hub as hub_reader
from gelda.datasets.cifar import ROW, long_tail
from gelda.datasets.emotions import ALIASES, FOUR
from gelda.errors import UserError
from gelda.media import Clip


def pictures(root: Path, *files: str) -> Path:
    for number, file in enumerate(files):
        picture(root / file, (number * 7 % 256, 30, 30))
    return root


def recordings(root: Path, *files: str) -> Path:
    for number, file in enumerate(files):
        recording(root / file, tone(0.2, hertz=200 + 10 * number))
    return root


def item(key: str, emo: str, speaker: str = "", **more: object) -> dict:
    one = {"key": key, "dataset": "toy", "wav": f"wav/{key}.wav", "type": "raw", "emo": emo, **more}
    return one | ({"speaker": speaker} if speaker else {})


def jsonl(path: Path, items: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in items))
    return path


def cifar(folder: Path, train: int = 60, test: int = 9, classes: int = 3) -> Path:
    folder.mkdir(parents=True)
    for name, count in (("train", train), ("test", test)):
        rows = np.zeros((count, ROW), np.uint8)
        rows[:, 1] = np.arange(count) % classes
        rows[:, 2:1026] = np.arange(count)[:, None]  # the red plane holds the row's number
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    (folder / "fine_label_names.txt").write_text("apple\nbear\ncloud\n")
    return folder


def hugging_face(folder: Path) -> Path:
    import datasets

    datasets.disable_progress_bars()
    png = encoded(Image.new("RGB", (9, 5), (10, 20, 30)), "PNG")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "speaker": datasets.Value("string"),
        }
    )
    part = datasets.Dataset.from_dict(
        {"image": [{"bytes": png, "path": None}] * 4, "label": [0, 1, 0, 1], "speaker": list("aabb")},
        features=features,
    )
    datasets.DatasetDict({"train": part, "validation": part}).save_to_disk(folder)
    return folder


EXAMPLES: dict[str, Callable[[Path], tuple[str, int]]] = {
    "demo": lambda root: ("digits", 8985),
    "hf": lambda root: (str(hugging_face(root / "hf")), 8),
    "cifar-100-lt": lambda root: (str(cifar(root / "cifar-100-binary")), 20 + 2 + 9),
    "emobox": lambda root: (
        str(
            jsonl(
                recordings(root, "wav/a.wav", "wav/b.wav") / "toy.jsonl",
                [item("a", "sad", "1"), item("b", "happy", "2")],
            )
        ),
        2,
    ),
    "table": lambda root: (
        str(table(pictures(root, "x/1.png", "x/2.png"), {"file": ["x/1.png", "x/2.png"]})),
        2,
    ),
    "list": lambda root: (str(lists(pictures(root, "cat/1.jpg", "dog/1.jpg", "dog/2.jpg"))), 3),
    "folder": lambda root: (str(pictures(root / "pets", "cat/1.jpg", "dog/1.jpg")), 2),
}


def table(root: Path, columns: dict[str, list], name: str = "items.csv") -> Path:
    frame = pd.DataFrame(columns)
    if "label" not in frame and "emotion" not in frame:
        frame["label"] = ["cat", "dog"] * (len(frame) // 2) + ["cat"] * (len(frame) % 2)
    writer = {"csv": frame.to_csv, "tsv": lambda p, index: frame.to_csv(p, sep="\t", index=index)}
    (writer.get(name[-3:]) or frame.to_parquet)(root / name, index=False)
    return root / name


def lists(root: Path) -> Path:
    (root / "Toy_LT_train.txt").write_text("cat/1.jpg 0\ndog/1.jpg 1\n")
    (root / "Toy_LT_test.txt").write_text("dog/2.jpg 1\n")
    return root / "Toy_LT_train.txt"


@pytest.mark.parametrize("name", READERS)
def test_every_reader_opens_its_example(name, tmp_path):
    path, count = EXAMPLES[name](tmp_path)
    source = open_source(path)
    assert len(source.manifest) == count and source.media in ("image", "audio")
    assert source.manifest.key() == open_source(path, SourceOptions(reader=name)).manifest.key()
    assert source.manifest.table["uri"].is_unique and not source.problems
    decoded = pickle.loads(pickle.dumps(source.decode))(source.manifest.table["uri"].iloc[0])
    assert isinstance(decoded, (Image.Image, Clip, np.ndarray))
    assert probe(source) == []
    first = [n for n, reader in READERS.items() if reader.recognises(path)][0]
    assert first == name, f"{path} is taken by {first}"


def test_names_that_are_not_there(tmp_path):
    for path, options, words in [
        (tmp_path / "none", {}, "There is nothing at .*none: give a folder"),
        (tmp_path, {"reader": "foldr"}, "no reader called 'foldr'. Did you mean 'folder'"),
        (tmp_path, {}, "holds no pictures or recordings"),
    ]:
        with pytest.raises(UserError, match=words):
            open_source(path, SourceOptions(**options))
    for name in ("bank.npz", "bank.safetensors"):
        (tmp_path / name).touch()
        with pytest.raises(UserError, match="ready latents: give it to `gelda import`"):
            open_source(tmp_path / name)
    (tmp_path / "x.docx").touch()
    with pytest.raises(UserError, match="nothing that can be read: give a demo; hugging face"):
        open_source(tmp_path / "x.docx")


def test_a_folder_that_may_not_be_looked_into(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)  # as of root's: who runs the tests may read everything
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)"):
        open_source(tmp_path)


def test_nothing_outside_the_data_roots(tmp_path, monkeypatch):
    pictures(tmp_path / "in", "cat/1.jpg")
    pictures(tmp_path / "out", "cat/1.jpg")
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(tmp_path / "in"))
    assert len(open_source(tmp_path / "in").manifest) == 1 and len(open_source("digits").manifest)
    with pytest.raises(UserError, match="outside the folders that may be opened"):
        open_source(tmp_path / "out")


# folders


@pytest.mark.parametrize(
    "files, options, expected",
    [
        (["cat/1.jpg", "dog/2.jpg"], {}, {"cat/1.jpg": ("cat", "all", "")}),
        (["photo/cat/1.jpg", "art/cat/1.jpg"], {}, {"photo/cat/1.jpg": ("cat", "photo", "")}),
        (["train/cat/1.jpg", "val/cat/1.jpg"], {}, {"val/cat/1.jpg": ("cat", "all", "valid")}),
        (
            ["Train/photo/cat/1.jpg", "test/photo/cat/1.jpg"],
            {},
            {"Train/photo/cat/1.jpg": ("cat", "photo", "train")},
        ),
        (["anna/1/sad/1.jpg"], {"layout": "group/*/class"}, {"anna/1/sad/1.jpg": ("sad", "all", "")}),
        (["cat/day one/1.jpg", "dog/b/c/1.jpg"], {"layout": "class"}, {"dog/b/c/1.jpg": ("dog", "all", "")}),
        (["cat/1.jpg"], {"subdomain": "photo"}, {"cat/1.jpg": ("cat", "photo", "")}),
    ],
    ids=["class", "domain", "split", "split and domain", "layout", "deeper files", "one subdomain"],
)
def test_levels_of_folders(tmp_path, files, options, expected):
    manifest = open_source(pictures(tmp_path / "data", *files), SourceOptions(**options)).manifest
    assert len(manifest) == len(files)
    rows = manifest.table.set_index("id")
    for name, (label, subdomain, split) in expected.items():
        row = rows.loc[name]
        assert manifest.class_names[row["label"]] == label
        assert manifest.subdomain_names[row["subdomain"]] == subdomain
        assert row.get("split", "") == split


def test_a_folder_tells_what_it_leaves_out(tmp_path):
    root = pictures(tmp_path / "data", "cat/1.jpg", "dog/1.jpg", "stray.jpg", ".hidden/2.jpg")
    (root / "empty").mkdir()
    (root / "cat" / "notes.txt").write_text("x")
    picture(tmp_path / "elsewhere" / "3.jpg")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    source = open_source(root)
    assert source.manifest.class_names == ("cat", "dog")
    assert {p.item: p.reason for p in source.problems} == {
        "stray.jpg": "lies above the folders of the classes",
        "1 files '*.txt'": "not a picture, by the ending of the name",
        "link": f"is a link that leads out of {root}, or nowhere",
    }
    assert any("class 'empty'" in note for note in source.notes)


def test_folders_that_need_a_layout(tmp_path):
    deep = pictures(tmp_path / "deep", "a/b/c/1.jpg")
    with pytest.raises(UserError, match="3 levels of folders.*layout, for example"):
        open_source(deep)
    with pytest.raises(UserError, match="no folders"):
        open_source(pictures(tmp_path / "flat", "1.jpg"))
    for layout in ("klass/domain", "domain/*", "class/class"):
        with pytest.raises(UserError, match="must name class once"):
            open_source(deep, SourceOptions(layout=layout))
    note = open_source(pictures(tmp_path / "odd", "cat/day1/1.jpg", "dog/day2/1.jpg")).notes
    assert any("set the layout to 'class/*'" in n for n in note)


def test_labels_that_differ_in_case_stay_apart_and_are_named(tmp_path):
    root = pictures(tmp_path / "data", "Happy/1.jpg", "happy/2.jpg", "sad/1.jpg")
    source = open_source(root)
    assert source.manifest.class_names == ("Happy", "happy", "sad")
    assert any("'Happy' and 'happy' differ in letters' case only" in note for note in source.notes)
    joined = open_source(root, SourceOptions(label_map={"happy": "happy", "sad": None}))
    assert joined.manifest.class_names == ("happy",) and len(joined.manifest) == 2
    assert any("leaves out label 'sad': 1 items" in note for note in joined.notes)


# lists


def test_long_tail_lists_are_read_with_their_siblings(tmp_path):
    source = open_source(lists(pictures(tmp_path, "cat/1.jpg", "dog/1.jpg", "dog/2.jpg")))
    assert source.name == "Toy_LT" and source.manifest.class_names == ("cat", "dog")
    assert list(source.manifest.table["split"]) == ["train", "train", "test"]
    assert open_source(tmp_path).manifest.key() == source.manifest.key()


def test_class_names_of_lists(tmp_path):
    path = lists(pictures(tmp_path, "cat/1.jpg", "dog/1.jpg", "dog/2.jpg"))
    for lines, expected in [
        ("a cat\na dog\n", ("a cat", "a dog")),
        ("dog my dog\ncat my cat\n", ("my cat", "my dog")),
        ("n01440764 crane\nn01443537 crane\n", ("crane (0)", "crane (1)")),
    ]:
        (tmp_path / "classnames.txt").write_text(lines)
        assert open_source(path).manifest.class_names == expected
    (tmp_path / "few.txt").write_text("only\n")
    with pytest.raises(UserError, match="has 1 names, and the labels go up to 1"):
        open_source(path, SourceOptions(class_names=str(tmp_path / "few.txt")))


def test_a_list_outside_its_root_and_other_bad_lines(tmp_path):
    root = pictures(tmp_path / "data", "cat/1.jpg", "a b/2.jpg")
    picture(tmp_path / "secret" / "1.jpg")
    (root / "train.txt").write_text(
        "cat/1.jpg 0\n../secret/1.jpg 0\n/etc/passwd 0\ncat/none.jpg 0\ncat/1.jpg 0\nword\n\n/a b/2.jpg 1\n"
    )
    source = open_source(root / "train.txt")
    assert list(source.manifest.table["uri"]) == ["cat/1.jpg", "a b/2.jpg"]
    reasons = {(p.item, p.reason.split(",")[0].split(":")[0]) for p in source.problems}
    assert reasons == {
        ("../secret/1.jpg", f"points outside the root {root}"),
        ("/etc/passwd", f"points outside the root {root}"),
        ("cat/none.jpg", "there is no such file"),
        ("cat/1.jpg", "is named more than once"),
        ("train.txt, line 6", "is not 'path label'"),
    }
    (root / "train.txt").write_text("cat/7.jpg 0\ncat/8.jpg 0\n")
    with pytest.raises(UserError, match="None of the 2 files .* first is 'cat/7.jpg'. Give the folder"):
        open_source(root / "train.txt")
    elsewhere = tmp_path / "lists" / "x.txt"
    elsewhere.parent.mkdir()
    elsewhere.write_text("cat/1.jpg 0\n")
    assert len(open_source(elsewhere, SourceOptions(root=str(root))).manifest) == 1


def test_more_classes_tested_than_trained(tmp_path):
    root = pictures(tmp_path, *[f"{c}/{i}.jpg" for c in "abcd" for i in range(2)])
    (root / "x_train.txt").write_text("a/0.jpg 0\nb/0.jpg 1\nc/0.jpg 2\n")
    (root / "x_test.txt").write_text("a/1.jpg 0\nb/1.jpg 1\nc/1.jpg 2\nd/1.jpg 3\n")
    notes = open_source(root / "x_train.txt").notes
    assert any("Training has 3 classes and test 4, among them the class 'd'" in note for note in notes)


def test_split_files_beside_a_list(tmp_path):
    root = pictures(tmp_path, "a/0.jpg", "a/1.jpg")
    (root / "one.txt").write_text("a/0.jpg 0\n")
    (root / "two.txt").write_text("a/1.jpg 0\n")
    both = SourceOptions(split_files={"test": str(root / "two.txt")})
    assert list(open_source(root / "one.txt", both).manifest.table["split"]) == ["train", "test"]
    with pytest.raises(UserError, match="split_files names 'extra'"):
        open_source(root / "one.txt", SourceOptions(split_files={"extra": str(root / "two.txt")}))


# CIFAR-100-LT


def test_the_cut_is_the_published_one():
    labels = np.repeat(np.arange(100), 500)
    np.random.default_rng(3).shuffle(labels)
    kept = long_tail(labels, 100.0)
    counts = np.bincount(labels[kept])
    assert counts[0] == 500 and counts[99] == 5 and counts.sum() == 10_847  # as papers say of imbalance 100
    np.random.seed(0)  # the published code, kaidic/LDAM-DRW imbalance_cifar.py
    expected = []
    for label in range(100):
        rows = np.where(labels == label)[0]
        np.random.shuffle(rows)
        expected += rows[: int(500 * (0.01 ** (label / 99.0)))].tolist()
    np.testing.assert_array_equal(kept, sorted(expected))


def test_cifar_decodes_its_own_rows(tmp_path):
    folder = cifar(tmp_path / "cifar-100-binary")
    source = open_source(tmp_path, SourceOptions(imbalance=1))
    assert len(source.manifest) == 69 and source.manifest.class_names == ("apple", "bear", "cloud")
    image = np.asarray(source.decode("cifar:train/41"))
    assert image.shape == (32, 32, 3) and (image[..., 0] == 41).all() and (image[..., 1] == 0).all()
    (folder / "train.bin").write_bytes(b"x" * (ROW + 1))
    with pytest.raises(UserError, match="cut short"):
        open_source(folder)


def test_pickled_cifar_is_not_read(tmp_path):
    for name in ("meta", "train", "test"):
        (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match="pickles, which are never read: fetch the binary version"):
        open_source(tmp_path)


# EmoBox


def corpus(root: Path, name: str, language: str) -> Path:
    """Two folds of four clips; speaker 1 is on both sides of fold 2."""
    recordings(root / name, *[f"wav/{k}.wav" for k in "abcd"])
    items = [
        item(k, emo, speaker, dataset=name, language=language)
        for k, emo, speaker in zip("abcd", ("W", "T", "W", "T"), "1122", strict=True)
    ]
    for fold, (train, test) in enumerate([((0, 1), (2, 3)), ((0, 2), (1, 3))], 1):
        for split, rows in (("train", train), ("test", test)):
            jsonl(
                root / name / f"fold_{fold}" / f"{name}_{split}_fold_{fold}.jsonl", [items[r] for r in rows]
            )
    jsonl(root / name / f"{name}.jsonl", items)
    (root / name / "label_map.json").write_text('{"w": "anger", "t": "sadness", "x": "fear"}')
    return root / name


def test_folds_label_map_language_and_speakers(tmp_path):
    source = open_source(corpus(tmp_path, "toy", "german"))
    manifest = source.manifest
    assert (manifest.class_names, manifest.subdomain_names) == (("anger", "sadness"), ("german",))
    assert list(manifest.table["split"]) == ["train", "train", "test", "test"] and source.grouped
    assert list(manifest.table["group"]) == ["toy/1", "toy/1", "toy/2", "toy/2"]
    assert any("fold 1 of 2" in note for note in source.notes)
    assert any("'W' is read as 'anger'" in note and "case" in note for note in source.notes)
    assert not find_leaks(source)
    second = open_source(tmp_path / "toy", SourceOptions(fold=2))
    assert open_source(tmp_path / "toy" / "fold_2").manifest.key() == second.manifest.key()
    assert any("2 groups (such as speakers) of 2 are in more than one split" in note for note in second.notes)
    with pytest.raises(UserError, match="no fold 3: it has 1, 2"):
        open_source(tmp_path / "toy", SourceOptions(fold=3))


def test_the_language_of_a_known_corpus(tmp_path):
    recordings(tmp_path, "wav/a.wav", "wav/b.wav")
    rows = [item("a", "sad", dataset="emodb"), item("b", "sad", dataset="mine")]
    assert open_source(jsonl(tmp_path / "x.jsonl", rows)).manifest.subdomain_names == ("german", "mine")


def test_several_corpora_are_languages(tmp_path):
    corpus(tmp_path, "eins", "german"), corpus(tmp_path, "dwa", "polish")
    source = open_source(tmp_path)
    assert source.manifest.subdomain_names == ("german", "polish") and len(source.manifest) == 8
    assert set(source.manifest.table["group"]) == {"eins/1", "eins/2", "dwa/1", "dwa/2"}
    assert source.decode(source.manifest.table["uri"].iloc[-1]).rate == 16_000


def test_subdomains_that_lack_a_class_are_left_out_when_asked(tmp_path):
    pictures(tmp_path, "day/ant/1.png", "day/bee/2.png", "night/ant/3.png")
    assert open_source(tmp_path).manifest.subdomain_names == ("day", "night")
    source = open_source(tmp_path, SourceOptions(complete=True))
    assert source.manifest.subdomain_names == ("day",) and len(source.manifest) == 2
    assert "Left out, since they lack one of the classes: night." in source.notes
    (tmp_path / "day" / "bee" / "2.png").rename(tmp_path / "night" / "ant" / "4.png")
    pictures(tmp_path, "dusk/bee/5.png")
    with pytest.raises(UserError, match="Every subdomain lacks one of the classes"):
        open_source(tmp_path, SourceOptions(complete=True))


def test_forms_of_a_manifest(tmp_path):
    recordings(tmp_path, "wav/a.wav", "wav/b.wav")
    items = [item("a", "sad"), item("b", "happy")]
    keyed = {one.pop("key"): one for one in (dict(i) for i in items)}
    for name, value in (("keyed.json", keyed), ("list.json", items), ("list.jsonl", items)):
        (tmp_path / name).write_text(json.dumps(value))
        assert list(open_source(tmp_path / name).manifest.table["id"]) == ["a", "b"]
    nested = jsonl(
        tmp_path / "data" / "toy" / "toy.jsonl", items
    )  # paths start two folders above, as EmoBox has it
    assert open_source(nested).root == str(tmp_path)


def test_segments_of_one_recording(tmp_path):
    recordings(tmp_path, "wav/a.wav")
    rows = [
        item(k, e, wav="wav/a.wav", start_time=s, end_time=t, split=split)
        for k, e, s, t, split in [
            ("x", "sad", 0.0, 0.05, "train"),
            ("y", "sad", 0.05, 0.15, "test"),
            ("z", "sad", 0.15, 0.1, "test"),
        ]
    ]
    source = open_source(jsonl(tmp_path / "toy.jsonl", rows))
    assert list(source.manifest.table["uri"]) == ["wav/a.wav#t=0,0.05", "wav/a.wav#t=0.05,0.15"]
    assert source.decode("wav/a.wav#t=0.05,0.15").seconds == pytest.approx(0.1)
    assert [p.reason for p in source.problems] == ["its segment ends before it starts"]
    assert any("1 recording of 1 is in more than one split" in note for note in source.notes)


def test_bad_items_of_a_manifest(tmp_path):
    recordings(tmp_path, "wav/a.wav", "wav/b.wav", "wav/c.wav")
    rows = [
        item("a", "sad"),
        item("b", "sad", wav="wav/a.wav"),
        item("b", "odd"),
        item("a", "sad", wav="wav/c.wav"),
    ]
    rows += [{"key": "none", "emo": "sad"}, item("f", "sad", type="feature"), item("e", "", wav="wav/c.wav")]
    path = jsonl(tmp_path / "toy.jsonl", rows)
    source = open_source(path, SourceOptions(label_map={"sad": "sadness"}))
    assert list(source.manifest.table["id"]) == ["a"]
    assert sorted(p.reason.split(":")[0] for p in source.problems) == [
        "has no label",
        "holds features, not sound",
        "is named more than once",
        "its id belongs to an earlier item",
        "names no wav",
        "the label map does not name their label",
    ]
    path.write_text(path.read_text() + "{broken\n")
    with pytest.raises(UserError, match="toy.jsonl, line 8 is not valid JSON"):
        open_source(path)
    (tmp_path / "map.json").write_text("[1]")
    jsonl(path, rows)
    with pytest.raises(UserError, match="must be a table of raw labels"):
        open_source(path, SourceOptions(label_map=str(tmp_path / "map.json")))


def test_speakers_out_of_the_ids(tmp_path):
    recordings(tmp_path, *[f"wav/{k}.wav" for k in ("03a", "03b", "08a")])
    path = jsonl(tmp_path / "toy.jsonl", [item(k, "sad") for k in ("03a", "03b", "08a")])
    assert not open_source(path).grouped
    source = open_source(path, SourceOptions(group_pattern=r"^(\d\d)"))
    assert list(source.manifest.table["group"]) == ["03", "03", "08"] and source.grouped
    for pattern, words in [
        ("(", "not a regular expression"),
        ("0", "needs brackets"),
        ("(x+)", "fits no id"),
    ]:
        with pytest.raises(UserError, match=words):
            open_source(path, SourceOptions(group_pattern=pattern))


# tables


@pytest.mark.parametrize("name", ["items.csv", "items.tsv", "items.parquet", "metadata.csv"])
def test_tables_with_named_columns(tmp_path, name):
    root = recordings(tmp_path, "a.wav", "b.wav", "c.wav")
    columns = {
        "clip": ["a.wav", "b.wav", "c.wav"],
        "emotion": ["sad", "happy", None],
        "lang": ["de", "pl", "de"],
        "who": ["x", "y", "y"],
        "set": ["train", "dev", "test"],
    }
    path = table(root, columns, name)
    options = SourceOptions(columns=Columns(path="clip", group="who", split="set"))
    source = open_source(root if name == "metadata.csv" else path, options)
    assert (source.media, source.manifest.subdomain_names, source.grouped) == ("audio", ("de", "pl"), True)
    assert list(source.manifest.table["split"]) == ["train", "valid"]
    assert [(p.item, p.reason) for p in source.problems] == [("c.wav", "has no label")]
    assert any("label 'emotion', subdomain 'lang'" in note for note in source.notes)
    with pytest.raises(UserError, match="no column 'emotoin'. Did you mean 'emotion'"):
        open_source(path, SourceOptions(columns=Columns(path="clip", label="emotoin")))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_row_of_a_table_that_names_no_file_is_listed(tmp_path, suffix):
    for name in "ac":
        (tmp_path / f"{name}.png").write_bytes(b"")
    table = pd.DataFrame({"path": ["a.png", None, "c.png"], "label": ["x", "x", "y"]})
    file = tmp_path / f"table.{suffix}"
    table.to_csv(file, index=False) if suffix == "csv" else table.to_parquet(file)
    source = open_source(str(file))
    assert [(p.item, p.reason) for p in source.problems] == [("row 2", "names no file")]
    assert len(source.manifest) == 2


def test_a_table_of_texts(tmp_path):
    path = table(tmp_path, {"text": ["good, day", "bad\nday"]})
    source = open_source(path)
    assert source.media == "text" and [source.decode(u) for u in source.manifest.table["uri"]] == [
        "good, day",
        "bad\nday",
    ]


def test_bad_tables(tmp_path):
    (tmp_path / "empty.csv").touch()
    (tmp_path / "latin.csv").write_bytes("file,label\nä.jpg,x\n".encode("latin-1"))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 no")
    pd.DataFrame({"z_last": [[1.0]], "label": ["a"]}).to_parquet(tmp_path / "bank.parquet")
    table(tmp_path, {"file": ["a.wav"], "label": ["x"], "split": ["fold3"]}, "split.csv")
    recording(tmp_path / "a.wav")
    table(tmp_path, {"name": ["a.wav"], "label": ["x"]}, "none.csv")
    for name, words in {
        "empty.csv": "cannot be read as a table",
        "latin.csv": "not UTF-8",
        "torn.parquet": "cannot be read as Parquet",
        "bank.parquet": "ready latents",
        "split.csv": "called 'fold3': it may say train, valid",
        "none.csv": r"no column for path or text: say which .*\(there are name, label\)",
    }.items():
        with pytest.raises(UserError, match=words):
            open_source(tmp_path / name)


# Hugging Face data sets


def test_hugging_face_pictures_groups_and_splits(tmp_path):
    source = open_source(hugging_face(tmp_path / "hf"))
    assert (source.media, source.manifest.class_names, source.grouped) == ("image", ("cat", "dog"), True)
    assert list(source.manifest.table["split"]) == ["train"] * 4 + ["valid"] * 4
    assert source.decode("hf:valid".replace("valid", "validation") + "/image/3").size == (9, 5)


def test_hugging_face_sound_needs_no_other_decoder(tmp_path):
    import datasets

    datasets.disable_progress_bars()
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(), 16_000, format="WAV")
    data = datasets.Dataset.from_dict(
        {"audio": [{"bytes": buffer.getvalue(), "path": "a.wav"}] * 2, "emotion": ["sad", "happy"]}
    )
    data.cast_column("audio", datasets.Audio(decode=False)).save_to_disk(tmp_path / "hf")
    source = open_source(tmp_path / "hf")
    assert source.media == "audio" and source.manifest.class_names == ("happy", "sad")
    assert source.decode(source.manifest.table["uri"].iloc[1]).seconds == pytest.approx(0.5)


def test_what_the_hub_answers_is_a_sentence(tmp_path, monkeypatch):
    import datasets

    def answer(error):
        hub_reader.opened.cache_clear()

        def load(name, config=None):
            assert (name, config) == ("org/none", "small")
            raise error

        monkeypatch.setattr(datasets, "load_dataset", load)

    for error, words in [
        (datasets.exceptions.DatasetNotFoundError("x"), "no data set 'org/none:small' on the Hub"),
        (ConnectionError("x"), "Hub cannot be reached .* works offline"),
        (
            ValueError("Config name is missing.\nPlease"),
            "cannot be read as a data set: Config name is missing.$",
        ),
    ]:
        answer(error)
        with pytest.raises(UserError, match=words):
            open_source("hf:org/none:small")


# splits and leaks


def test_a_split_by_group_is_whole_seeded_and_near_its_share(tmp_path):
    rows = [
        item(f"{lang}{s}{n}", "sad", f"{lang}{s}", language=lang)
        for lang in "ab"
        for s in range(5)
        for n in range(2 + s)
    ]
    recordings(tmp_path, *[one["wav"] for one in rows])
    path = jsonl(tmp_path / "toy.jsonl", rows)
    split = {s: open_source(path, SourceOptions(test_share=0.3, seed=s)).manifest for s in (0, 1)}
    table = split[0].table
    assert (table.groupby("group")["split"].nunique() == 1).all()
    for _, part in table.groupby("subdomain"):
        assert 0.15 <= (part["split"] == "test").mean() <= 0.45
    assert (table["split"] != split[1].table["split"]).any()
    again = open_source(path, SourceOptions(test_share=0.3, seed=0)).manifest
    assert again.key() == split[0].key()


def test_without_groups_every_cell_is_split(tmp_path):
    root = pictures(
        tmp_path, *[f"{d}/{c}/{i}.jpg" for d in "xy" for c in "ab" for i in range(4)], "x/c/0.jpg"
    )
    table = open_source(root, SourceOptions(test_share=0.25)).manifest.table
    tested = table[table["split"] == "test"].groupby(["label", "subdomain"]).size()
    assert (tested == 1).all() and len(tested) == 4, "a cell of one item is left to train on"


def test_the_same_bytes_in_two_splits_are_found(tmp_path):
    root = pictures(tmp_path, "train/a/1.jpg", "train/a/2.jpg", "test/a/3.jpg")
    (root / "test" / "a" / "copy.jpg").write_bytes((root / "train" / "a" / "1.jpg").read_bytes())
    source, told = open_source(root), []
    assert find_leaks(source) == []
    leaks = find_leaks(source, hashed=True, progress=lambda done, total: told.append((done, total)))
    assert len(leaks) == 1 and "1 file's content" in leaks[0] and "train/a/1.jpg" in leaks[0]
    assert told and told[-1][0] == told[-1][1]


def test_an_item_in_two_splits_counts_once(tmp_path):
    root = pictures(tmp_path, "a/0.jpg", "a/1.jpg")
    (root / "x_train.txt").write_text("a/0.jpg 0\na/1.jpg 0\n")
    (root / "x_test.txt").write_text("a/1.jpg 0\n")
    source = open_source(root / "x_train.txt")
    assert list(source.manifest.table["split"]) == ["train", "train"]
    assert [(p.item, p.reason) for p in source.problems] == [
        ("a/1.jpg", "is in two splits: it counts for the first that names it")
    ]


def test_a_probe_finds_what_does_not_decode(tmp_path):
    root = pictures(tmp_path, "a/0.jpg", "a/1.jpg")
    (root / "a" / "1.jpg").write_bytes(b"no picture")
    assert [p.item for p in probe(open_source(root))] == ["a/1.jpg"]


def test_a_million_items_would_take_seconds(tmp_path):
    """Ten thousand rows in two seconds of processor time, more than ten times what they need."""
    for number in range(10):
        (tmp_path / f"class{number}").mkdir()
        for k in range(1000):
            os.close(os.open(tmp_path / f"class{number}" / f"{k}.jpg", os.O_CREAT))
    uris = [f"class{n}/{k}.jpg" for n in range(10) for k in range(1000)]
    (tmp_path / "x.txt").write_text("".join(f"{uri} {uri[5]}\n" for uri in uris))
    for path in (tmp_path, tmp_path / "x.txt"):
        started = time.process_time()
        assert len(open_source(path).manifest) == 10_000
        assert time.process_time() - started < 2


# -- several corpora, and their emotions' names ------------------------------------------------------------


@pytest.fixture
def two(tmp_path) -> list[str]:
    """Two corpora in folders apart that call happiness differently; the second also has a name of its own."""
    labels = {"a": ["Happy", "sad", "neu"], "b": ["joy", "sadness", "neutral", "excited"]}
    return [
        str(
            jsonl(
                recordings(tmp_path / "sets" / name, *(f"wav/{k}.wav" for k in range(len(emotions))))
                / f"{name}.jsonl",
                [item(str(k), emotion, f"s{k}") | {"dataset": name} for k, emotion in enumerate(emotions)],
            )
        )
        for name, emotions in labels.items()
    ]


def test_corpora_named_one_by_one_are_one_source(two, tmp_path):
    source = open_source(two[0], SourceOptions(beside=(two[1], two[0])))
    assert len(source.manifest) == 7 and source.name == "a + b", "a corpus named twice counts once"
    assert source.root == str(tmp_path / "sets") and source.manifest.subdomain_names == ("a", "b")
    assert any("'Happy' and 'joy' may be one emotion" in note for note in source.notes)
    whole = open_source(str(tmp_path / "sets"))
    assert whole.manifest.table.equals(source.manifest.table), "as a folder that holds both"


@pytest.mark.parametrize(
    "options, classes",
    [
        ({"emotions": "joined"}, ("excited", "happiness", "neutral", "sadness")),
        ({"emotions": "joined", "classes": ("sadness", "neutral")}, ("sadness", "neutral")),
        ({"emotions": "four", "classes": ("happiness", "neutral")}, ("happiness", "neutral")),
        (
            {"emotions": "joined", "label_map": {"excited": "joy", "Happy": "joy", "joy": "joy"}},
            ("happiness",),
        ),
    ],
)
def test_names_of_one_emotion_are_joined(two, options, classes):
    source = open_source(two[0], SourceOptions(beside=(two[1],), **options))
    assert source.manifest.class_names == classes
    assert any("'happiness' is called" in note for note in source.notes) and not any(
        "may be one emotion" in note for note in source.notes
    )


def test_every_alias_of_an_emotion_belongs_to_one_name():
    every = [alias for name, aliases in ALIASES.items() for alias in (name, *aliases)]
    assert len(every) == len(set(every)) and every == [alias.casefold() for alias in every]
    assert set(FOUR) <= set(ALIASES) and list(FOUR) == sorted(FOUR)


@pytest.mark.parametrize("first, more, words", [
    ("{a}", "{a}x", "is no EmoBox manifest"),
    ("digits", "{a}", "Several sources are read as one where each is an EmoBox manifest, and digits is none"),
    ("{a}", "digits", "digits is no EmoBox manifest"),
])  # fmt: skip
def test_what_cannot_be_read_as_one_is_a_sentence(two, first, more, words):
    with pytest.raises(UserError, match=words):
        open_source(first.format(a=two[0]), SourceOptions(beside=(more.format(a=two[0]),)))


def test_a_corpus_without_speakers_says_so(tmp_path):
    rows = [item("x-1", "sad", wav="wav/a.wav"), item("y-2", "joy", wav="wav/b.wav")]
    file = jsonl(recordings(tmp_path, "wav/a.wav", "wav/b.wav") / "toy.jsonl", rows)
    assert any("toy names no speakers" in note for note in open_source(file).notes)
    found = open_source(file, SourceOptions(group_pattern="(.)-"))
    assert found.grouped and not any("names no speakers" in note for note in found.notes)


def test_the_four_common_emotions_are_all_asked_for(two):
    with pytest.raises(UserError, match="no class called 'anger'"):
        open_source(two[0], SourceOptions(beside=(two[1],), emotions="four"))
