"""What decodes, what it decodes to, and the sentence for what does not."""

import io
import pickle

import numpy as np
import pytest
import soundfile
from media_fixtures import bomb_png, encoded, long_wav, picture, recording, tone
from PIL import Image

from gelda import media
from gelda.datasets import source_decoder
from gelda.datasets.items import text_uri
from gelda.errors import UserError
from gelda.media import Clip


@pytest.mark.parametrize("suffix", sorted(media.SUFFIXES["image"] - {".pgm"}))
def test_pictures_of_every_suffix_are_rgb(tmp_path, suffix):
    image = media.load_image(picture(tmp_path / f"a{suffix}"))
    assert (image.mode, image.size) == ("RGB", (24, 16))
    left, right = np.asarray(image)[8, 4], np.asarray(image)[8, 20]
    assert abs(left.astype(int) - (200, 30, 30)).max() < 40 and right.min() > 200


def test_a_picture_is_turned_as_the_camera_said(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90° clockwise to see it"
    image = media.load_image(picture(tmp_path / "a.jpg", exif=exif))
    assert image.size == (16, 24)
    assert np.asarray(image)[2, 8, 1] < 80 and np.asarray(image)[22, 8, 1] > 200


@pytest.mark.parametrize(
    "pixels, expected",
    [
        (np.array([[0, 257 * 100, 65535]], np.uint16), [0, 100, 255]),
        (np.array([[0, 100, 255]], np.uint8), [0, 100, 255]),
    ],
    ids=["16 bit", "8 bit"],
)
def test_grey_pictures(pixels, expected):
    image = media.load_image(encoded(Image.fromarray(pixels), "PNG"))
    np.testing.assert_array_equal(np.asarray(image)[0, :, 0], expected)


def test_bad_pictures_get_a_sentence(tmp_path):
    whole = picture(tmp_path / "whole.jpg", size=(200, 200)).read_bytes()
    (tmp_path / "short.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_text("no picture")
    (tmp_path / "bomb.png").write_bytes(bomb_png(20_000, 20_000))
    (tmp_path / "large.png").write_bytes(bomb_png(10_000, 10_000))
    for name, words in {
        "short.jpg": "short.jpg is damaged or cut short",
        "empty.jpg": "empty.jpg is empty",
        "words.jpg": "words.jpg is not a picture",
        "bomb.png": "bomb.png has too many pixels; the limit is 89 million",
        "large.png": "large.png has 10000 × 10000 pixels; the limit is 89 million",
        "gone.jpg": r"gone.jpg cannot be read \(No such file",
    }.items():
        with pytest.raises(UserError, match=words):
            media.load_image(tmp_path / name)


@pytest.mark.parametrize(
    "suffix, options",
    [
        (".wav", {"subtype": "PCM_16"}),
        (".wav", {"subtype": "PCM_U8"}),
        (".wav", {"subtype": "PCM_24"}),
        (".wav", {"subtype": "FLOAT"}),
        (".wav", {"rate": 96_000}),
        (".wav", {"samples": tone(channels=2) * 2}),
        (".flac", {}),
        (".ogg", {}),
        (".mp3", {}),
    ],
    ids=str,
)
def test_sound_is_mono_float_at_its_own_rate(tmp_path, suffix, options):
    rate = options.pop("rate", 16_000)
    clip = media.load_clip(recording(tmp_path / f"a{suffix}", options.pop("samples", None), rate, **options))
    assert clip.rate == rate and clip.samples.dtype == np.float32 and clip.samples.ndim == 1
    assert clip.seconds == pytest.approx(0.5, abs=0.001 if suffix != ".mp3" else 0.1)
    middle = slice(int(0.1 * rate), int(0.4 * rate))
    loudness = np.sqrt((clip.samples[middle] ** 2).mean())
    assert loudness == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_a_segment_is_cut_by_its_times(tmp_path):
    ramp = np.linspace(0, 0.9, 16_000, dtype=np.float32)
    path = recording(tmp_path / "a.wav", ramp, subtype="FLOAT")
    np.testing.assert_allclose(media.load_clip(path, 0.25, 0.5).samples, ramp[4000:8000])
    np.testing.assert_allclose(media.load_clip(path, 0.9, 1.01).samples, ramp[14_400:])
    for start, end, words in [
        (1.5, 2, "no sound between 1.5 s and 2 s: it is 1.00 s long"),
        (0.5, 0.5, "no sound"),
    ]:
        with pytest.raises(UserError, match=words):
            media.load_clip(path, start, end)


def test_bad_recordings_get_a_sentence(tmp_path):
    recording(tmp_path / "silent.wav", np.zeros(0, np.float32))
    (tmp_path / "empty.wav").touch()
    (tmp_path / "words.wav").write_text("no sound")
    recording(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), subtype="FLOAT")
    long_wav(tmp_path / "long.wav", 5)
    for name, words in {
        "silent.wav": "silent.wav holds no sound",
        "empty.wav": "empty.wav is empty",
        "words.wav": "words.wav is not a recording",
        "nan.wav": "not finite",
        "long.wav": "long.wav is 5 h long, over the limit of 10 min an item: name segments",
        "gone.wav": "gone.wav cannot be read",
    }.items():
        with pytest.raises(UserError, match=words):
            media.load_clip(tmp_path / name)
    assert media.load_clip(tmp_path / "long.wav", 17_000, 17_001).seconds == 1


def test_resampling_keeps_the_tone_and_the_length():
    clip = media.resample(Clip(tone(1.0, 44_100), 44_100), 16_000)
    assert clip.rate == 16_000 and len(clip.samples) == 16_000
    np.testing.assert_allclose(clip.samples[2000:-2000], tone(1.0)[2000:-2000], atol=2e-3)


def test_a_browser_gets_a_wav():
    samples, rate = soundfile.read(io.BytesIO(media.wav_bytes(Clip(tone() * 3, 16_000))))
    assert rate == 16_000 and np.abs(samples).max() <= 1 and len(samples) == 8000


def test_a_spectrogram_shows_the_sound():
    clip = Clip(np.concatenate([tone(0.5, hertz=300), tone(0.5, hertz=3000)]), 16_000)
    image = media.spectrogram(clip, 64, 40)
    assert image.shape == (64, 40) and 0 <= image.min() and image.max() == 1
    low, high = image[:, 5].argmax(), image[:, 35].argmax()
    assert low > high + 20, "a higher tone lies higher up"
    assert media.spectrogram(Clip(np.zeros(10, np.float32), 16_000)).shape == (64, 64)


@pytest.mark.parametrize(
    "item",
    [Image.new("RGB", (90, 20)), Clip(tone(), 16_000), np.zeros((1, 32, 32), np.float32), np.ones((3, 8, 8))],
    ids=["image", "clip", "grey array", "rgb array"],
)
def test_thumbnails(item):
    small = media.thumbnail(item, 48)
    assert small.shape == (48, 48, 3) and small.dtype == np.uint8


def test_a_text_has_no_picture():
    with pytest.raises(UserError, match="no picture"):
        media.thumbnail("words")


@pytest.mark.parametrize(
    "uri, parts",
    [
        ("a.wav", ("a.wav", None, None)),
        ("a.wav#t=1.25,3.5", ("a.wav", 1.25, 3.5)),
        ("a.wav#t=2", ("a.wav", 2.0, None)),
        ("a.wav#t=,3", ("a.wav", None, 3.0)),
        ("a#t=b.wav", ("a#t=b.wav", None, None)),
    ],
)
def test_segments_in_a_uri(uri, parts):
    assert media.segment_of(uri) == parts


def test_a_decoder_reads_files_segments_texts_and_demos(tmp_path):
    picture(tmp_path / "p" / "a.png")
    recording(tmp_path / "wav" / "a.wav")
    image = pickle.loads(pickle.dumps(source_decoder("image", str(tmp_path))))
    assert image("p/a.png").size == (24, 16)
    assert image("digits:3/1").shape == (1, 32, 32)
    assert source_decoder("audio", str(tmp_path))("wav/a.wav#t=0.1,0.3").seconds == pytest.approx(0.2)
    text = "größer: 100 % #t=1,2"
    assert source_decoder("text", "")(text_uri(text)) == text
    (tmp_path / "a.txt").write_text("words")
    assert source_decoder("text", str(tmp_path))("a.txt") == "words"
