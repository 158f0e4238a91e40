"""The page Data: what a person sees of their items, and what it says when something is wrong with them."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path

import bank_fixtures as banks
import media_fixtures as made
import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from test_pages import open_page, text, warnings

from app import data_charts, form, source_form, sources, words
from gelda import datasets, runs
from gelda.datasets import SourceOptions
from gelda.errors import UserError

CELLS = {("photo", "ant"): 4, ("photo", "bee"): 3, ("sketch", "ant"): 2}  # and no bee that is drawn


@pytest.fixture(autouse=True)
def workspace(gelda_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    monkeypatch.setattr("gelda.jobs.spawn", lambda *_: pytest.fail("a page started a job by itself"))
    sources.again()
    return gelda_home


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """domain/class/file.png, and a file that is no picture."""
    root = tmp_path / "pictures"
    for place, ((domain, name), count) in enumerate(CELLS.items()):
        for i in range(count):
            made.picture(root / domain / name / f"{i}.png", colour=(40 * place, 20 * i, 90))
    (root / "photo" / "ant" / "broken.png").write_bytes(b"no picture")
    (root / "photo" / "ant" / "again.png").write_bytes((root / "photo" / "ant" / "0.png").read_bytes())
    return root


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return made.clip_manifest(tmp_path)


def alt(page: AppTest) -> str:
    """Title of the chart, which is what it says aloud."""
    return page.get("plotly_chart")[0].proto.alt


def test_without_data_it_says_what_can_be_read() -> None:
    page = open_page("data")
    assert page.title[0].value == "Which items do you have?"
    assert not warnings(page)
    for name, reader in datasets.READERS.items():
        assert reader.title in text(page) or name == "demo"  # demos are buttons
    assert {f"demo-{name}" for name in datasets.DATASETS} <= {b.key for b in page.button}


def test_a_demo_is_one_click() -> None:
    page = open_page("data")
    page.button(key="demo-digits").click().run()
    assert not page.exception and not warnings(page)
    assert page.title[0].value == "8\u202f985 pictures of 10 classes in 5 conditions"
    assert page.query_params["source"] == "digits"
    assert text(page).count("<figure") == 20


def test_folder_counts_and_previews(pictures: Path) -> None:
    page = open_page("data", source=str(pictures))
    assert page.title[0].value == "11 pictures of 2 classes in 2 subdomains"
    assert alt(page) == "No bee in sketch; 2 to 6 in the others"
    assert text(page).count("<figure") == 11
    assert "broken.png is not a picture that can be read" in text(
        page
    )  # in its place, not instead of the page
    page.selectbox(key="class").select("bee")
    page.selectbox(key="subdomain").select("photo").run()
    assert text(page).count("<figure") == CELLS["photo", "bee"]
    assert page.query_params["class"] == "bee"
    page.selectbox(key="subdomain").select("sketch").run()
    assert "No item here" in text(page)


def test_a_link_to_a_class_that_the_data_have_not_says_so(pictures: Path) -> None:
    link = {"class": "wasp", "subdomain": "photo"}
    page = open_page("data", source=str(pictures), **link)
    assert "names the class “wasp”, which is not in these data" in text(page) and not warnings(page)
    assert page.query_params["subdomain"] == "photo" and "class" not in page.query_params


def test_dates_that_there_are_not_are_said_of_any_data(pictures: Path, tmp_path: Path) -> None:
    files = sorted(str(f.relative_to(pictures)) for f in pictures.rglob("[0-9].png"))
    days = ["2024-02-30", *["2024-03-01"] * (len(files) - 1)]
    rows = {"file": files, "label": [Path(f).parent.name for f in files], "day": days}
    pd.DataFrame(rows).to_csv(pictures / "items.csv", index=False)
    said = f"Column day: 1 of {len(files)} values cannot be read as a date (2024-02-30) and is left empty"
    assert said in text(open_page("data", source=str(pictures / "items.csv")))
    latents = banks.npz_arrays(banks.photo_items())
    days = np.array(["2024-02-30", *["2024-03-01"] * (len(latents["y"]) - 1)])
    path = banks.write_npz(tmp_path / "z.npz", {**latents, "day": days})
    assert "cannot be read as a date (2024-02-30)" in text(open_page("data", source=str(path)))


def test_check_finds_what_cannot_be_read_and_copies(pictures: Path) -> None:
    page = open_page("data", source=str(pictures))
    next(b for b in page.button if b.label == "Check every file").click().run()
    for _ in range(100):
        if "cannot be read" in text(page):
            break
        time.sleep(0.1)
        page.run()
    reasons = {row["item"]: row["reason"] for t in page.dataframe for row in t.value.to_dict("records")}
    assert "not a picture that can be read" in reasons["photo/ant/broken.png"]
    assert reasons["photo/ant/again.png"] == "holds the same bytes as photo/ant/0.png" or (
        reasons["photo/ant/0.png"] == "holds the same bytes as photo/ant/again.png"
    )


def test_manifest_of_clips_plays(clips: Path) -> None:
    page = open_page("data", source=str(clips))
    assert page.title[0].value.startswith("4 clips of 2 emotions")
    assert "2 groups (such as speakers)" in text(page)
    assert len(page.get("audio")) == 4


def test_options_are_applied_and_held_in_the_address(clips: Path) -> None:
    page = open_page("data", source=str(clips))
    page.text_input(key=f"read-{clips}-.subdomain").input("polish")
    page.number_input(key=f"read-{clips}-.test_share").set_value(0.5)
    next(b for b in page.button if b.label == "Read with these").click().run()
    assert not page.exception and not warnings(page)
    given = json.loads(page.query_params["options"])
    assert given == {"subdomain": "polish", "test_share": 0.5}
    assert "Read them differently (2 changed)" in [e.label for e in page.expander]
    again = open_page("data", source=str(clips), options=page.query_params["options"])
    assert "<td>test</td>" in text(again)  # the table of splits


@pytest.mark.parametrize("name", datasets.READERS)
def test_options_are_those_of_the_kind(name: str) -> None:
    shown = set(source_form.fields(name))
    assert set(datasets.READERS[name].own) == shown & source_form.OWN
    assert {"label_map", "classes", "test_share"} <= shown <= set(SourceOptions.model_fields)


def test_a_folder_has_no_columns_and_a_table_has(pictures: Path, clips: Path) -> None:
    folder, manifest = open_page("data", source=str(pictures)), open_page("data", source=str(clips))
    assert f"read-{pictures}-.layout" in {w.key for w in folder.text_input}
    assert f"read-{clips}-.fold" in {w.key for w in manifest.text_input}
    for page in (folder, manifest):
        assert not [w.key for w in page.text_input if w.key and w.key.endswith("columns.label")]


def test_how_other_data_were_to_be_read_is_not_how_these_are(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    page = open_page("data", source=str(clips))
    page.text_input(key=f"read-{clips}-.subdomain").set_value("polish").run()  # typed, and not applied
    page.text_input(key="source").set_value(str(made.clip_manifest(tmp_path / "other"))).run()
    assert not page.exception and "polish" not in [w.value for w in page.text_input]


def test_speakers_on_both_sides_are_said(clips: Path) -> None:
    rows = [json.loads(line) for line in clips.read_text().splitlines()]
    for i, row in enumerate(rows):
        row["speaker"], row["split"] = "s0", "train" if i < 2 else "test"
    table = clips.with_name("clips.csv")
    table.write_text(
        "path,label,speaker,split\n"
        + "".join(f"{r['wav']},{r['emo']},{r['speaker']},{r['split']}\n" for r in rows)
    )
    page = open_page("data", source=str(table))
    assert any("more than one split" in w for w in warnings(page))


def test_ready_latents_offer_a_comparison(tmp_path: Path) -> None:
    arrays = banks.npz_arrays(banks.photo_items())
    path = banks.write_npz(tmp_path / "photos.npz", arrays)
    page = open_page("data", source=str(path))
    assert page.title[0].value == "144 latents of 4 classes in 3 subdomains"
    assert "nothing to see or hear" in text(page)
    assert [b.label for b in page.button if b.label == "Layers"]
    assert alt(page) == "8 in every cell"  # of the training items
    next(b for b in page.button if b.label == "Compare methods").click().run()
    assert dict(page.query_params) == {"preset": "own", "bank": str(path)}, (
        "one form of a comparison, on Generate"
    )
    page = open_page("generate", preset="own", bank=str(path))
    page.segmented_control(key=f"compare-{path}.protocol").set_value("zero-shot").run()
    assert page.selectbox(key=f"compare-{path}.target.one").options == list(banks.SUBDOMAINS)
    page.multiselect(key=f"compare-{path}.expert").set_value(["adapter.fm_layer"]).run()
    layer = page.selectbox(key=f"compare-{path}.adapter.fm_layer.one")
    assert layer.value == "auto" and layer.options == ["auto", "pool"], "one layer has no weighted sum"


def test_layers_of_one_width_offer_their_weighted_sum(tmp_path: Path) -> None:
    items = banks.photo_items()
    widths = {"low": 6, "high": 6}
    arrays = banks.npz_arrays(items, **{name: banks.planted_latents(items, w) for name, w in widths.items()})
    path = banks.write_npz(tmp_path / "photos.npz", arrays)
    assert form._named(str(path))["adapter.fm_layer"] == ("auto", "low", "high", "weighted")
    arrays["z_low"] = banks.planted_latents(items, 5).numpy()
    uneven = banks.write_npz(tmp_path / "uneven.npz", arrays)
    assert form._named(str(uneven))["adapter.fm_layer"] == ("auto", "low", "high")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/no/such/folder", "There is nothing at /no/such/folder"),
        ("\0", "not a path that can be opened"),
        ("/tmp/x.npz", "There is n"),
    ],
)
def test_a_wrong_path_is_a_sentence(path: str, said: str) -> None:
    page = open_page("data", source=path)
    assert page.title[0].value == "These data cannot be opened"
    assert said in warnings(page)[0]
    assert page.text_input(key="source").value == path  # it can be mended


def test_options_that_are_none_are_a_sentence(clips: Path) -> None:
    page = open_page("data", source=str(clips), options='{"nonsense": 1}')
    assert "choose the data again" in warnings(page)[0]


def test_data_roots_limit_what_can_be_opened(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(pictures / "photo"))
    assert "GELDA_DATA_ROOTS" in warnings(open_page("data", source=str(pictures)))[0]
    assert not warnings(open_page("data", source=str(pictures / "photo")))


def test_readonly_shows_and_starts_nothing(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GELDA_READONLY", "1")
    page = open_page("data", source=str(pictures))
    assert "GELDA_DATA_ROOTS" in warnings(page)[0] and "<figure" not in text(page)
    assert not warnings(open_page("data", source="digits"))
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(pictures))
    page = open_page("data", source=str(pictures))
    assert page.title[0].value.startswith("11 pictures")
    labels = {b.label for b in page.button}
    assert not labels & {"Encode these items", "Check every file"}
    assert not page.get("file_uploader")
    assert "looking only" in text(page)


def test_encode_hands_the_data_to_latents(pictures: Path) -> None:
    page = open_page("data", source=str(pictures))
    next(b for b in page.button if b.label == "Encode these items").click().run()
    assert not page.exception
    assert page.title[0].value.startswith("Encode 11 pictures")


def test_a_changed_folder_is_read_anew(pictures: Path) -> None:
    before = len(sources.look(str(pictures), SourceOptions()).table)
    made.picture(pictures / "sketch" / "bee" / "0.png")
    assert len(sources.look(str(pictures), SourceOptions()).table) == before + 1


def test_upload_of_a_zip_of_pictures(pictures: Path, tmp_path: Path) -> None:
    archive = tmp_path / "mine.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for picture in sorted(pictures.rglob("*.png")):
            file.write(picture, picture.relative_to(pictures.parent))
        file.writestr("pictures/inner.zip", b"PK")
    page = open_page("data")
    page.file_uploader(key="upload-0").set_value(("mine.zip", archive.read_bytes(), "application/zip"))
    page.run()
    assert not page.exception and not warnings(page)
    assert page.title[0].value == "11 pictures of 2 classes in 2 subdomains"
    assert Path(page.text_input[0].value).is_relative_to(runs.home() / "uploads")
    assert "pictures/inner.zip" in list(page.dataframe[0].value["item"])  # what was not unpacked is listed


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mine.zip", b"no zip", "is no zip, or it is damaged"),
        ("mine.npz", b"no npz", "mine.npz"),
        ("mine.csv", b"a,b\n1,2\n", "column"),
    ],
)
def test_an_upload_that_is_none_is_a_sentence(name: str, content: bytes, said: str) -> None:
    page = open_page("data")
    page.file_uploader(key="upload-0").set_value((name, content, "application/octet-stream"))
    page.run()
    assert not page.exception
    assert any(said in w for w in warnings(page))


def test_a_refused_upload_leaves_the_page_and_no_files(pictures: Path) -> None:
    page = open_page("data", source=str(pictures))
    page.file_uploader(key="upload-0").set_value(("mine.zip", b"no zip", "application/zip"))
    page.run()
    assert page.title[0].value == "11 pictures of 2 classes in 2 subdomains"
    assert any("is no zip" in w for w in warnings(page))
    assert not list((runs.home() / "uploads").iterdir())
    page.text_input(key="source").set_value("digits").run()  # it is not in the way of other data
    assert page.title[0].value.startswith("8\u202f985")


def test_the_hub_is_asked_once_where_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no(path: str, options: SourceOptions) -> None:
        asked.append(path)
        raise UserError("The Hub cannot be reached.")

    monkeypatch.setattr(datasets, "open_source", no)
    page = open_page("data", source="hf:a/b")
    page.run()
    assert asked == ["hf:a/b"] and warnings(page) == ["The Hub cannot be reached."]
    next(b for b in page.button if b.label == "Read again").click().run()
    assert len(asked) == 2


def test_what_a_table_needs_is_open_where_it_is_missing(tmp_path: Path) -> None:
    table = tmp_path / "items.csv"
    table.write_text("file,what is it\n1.png,ant\n")
    page = open_page("data", source=str(table))
    assert warnings(page) and [e.proto.expanded for e in page.expander] == [True]
    assert not [
        e.proto.expanded
        for e in open_page("data", source=str(tmp_path / "none")).expander
        if e.proto.expanded
    ]


def test_one_class_is_said_and_names_are_not_markup(tmp_path: Path) -> None:
    for i in range(3):
        made.picture(tmp_path / "<b>x & y" / f"{i}.png")
    page = open_page("data", source=str(tmp_path))
    assert any("There is one class" in w for w in warnings(page))
    assert "<figcaption>1.png" in text(page)  # the class is no news
    figure = data_charts.counts(np.ones((2, 2), int), ["<b>x", "a & b"], ["s", "t"], "picture", "light")
    assert figure.layout.xaxis.ticktext == ("&lt;b&gt;x", "a &amp; b")
    assert words.plain("<i>a &amp; b</i>") == "a & b"


def test_texts_have_no_files_to_check(tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    table.write_text("text,label\n" + "".join(f"word {i},{'ab'[i % 2]}\n" for i in range(4)))
    page = open_page("data", source=str(table))
    assert page.title[0].value == "4 texts of 2 classes"
    assert not [b for b in page.button if b.label == "Check every file"]


def test_kinds_of_cells() -> None:
    assert [data_charts.kind(n) for n in (0, 1, 19, 20, 100, 101)] == [
        "none", "few", "few", "medium", "medium", "many",
    ]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("shape", [(7, 4), (345, 6), (1000, 1), (3, 1), (1, 1)])
def test_charts_of_any_size(shape: tuple[int, int], theme: str) -> None:
    classes, subdomains = [f"c{i}" for i in range(shape[0])], [f"s{i}" for i in range(shape[1])]
    table = (300 / (1 + np.arange(shape[0] * shape[1]))).astype(int).reshape(shape)
    figure = data_charts.counts(table, classes, subdomains, "picture", theme, (0, 0))
    marks = figure.data[-1]
    assert len(marks.customdata) == table.size  # every cell can be clicked
    assert {tuple(cell) for cell in marks.customdata} == {
        (c, s) for c in range(shape[0]) for s in range(shape[1])
    }
    assert figure.layout.title.text
