"""The page Latents: from items to a bank through a job, what its layers are good for, a comparison."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import app_fixtures as fixtures
import bank_fixtures as banks
import media_fixtures as made
import numpy as np
import pytest
import torch
from test_data_page import workspace  # noqa: F401
from test_pages import open_page, text, warnings

from app import layer_charts
from gelda import encoders, jobs, layer_probe, metrics, runs
from gelda.artifacts import write_json
from gelda.encoders.outline import outline
from gelda.ready import open_bank


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What pages start, kept instead of run."""
    found: list[list[str]] = []
    monkeypatch.setattr("gelda.jobs.spawn", lambda arguments, log: found.append(arguments))
    return found


def work(arguments: list[str]) -> None:
    """What the background process does, to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "gelda", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def press(page, label: str):
    found = next(b for b in page.button if b.label == label)
    assert not found.disabled
    found.click().run()
    assert not page.exception
    return page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures of two classes, and one file that is none."""
    for name, colour in (("ant", (200, 30, 30)), ("bee", (20, 40, 190))):
        for i in range(6):
            made.picture(tmp_path / "few" / name / f"{i}.png", colour=(colour[0], 20 * i, colour[2]))
    (tmp_path / "few" / "ant" / "broken.png").write_bytes(b"no picture")
    return tmp_path / "few"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    items = banks.photo_items()
    layers = {"l1": banks.planted_latents(items, 4, 0), "l2": banks.planted_latents(items, 8, 1)}
    return banks.write_npz(tmp_path / "photos.npz", banks.npz_arrays(items, **layers))


def test_without_data_it_sends_to_data() -> None:
    page = open_page("latents")
    assert page.title[0].value == "What a frozen encoder sees"
    assert not warnings(page)
    assert "Choose data" in [b.label for b in page.button]


def test_only_encoders_that_fit_are_offered(folder: Path, tmp_path: Path) -> None:
    for path, media in ((folder, "image"), (made.clip_manifest(tmp_path), "audio")):
        page = open_page("latents", source=str(path))
        assert not warnings(page)
        offered = page.radio(key=f"encoder-kind.{media}").options[:-1]  # the last is any other model
        assert offered == [s.title for s in encoders.ENCODERS.values() if s.media == media]


def test_it_says_what_it_costs(folder: Path) -> None:
    page = open_page("latents", source=str(folder))
    widths = encoders.get("mini-image").load().layers
    numbers = 13 * sum(widths.values())
    said = f"{13} items × {sum(widths.values())} numbers in {len(widths)} layers"
    assert said in text(page)
    assert f"{4 * numbers / 1e3:.3g}\u202f<small>kB" in text(page)


def test_an_encoder_of_other_items_is_not_taken_over(folder: Path, tmp_path: Path) -> None:
    page = open_page("latents", source=str(folder))
    page.radio(key="encoder-kind.image").set_value("random-vit").run()
    page.query_params["source"] = str(made.clip_manifest(tmp_path))
    page.query_params["encoder"] = "mini-speech"
    page.run()
    assert page.radio(key="encoder-kind.audio").value == "mini-speech" and not warnings(page)
    page.query_params["encoder"] = "random-whisper"
    page.run()
    assert page.radio(key="encoder-kind.audio").value == "random-whisper", "a link counts in the same session"


def test_plumbing_says_so(folder: Path) -> None:
    page = open_page("latents", source=str(folder), encoder="random-vit")
    assert encoders.ENCODERS["random-vit"].caution in text(page)


@pytest.mark.parametrize("name", ["nonsense", "/no/such/model"])
def test_an_encoder_that_is_none_is_a_sentence(name: str, folder: Path) -> None:
    page = open_page("latents", source=str(folder), encoder=name)
    assert name in warnings(page)[0]
    assert not [b for b in page.button if b.label == "Encode"]


def test_from_a_folder_to_a_bank_its_layers_and_a_comparison(
    folder: Path, spawned: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("latents", source=str(folder))
    press(page, "Encode")
    (started,) = spawned
    run = runs.read_state(runs.find_run(started[1]))
    assert run.extraction and run.status == "queued"
    assert run.name in text(page)  # its progress is shown
    assert [b for b in page.button if b.label == "Encode"][0].disabled  # one at a time
    work(started)
    page.run()
    assert page.title[0].value == "12 latents of 2 classes, 8 layers"
    assert "not a picture" in page.dataframe[0].value["reason"][0]  # what was skipped, with the reason
    bank = page.query_params["bank"]

    press(page, "Find out how well each layer separates the classes")
    work(spawned[-1])
    page.run()
    result = layer_probe.read_result(runs.find_run(spawned[-1][1]))
    assert list(result["layers"]) == list(open_bank(Path(bank)).layers)
    assert "separates the classes" in page.get("plotly_chart")[0].proto.alt or (
        "All layers separate" in page.get("plotly_chart")[0].proto.alt
    )
    press(page, "Compare methods")
    assert dict(page.query_params) == {"preset": "own"}, "the newest bank is chosen there"
    page = open_page("generate", preset="own")
    page.segmented_control(key=f"compare-{bank}.effort").set_value("tiny").run()
    begun: list[tuple] = []
    monkeypatch.setattr(jobs, "start_comparison", lambda *given: begun.append(given))
    press(page, "Compare")
    assert begun == [({"bank": bank, "protocol": "longtail", "map": True}, "tiny")]
    found = open_page("latents")
    assert Path(bank).name in text(found)  # listed for the next time
    assert open_page("data", source=bank).title[0].value == "12 latents of 2 classes"


def test_a_failed_extraction_is_said_and_can_be_resumed(folder: Path, spawned: list[list[str]]) -> None:
    run = runs.find_run(jobs.start_extraction({"path": str(folder), "encoder": "mini-image"}))
    state = runs.read_state(run)
    state.status, state.error = "failed", "The disk is full."
    runs.save_state(state)
    page = open_page("latents", source=str(folder))
    assert "The disk is full." in text(page)
    page.button(key=f"resume-{state.id}").click().run()
    assert len(spawned) == 2


def test_a_resumed_extraction_leads_to_its_bank(folder: Path, spawned: list[list[str]]) -> None:
    press(open_page("latents", source=str(folder)), "Encode")
    (started,) = spawned
    run = runs.find_run(started[1])
    (run / "cancel").touch()
    page = open_page("latents", source=str(folder))  # after a restart: this session started nothing
    assert page.button(key=f"cancel-{run.name}").label == "Stopping"
    (run / "cancel").unlink()
    work(started)
    page.run()
    assert page.title[0].value == "12 latents of 2 classes, 8 layers"
    assert page.query_params["bank"] == runs.read_spec(run)["out"]


def test_probe_reads_training_items_alone(photos: Path, spawned: list[list[str]]) -> None:
    page = open_page("latents", bank=str(photos))
    press(page, "Find out how well each layer separates the classes")
    work(spawned[-1])
    page.run()
    result = layer_probe.read_result(runs.find_run(spawned[-1][1]))
    train = (open_bank(photos).items.split == "train").sum()
    assert (result["items"], result["which"]) == (train, "training items")
    assert all(f["uar"] > 0.8 for f in result["layers"].values())  # planted three apart
    assert "Test items are not read" in text(page)


def test_probe_goes_on_with_the_layers_that_are_missing(photos: Path, gelda_home: Path) -> None:
    bank = open_bank(photos)
    state = layer_probe.prepared(photos, bank)
    known = {"width": 4, "uar": 0.123, "log_loss": 1.0, "fisher": 1.0, "silhouette": 0.0}
    write_json(
        state.path / layer_probe.RESULT, {"format": 1, "items": 1, "which": "", "layers": {"l1": known}}
    )
    found = layer_probe.execute(state)["layers"]
    assert found["l1"] == known and found["l2"]["uar"] > 0.8


def test_probe_leaves_out_test_labels(photos: Path) -> None:
    items = open_bank(photos).items
    rows, _ = layer_probe.probed_rows(items)
    assert (items.split[rows] == "train").all()


def test_many_items_are_thinned_and_scarce_cells_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_probe, "MOST", 40)
    items = banks.photo_items(split=False, a_cell=24)
    rows, which = layer_probe.probed_rows(items)
    assert len(rows) == 40 and which == f"items (no split), 40 of {len(items)}"
    assert (items.counts(rows) > 0).all()


def test_comparisons_on_a_bank_are_listed(photos: Path, gelda_home: Path) -> None:
    fixtures.make_comparison(gelda_home, bank=str(photos))
    page = open_page("latents", bank=str(photos))
    assert "Comparisons on these latents" in text(page)
    assert "Comparisons on these latents" not in text(open_page("latents"))


def test_items_are_no_bank(folder: Path) -> None:
    assert "encode them first" in warnings(open_page("latents", bank=str(folder)))[0]


def test_readonly_starts_nothing(folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GELDA_READONLY", "1")
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(folder.parent))
    for query in ({"source": str(folder)}, {"bank": str(photos)}):
        page = open_page("latents", **query)
        assert not warnings(page)
        assert not page.button
        assert "looking only" in text(page)


def test_roots_limit_models_too(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(folder))
    page = open_page("latents", source=str(folder), encoder=str(tmp_path / "model"))
    assert "GELDA_DATA_ROOTS" in warnings(page)[0]


@pytest.mark.parametrize(
    ("config", "blocks", "width"),
    [
        ({"model_type": "whisper", "encoder_layers": 4, "d_model": 384}, 4, 384),
        ({"vision_config": {"num_hidden_layers": 12, "hidden_size": 768}, "projection_dim": 512}, 12, 768),
        ({"architecture": "vit_tiny_patch16_224", "num_features": 192}, None, 192),
        ({}, None, None),
    ],
)
def test_outline_of_a_config(config: dict, blocks: int | None, width: int | None, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", config)
    found = outline(str(tmp_path))
    assert (found.blocks, found.width) == (blocks, width)


def layers(*figures: float | None) -> dict:
    rows = {f"l{i}": {"uar": v, "silhouette": v, "width": 4} for i, v in enumerate(figures)}
    return {"items": 1_000, "which": "training items", "layers": rows}


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ((0.3, 0.8, 0.5), "<i>l1</i> separates the classes best (80 %)"),
        ((0.3, 0.8, 0.79), "<i>l1</i> separates the classes best (80 %); <i>l2</i> within the noise of it"),
        ((0.8, 0.79), "All layers separate the classes alike (best 80 %)"),
        ((0.8,), "A linear probe is right in 80 %"),
        ((None, None), "Too few items to tell the layers apart"),
    ],
)
def test_title_says_no_more_than_the_noise_allows(figures: tuple, said: str) -> None:
    assert layer_charts.title(layers(*figures)) == said


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "figures", [(0.5,), (0.2, None, 0.7), tuple(0.3 + 0.01 * i for i in range(33)), (None,)]
)
def test_chart_of_layers(figures: tuple, theme: str) -> None:
    figure = layer_charts.separability(layers(*figures), 4, theme)
    assert list(figure.data[0].customdata) == [f"l{i}" for i in range(len(figures))]
    low, high = figure.data[1].yaxis and figure.layout.yaxis2.range
    assert low <= -layer_charts.SPREAD and high >= layer_charts.SPREAD


def test_silhouette_of_clusters() -> None:
    apart = torch.cat([torch.zeros(5, 3), torch.full((5, 3), 9.0)]) + 0.01 * torch.randn(
        10, 3, generator=torch.Generator().manual_seed(0)
    )
    label = [0] * 5 + [1] * 5
    assert metrics.silhouette(apart.numpy(), np.array(label)) > 0.95
    assert np.isnan(metrics.silhouette(apart.numpy(), np.zeros(10, int)))
