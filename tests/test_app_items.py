"""What a page shows of an item: a picture, a sound, a text, or the sentence that says why not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_fixtures import picture, recording, tone
from PIL import Image

from app import items
from gelda import datasets, media


@pytest.fixture(autouse=True)
def fresh():
    items._shown.clear()


def about(kind: str, root: Path | str = "") -> dict:
    return {"media": kind, "root": str(root)}


def opened(found: items.Shown) -> Image.Image:
    return Image.open(io.BytesIO(found.picture))


def test_a_picture_is_small_and_square(tmp_path):
    picture(tmp_path / "a" / "b.png", colour=(200, 30, 30), size=(640, 400))
    found = items.shown(about("image", tmp_path), "a/b.png")
    assert opened(found).size == (items.LARGE, items.LARGE) and not found.problem and not found.sound
    assert np.abs(np.asarray(opened(found).convert("RGB"))[50, 20].astype(int) - (200, 30, 30)).max() < 12
    assert found.url.startswith("data:image/webp;base64,") and len(found.picture) < 20_000


def test_a_clip_has_a_spectrogram_and_plays(tmp_path):
    recording(tmp_path / "a.flac", tone(2.0, rate=22_050), rate=22_050)
    found = items.shown(about("audio", tmp_path), "a.flac#t=0.5,1.25")
    samples, rate = soundfile.read(io.BytesIO(found.sound))
    assert rate == 22_050 and len(samples) == pytest.approx(0.75 * rate, abs=1), "the segment and no more"
    assert opened(found).mode == "RGBA" and not found.text and not found.problem


def test_of_a_long_clip_the_start_is_played_and_said(tmp_path):
    recording(tmp_path / "a.wav", tone(45.0, rate=2_000), rate=2_000)
    found = items.shown(about("audio", tmp_path), "a.wav")
    assert len(soundfile.read(io.BytesIO(found.sound))[0]) == items.PLAYED * 2_000
    assert found.text == "The first 20 s of 45 s."


def test_a_text_is_itself():
    found = items.shown(about("text"), datasets.items.text_uri("wie geht's?"))
    assert found.text == "wie geht's?" and not found.picture and not found.problem


def test_what_a_dataset_draws_is_shown_as_drawn():
    uri = datasets.get("digits").manifest().table["uri"].iloc[7]
    found = np.asarray(opened(items.shown({}, uri)).convert("RGB"))
    drawn = datasets.source_decoder("image", "")(uri)
    np.testing.assert_array_equal(found, media.thumbnail(drawn, items.DRAWN))


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_what_cannot_be_shown_is_a_sentence(kind, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken").write_bytes(b"nothing of the kind")
    (tmp_path / "out").write_bytes(b"secret")
    inside = about(kind, tmp_path / "in")
    for uri, words in (("gone", "gone"), ("broken", "broken"), ("../out", "points outside")):
        found = items.shown(inside, uri)
        assert words in found.problem and not (found.picture or found.sound or found.text), uri
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(tmp_path / "elsewhere"))
    items._shown.clear()
    assert "GELDA_DATA_ROOTS" in items.shown(inside, "gone").problem


def test_the_sheet_skips_what_is_gone(tmp_path):
    picture(tmp_path / "a.png", colour=(0, 0, 250))
    picture(tmp_path / "c.png", colour=(0, 250, 0))
    found, places = items.sheet(about("image", tmp_path), ["a.png", "b.png", "c.png"])
    assert places.tolist() == [0, 2] and found.shape == (2, items.SMALL, items.SMALL, 3)
    assert found[0, 5, 5].tolist() == [0, 0, 250] and found[1, 5, 5].tolist() == [0, 250, 0]
    found, places = items.sheet(about("image", tmp_path), ["b.png"])
    assert found.shape == (0, items.SMALL, items.SMALL, 3) and len(places) == 0
