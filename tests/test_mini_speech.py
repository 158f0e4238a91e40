"""The shipped speech encoder: its card is true, clips do not mix, it beats random weights, it can be rebuilt.

`clips/numbers.ogg` holds zero to nine in English by the six voices that training held out, a second each;
`python tests/test_mini_speech.py` makes it again where espeak-ng is installed.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from gelda import encoders
from gelda.artifacts import file_sha256
from gelda.datasets import espeak, utterances
from gelda.encoders import assets
from gelda.media import Clip
from gelda.pretrain import speech, speech_probe
from gelda.pretrain.__main__ import main
from gelda.pretrain.probes import LinearProbe
from gelda.seeds import numpy_generator

SHIPPED = assets() / "encoders" / "mini-speech"
CLIPS = Path(__file__).parent / "clips" / "numbers.ogg"
needs_espeak = pytest.mark.skipif(
    not espeak.available(), reason="espeak-ng is not installed; only rebuilding needs it"
)


@pytest.fixture(scope="module")
def encoder():
    return encoders.get("mini-speech").load()


@pytest.fixture(scope="module")
def card():
    return json.loads((SHIPPED / "card.json").read_text())


def make_clips():
    rng, parts = numpy_generator(0, "test-clips"), []
    for voice in utterances.HELD_OUT:
        for number in range(10):
            part = np.zeros(utterances.RATE, np.float32)
            said = utterances.draw(rng, ["en"], [voice], str(number)).samples[: len(part)]
            part[: len(said)] = said
            parts.append(part)
    soundfile.write(CLIPS, np.concatenate(parts), utterances.RATE, format="OGG", subtype="OPUS")


def test_the_card_describes_what_ships(encoder, card):
    weights = SHIPPED / card["weights"]["file"]
    assert card["weights"]["sha256"] == file_sha256(weights)
    assert card["weights"]["bytes"] == weights.stat().st_size < 5_000_000
    assert card["architecture"]["parameters"] == sum(p.numel() for p in encoder.network.parameters()) < 4e6
    assert card["architecture"]["layers"] == encoder.layers
    assert list(encoder.layers) == ["embed", "block1", "block2", "block3", "block4", "pooled"]
    readme = (SHIPPED / "README.md").read_text()
    assert card["weights"]["sha256"] in readme and card["validation"]["choice"] in readme
    assert "without emotion\nlabels" in readme and card["training"]["losses"] == speech.WEIGHTS


def test_the_demos_voices_were_never_spoken(card):
    data = card["data"]
    assert set(utterances.DEMO_VOICES) <= set(data["voices_never_used"])
    assert not set(data["voices"]) & {*data["voices_never_used"], *data["voices_held_out"]}
    assert not set(data["voices_held_out"]) & set(data["voices_never_used"])
    assert set(data["voices"]) == set(utterances.VOICES), "rebuild: the voices are not those of the weights"


def test_clips_of_different_lengths_in_one_batch_have_the_latents_they_have_alone(encoder):
    rng = np.random.default_rng(0)
    lengths = (512, 8_000, 32_000, 63_999, 64_000, 90_000)
    sounds = [encoder.prepare(Clip(rng.normal(0, 0.1, n).astype(np.float32), 16_000)) for n in lengths]
    together = encoder.encode(sounds)
    for row, sound in enumerate(sounds):
        for layer, z in encoder.encode([sound]).items():
            torch.testing.assert_close(z[0], together[layer][row], atol=1e-5, rtol=1e-5)


def test_pretrained_latents_beat_random_ones_and_log_mel_statistics(encoder):
    samples, rate = soundfile.read(CLIPS, dtype="float32")
    assert rate == utterances.RATE and len(samples) == 60 * rate
    sounds = [part[: np.flatnonzero(np.abs(part) > 1e-3)[-1] + 1] for part in samples.reshape(60, rate)]
    words, voices = np.arange(60) % 10, np.arange(60) // 10

    def word(z):
        """Which number the other voices say, by a probe of one voice."""
        fits = [voices == voice for voice in range(6)]
        return np.mean([LinearProbe(z[fit], words[fit]).accuracy(z[~fit], words[~fit]) for fit in fits])

    found = speech_probe.arms(encoder, speech.random(), sounds)
    trained = word(found["pre-trained", "block3", "mean+std"])
    assert trained > word(found["random weights", "block3", "mean+std"]) + 20
    assert trained > word(found[speech_probe.STATISTICS, "", "mean+std"]) + 10


def test_masks_are_stretches_inside_the_sound():
    real = torch.arange(speech.POSITIONS)[None] < torch.tensor([[20], [speech.POSITIONS]] * 50)
    hidden = speech.mask(real, torch.Generator().manual_seed(0))
    assert not (hidden & ~real).any()
    assert 0.2 < hidden[1::2].float().mean() < speech.MASKED
    rows = hidden[1::2].int()
    starts = (rows[:, 1:] > rows[:, :-1]).nonzero()
    inside = starts[starts[:, 1] + speech.SPAN < speech.POSITIONS]
    assert all(rows[row, place + 1 : place + 1 + speech.SPAN].all() for row, place in inside)


def test_ipa_names_lose_their_marks():
    assert [utterances.plain(name) for name in ("ˈaː", "t͡s", "ɔø", "kʰ", "ã", "", "_")] == [
        "a", "ts", "ɔø", "k", "a", "", "",
    ]  # fmt: skip


@needs_espeak
@pytest.mark.parametrize("language", utterances.LANGUAGES)
def test_every_language_is_spoken_with_phonemes_in_time(language):
    item = utterances.draw(np.random.default_rng(0), [language], utterances.VOICES)
    assert item.samples.dtype == np.float32 and 0.01 < np.abs(item.samples).max() < 1.1
    assert (np.diff(item.starts) >= 0).all() and item.starts[-1] <= len(item.samples) / utterances.RATE + 0.05
    assert sum(map(bool, item.names)) >= 3


@needs_espeak
def test_every_voice_is_there():
    for voice in (*utterances.VOICES, *utterances.HELD_OUT):
        assert len(espeak.speak("lamo", f"de+{voice}").samples) > 2000
    with pytest.raises(espeak.UserError, match="no voice 'de\\+nobody'"):
        espeak.speak("lamo", "de+nobody")


@needs_espeak
def test_a_position_has_the_phoneme_that_is_spoken_there():
    item = utterances.Utterance(np.zeros(0), np.array([0.0, 0.1, 0.2]), ["a", "", "x"], "de", "m1", 175, 50)
    row = speech.Batches(["", "a"], 0)._aligned(item, 0.05)
    step = 2 * speech.HOP / utterances.RATE
    expected = [1 if t < 0.1 else 0 if t < 0.2 else speech.NONE for t in 0.05 + np.arange(8) * step]
    assert row[:8].tolist() == expected


@needs_espeak
def test_utterances_are_the_same_in_a_new_process():
    code = (
        "import hashlib\nfrom gelda.datasets import utterances as u\n"
        "from gelda.seeds import numpy_generator\n"
        "r, h = numpy_generator(0, 'x'), hashlib.sha256()\n"
        "for _ in range(5): h.update(u.draw(r, list(u.LANGUAGES), u.VOICES).samples.tobytes())\n"
        "print(h.hexdigest())"
    )
    found = {subprocess.run([sys.executable, "-c", code], capture_output=True).stdout for _ in range(2)}
    assert len(found) == 1 and len(found.pop().strip()) == 64


@needs_espeak
def test_two_steps_of_training_write_a_loadable_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(utterances, "SURVEY", 2)
    monkeypatch.setattr(speech, "BATCH", 2)
    monkeypatch.setattr(speech_probe, "LANGUAGES", ("de", "pl"))
    monkeypatch.setattr(speech_probe, "REPEATS", 1)
    monkeypatch.setattr(speech_probe, "judge", lambda z, labels: {"word": 1.0})
    threads, folder = torch.get_num_threads(), tmp_path / "new"
    try:
        assert main(["mini-speech", "--out", str(folder), "--steps", "2"]) == 0
    finally:
        torch.set_num_threads(threads)
    assert sorted(path.name for path in folder.iterdir()) == sorted(p.name for p in SHIPPED.iterdir())
    encoder = encoders.get(str(folder)).load()
    z = encoder.encode([encoder.prepare(Clip(np.ones(20_000, np.float32), 16_000))])
    assert all(latent.isfinite().all() for latent in z.values())
    assert main(["probe", "mini-speech", "--out", str(tmp_path / "nothing")]) == 2


if __name__ == "__main__":
    make_clips()
