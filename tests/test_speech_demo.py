"""The demo of synthetic speech: its clips, how they are spoken, and the run from clips to the table."""

import json
import shutil
from contextlib import nullcontext
from itertools import combinations, product

import numpy as np
import pytest
import soundfile
import torch
from test_pages import open_page, text

from app import items
from gelda import datasets, encoders, jobs, media, processes, runs, speech_demo, statistics
from gelda.datasets import speech, speech_synthesis
from gelda.datasets.speech_style import (
    AXES,
    CORRELATES,
    EMOTIONS,
    LANGUAGES,
    STYLE,
    TRACTS,
    VARIANTS,
    spoken,
    tract,
)
from gelda.datasets.speech_texts import SENTENCES
from gelda.encoders import EncoderSpec

FELT = EMOTIONS[1:]
THREE = {name: LANGUAGES[name] for name in ("German", "Polish", "Turkish")}
METHODS = ("ce", "logit-adjustment", "mean-shift", "gelda")  # of the demo's, for a quick run


@pytest.fixture(scope="module")
def table():
    return speech.index()


@pytest.fixture(scope="module")
def recordings():
    return {
        code: soundfile.read(speech.folder() / f"{code}.ogg", dtype="float32")[0]
        for code in LANGUAGES.values()
    }


@pytest.fixture(scope="module")
def sounds(table, recordings):
    """Every clip's samples, in the order of the index, cut from recordings decoded as a whole."""
    found = []
    for uri in table["uri"]:
        path, start, end = media.segment_of(uri)
        found.append(
            recordings[path.removesuffix(".ogg")][round(start * speech.RATE) : round(end * speech.RATE)]
        )
    return found


# -- the clips ----------------------------------------------------------------------------------


def test_the_index_is_balanced_and_holds_speakers_and_texts_apart(table):
    manifest = datasets.get("speech").manifest()
    assert manifest.class_names == EMOTIONS and manifest.subdomain_names == tuple(LANGUAGES)
    assert set(manifest.table.groupby(["label", "subdomain", "group"]).size()) == {5}
    assert len(manifest) == len(table) == 5 * len(EMOTIONS) * len(LANGUAGES) * len(VARIANTS)
    by_speaker = table.groupby(["language", "voice"])["text"].agg(set)
    for language in LANGUAGES:
        for one, other in combinations(by_speaker[language], 2):
            assert not one & other, "a text must not be in training and test at once"
    said = table.groupby(["language", "voice"])["emotion"].value_counts()
    assert (said == 5).all(), "each speaker says the same texts in every emotion"
    assert manifest.table.groupby("group")["subdomain"].nunique().max() == 1, "nobody speaks two languages"


def test_segments_lie_apart_inside_their_recordings_in_sound_without_clipping(table, recordings, sounds):
    ends = dict.fromkeys(LANGUAGES.values(), 0.0)
    for uri, sound in zip(table["uri"], sounds, strict=True):
        path, start, end = media.segment_of(uri)
        code = path.removesuffix(".ogg")
        assert start >= ends[code] + 0.1 and end * speech.RATE <= len(recordings[code])
        ends[code] = end
        assert 0.6 < len(sound) / speech.RATE < 5
        assert 0.02 < np.abs(sound).max() < 0.99
        assert np.abs(sound[: speech.RATE // 40]).max() < 0.02, "a clip starts and ends in silence"
    size = sum(file.stat().st_size for file in speech.folder().iterdir())
    assert size < 12e6


def test_the_decoder_gives_the_segment_that_the_index_names(table, sounds):
    source = datasets.open_source("speech")
    assert source.media == "audio" and source.grouped and "synthetic speech" in source.notes[0]
    for place in range(0, len(table), 149):
        clip = source.decode(source.manifest.table["uri"].iloc[place])
        assert clip.rate == speech.RATE
        np.testing.assert_allclose(clip.samples, sounds[place], atol=0.01)


@pytest.mark.parametrize("words", ["title", "note", "caveat"])
def test_it_says_that_it_is_synthetic_wherever_it_is_named(words):
    assert "synthetic speech" in getattr(datasets.get("speech"), words).lower()


# -- how they are spoken ----------------------------------------------------------------------------


def expected(axis):
    """What the table says of an axis, [languages, emotions felt]."""
    k = AXES.index(axis)
    return np.array([[STYLE[lang][e][k] * CORRELATES[e][k] for e in FELT] for lang in LANGUAGES])


def measured(table, values, voices=VARIANTS):
    """Mean difference from the same speaker's neutral clips, [languages, emotions felt]."""
    kept = table.assign(value=values)[table["voice"].isin(voices)]
    means = kept.groupby(["language", "emotion"])["value"].mean().unstack()
    return np.array([[means.loc[lang, e] - means.loc[lang, "neutral"] for e in FELT] for lang in LANGUAGES])


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def loudness(sound):
    heard = np.abs(sound) > 0.02 * np.abs(sound).max()
    return 10 * np.log10(np.mean(sound[heard] ** 2))


def brightness(sound):
    """dB above 1.5 kHz against below 700 Hz."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    hertz = np.fft.rfftfreq(len(sound), 1 / speech.RATE)
    return 10 * np.log10(power[hertz > 1500].sum() / power[hertz < 700].sum())


def pitch(sound):
    """Median over voiced frames of 12 log2 of the strongest period, 70 to 400 Hz, by autocorrelation."""
    size, found = 640, []
    for start in range(0, len(sound) - size, 320):
        frame = sound[start : start + size] * np.hanning(size)
        power = np.fft.irfft(np.abs(np.fft.rfft(frame, 2 * size)) ** 2)[:size]
        low, high = speech.RATE // 400, speech.RATE // 70
        if power[0] > 0.1 * size * 1e-4 and power[low:high].max() > 0.4 * power[0]:
            found.append(12 * np.log2(speech.RATE / (low + power[low:high].argmax())))
    return np.median(found)


def test_loudness_and_brightness_move_as_the_table_says(table, sounds):
    assert correlation(measured(table, [loudness(s) for s in sounds]), expected("level")) > 0.95
    assert correlation(measured(table, [brightness(s) for s in sounds]), expected("tilt")) > 0.8


def test_rate_moves_as_the_table_says(table, sounds):
    log_time = measured(table, [np.log(len(s)) for s in sounds])
    unpaused = expected("pauses") == 0  # pauses lengthen a clip too
    assert unpaused.sum() >= 8
    assert correlation(-log_time[unpaused], expected("rate")[unpaused]) > 0.9


def test_pitch_moves_as_the_table_says(table, sounds):
    voice = "m3"
    heights = [pitch(s) if v == voice else 0.0 for s, v in zip(sounds, table["voice"], strict=True)]
    assert correlation(measured(table, heights, [voice]), expected("pitch")) > 0.7


@pytest.mark.parametrize("emotion", FELT)
def test_an_emotion_is_no_single_shift(emotion):
    rows = np.array([STYLE[language][emotion] for language in LANGUAGES]) * CORRELATES[emotion]
    assert (np.sign(rows).max(0) > np.sign(rows).min(0)).any(), "some cue turns round between languages"
    for one, other in combinations(rows, 2):
        assert np.abs(one - other).max() > 0.5


def test_speakers_differ_in_tract_and_habits_and_are_drawn_the_same_way_again():
    for variant in VARIANTS:
        assert {tract(language, variant) for language in LANGUAGES} == set(TRACTS)
    one = spoken("German", "m3", "anger", "2")
    assert one == spoken("German", "m3", "anger", "2")
    others = [("German", "m6", "anger", "2"), ("German", "m3", "anger", "10"), ("Polish", "m3", "anger", "2")]
    assert all(spoken(*other) != one for other in others)
    every = [spoken(*which, "0") for which in product(LANGUAGES, VARIANTS, EMOTIONS)]
    assert min(min(p.pauses, p.tremor, p.breath) for p in every) == 0


def test_texts_are_as_many_in_every_language_and_none_twice():
    for language in LANGUAGES:
        assert len(set(SENTENCES[language])) == len(SENTENCES[language]) == 5 * len(VARIANTS)


# -- the rebuild ------------------------------------------------------------------------------------


def test_an_ogg_written_twice_is_the_same_file(tmp_path):
    tone = 0.1 * np.sin(np.arange(speech.RATE) / 9).astype(np.float32)
    files = [tmp_path / name for name in ("a.ogg", "b.ogg")]
    for file in files:
        soundfile.write(file, tone, speech.RATE, format="OGG", subtype="OPUS")
        file.write_bytes(speech_synthesis._numbered(file.read_bytes(), 7))
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len(soundfile.read(files[0])[0]) == len(tone), "its checksums are right"
    # RFC 3533's parameters on "123456789": CRC-32/MPEG-2 from 0, without the final xor
    assert speech_synthesis._checksum(b"123456789") == 0x89A1897F


@pytest.mark.skipif(
    not shutil.which("espeak-ng"), reason="espeak-ng is needed to make clips, not to use them"
)
def test_clips_are_made_again_as_they_ship(table, sounds):
    from gelda.seeds import derive

    for place in (0, 617):
        row = table.iloc[place]
        number = SENTENCES[row["language"]].index(row["text"])
        who = (row["language"], row["voice"], row["emotion"])
        seed = derive(speech_synthesis.SEED, *who, number)
        made = speech_synthesis.synthesise(*who[:2], row["text"], spoken(*who, str(number)), seed)
        length = len(sounds[place])
        assert abs(len(made) - length) < 2, "times in the index are rounded"
        ends = min(len(made), length)
        assert np.corrcoef(made[:ends], sounds[place][:ends])[0, 1] > 0.9, "Opus moves samples a little"


# -- the demo ---------------------------------------------------------------------------------------


def _prepare(item):
    return item.samples


class Spectrum:
    """Mean and spread of 16 log bands over time: an audio encoder without weights."""

    media, even, pooling = "audio", False, "mean"
    layers = {"bands": 32}
    prepare = staticmethod(_prepare)

    def select(self, layers, pooling="auto"):
        return self

    def to(self, device, dtype=None):
        return self

    def encode(self, batch):
        made = []
        for sound in batch:
            frames = torch.as_tensor(sound).unfold(0, 512, 256)
            bands = torch.fft.rfft(frames * torch.hann_window(512)).abs()[:, 1:].reshape(len(frames), 16, 16)
            level = bands.square().sum(2).clamp_min(1e-6).log()
            made.append(torch.cat([level.mean(0), level.std(0)]))
        return {"bands": torch.stack(made).float()}


@pytest.fixture
def short(monkeypatch, table):
    """The first sentence of every speaker in three languages, and an encoder that takes no time."""
    first = table.groupby(["language", "voice", "emotion"]).head(1)
    monkeypatch.setattr(speech, "index", lambda: first[first["language"].isin(THREE)])
    monkeypatch.setattr(speech, "LANGUAGES", THREE)
    spec = EncoderSpec("Spectrum", "Bands.", load=Spectrum, revision=lambda: "1", media="audio")
    monkeypatch.setitem(encoders.ENCODERS, "spectrum", spec)
    monkeypatch.setattr(speech_demo, "ENCODER", "spectrum")
    monkeypatch.setattr(speech_demo, "METHODS", METHODS)
    monkeypatch.setattr(speech_demo, "LAYERS", "all")
    monkeypatch.setattr(speech_demo, "POOLING", "auto")


def test_the_demo_runs_to_its_table_and_is_found_again(short, gelda, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 1)
    monkeypatch.setattr(statistics, "INTERVAL_SEEDS", 2)  # as many as the tiny preset has
    out = tmp_path / "found.json"
    settings = ("--set", "map=false", "--set", "generator.form=plain", "--set", "taus=[1.0]")
    done = gelda("demo", "speech", "--no-open", "--preset", "tiny", "--json", out, *settings)
    assert done.returncode == 0, done.stderr
    printed = " ".join(done.stdout.split())
    assert "Synthetic speech" in printed and "in-language probe" in printed and "invented" in printed
    found = json.loads(out.read_text())
    assert list(found["runs"]) == list(THREE) and set(found["uar"]) == set(METHODS)
    for values in found["uar"].values():
        by = [values[language] for language in THREE]
        assert values["mean"]["mean"] == pytest.approx(np.mean([v["mean"] for v in by]))
        half = np.sqrt(sum((v["ci95"][1] - v["ci95"][0]) ** 2 for v in by)) / 2 / len(by)
        assert values["mean"]["ci95"][1] - values["mean"]["mean"] == pytest.approx(half)
    assert found["in-language"]["mean"] > 40, "the clips tell emotions to who knows the language"
    states = runs.list_runs()
    assert len(states) == 1 + len(THREE) and {s.status for s in states} == {"done"}
    assert all("synthetic" in s.name.lower() for s in states)
    assert runs.find_run(found["runs"]["German"]).joinpath("points.json").is_file()

    monkeypatch.setattr(speech_demo.compare, "execute", lambda *_: pytest.fail("it was finished before"))
    values = {"map": False, "generator": {"form": "plain"}, "taus": [1.0]}
    again = speech_demo.run(values, "tiny", lambda state: nullcontext(), nullcontext)
    assert again["runs"] == found["runs"]


def test_languages_are_compared_side_by_side(short, monkeypatch):
    """On two cores two processes are asked for, in the languages' order; what they leave is read."""
    asked = []

    def side_by_side(begin, at_once, tell):
        asked.append((len(begin), at_once))
        for one in begin:
            state, going = one()
            assert not going
            speech_demo.compare_runs.resume(state)
            tell([runs.read_state(state.path)])

    told = []
    monkeypatch.setattr(processes, "cores", lambda: 2)
    monkeypatch.setattr(processes, "side_by_side", side_by_side)
    values = {"map": False, "generator": {"form": "plain"}, "taus": [1.0], "methods": ["ce"], "seeds": 1}
    found = speech_demo.run(values, "tiny", lambda state: nullcontext(), lambda: nullcontext(told.append))
    assert asked == [(len(THREE), 2)] and list(found["runs"]) == list(THREE)
    assert [states[0].status for states in told] == ["done"] * len(THREE)


def test_it_starts_in_the_background(short, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "spawn", lambda command, log: started.append(command))
    run_id = jobs.start_demo("speech", preset="tiny", seeds=2)
    assert runs.read_state(runs.find_run(run_id)).status == "queued"
    assert started == [["queued", run_id, "--", "demo", "speech", "--no-open", "--preset=tiny", "--seeds=2"]]


def test_home_starts_it_by_a_quiet_link(short, monkeypatch):
    monkeypatch.setattr(runs, "shipped_runs", lambda: [])
    started = []
    monkeypatch.setattr(jobs, "spawn", lambda command, log: started.append(command))
    page = open_page("home")
    button = next(b for b in page.button if "synthetic speech" in b.label)
    assert button.proto.type == "tertiary" and not button.disabled
    button.click().run()
    assert started and started[0][3:5] == ["demo", "speech"]
    next(b for b in page.button if "synthetic speech" in b.label).click().run()
    assert len(started) == 1, "it is going, and is not started twice"


def test_data_shows_and_plays_it():
    page = open_page("data", source="speech")
    assert page.title[0].value.startswith("1\u202f200 clips of 5 emotions in 6 languages")
    assert "synthetic speech" in text(page)
    assert len(page.get("audio")) > 3


def test_its_clips_play_in_explore():
    uri = datasets.get("speech").manifest().table["uri"].iloc[5]
    shown = items.shown({"media": "audio", "root": ""}, uri)
    assert not shown.problem and shown.picture
    heard = media.load_clip(shown.sound)
    assert heard.rate == speech.RATE and np.abs(heard.samples).max() > 0.02


@pytest.mark.parametrize(
    ("ci95", "said"),
    [
        ([0.5, 1.5], "+1.0 [+0.5, +1.5] points of UAR (95 % interval)."),
        ([-0.5, 2.5], "points of UAR (95 % interval, inside the noise)."),
        ([float("nan")] * 2, "+1.0 points of UAR (too few seeds for an interval)."),
    ],
)
def test_the_headline_names_an_interval_only_where_there_is_one(ci95, said):
    ahead = {"Dutch": {}, "Polish": {}, "mean": {"mean": 1.0, "ci95": ci95}}
    assert speech_demo.headline(ahead).endswith(said)
