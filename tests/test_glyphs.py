"""No digit, and nothing that looks like one, is in the pre-training data; the rule is derived again here."""

import unicodedata

import numpy as np
import pytest
import torch

from gelda.datasets import distortions, glyphs

DIGITS = set("0123456789")


@pytest.fixture(scope="module")
def data():
    return glyphs.load()


@pytest.fixture(scope="module")
def letters(data):
    return "".join(data.chars)


def test_no_number_and_nothing_that_decomposes_to_one(letters):
    for char in letters:
        assert unicodedata.category(char)[0] == "L", char
        assert unicodedata.numeric(char, None) is None, char
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            plain = unicodedata.normalize(form, char)
            assert not DIGITS & set(plain), char
            assert not any(unicodedata.category(c)[0] == "N" for c in plain), char
        name = unicodedata.name(char)
        assert not any(word in name.split() for word in ("DIGIT", "NUMBER", "NUMERAL", "TONE", "FRACTION")), (
            name
        )


@pytest.mark.parametrize(
    "chars",
    [
        "0123456789",
        "٠١٢٣٤٥٦٧٨٩۰۹߀०",
        "½¼²³¹₀①⓪ⅠⅣⅻ𝟎𝟙",
        "OoIlZSBsbgqDGz",
        "ОоЗзбвІЧчь",
        "ΟοΙΖΒσ",
        "Օօ",
        "ÖøśǪ",
        "𝐎𝑙𝔅ℓº",
        "|○!ǀ",
    ],
)
def test_numbers_and_lookalikes_are_refused(chars):
    assert [c for c in chars if glyphs.allowed(c)] == []


def test_plain_letters_are_allowed():
    assert all(glyphs.allowed(c) for c in "AKMNWXкЖЮΛΨξ")
    assert not glyphs.allowed("AB") and not glyphs.allowed("")


def test_no_letter_is_drawn_like_a_digit(letters):
    likeness, which = glyphs.digit_likeness(list(letters))
    worst = int(likeness.argmax())
    assert likeness[worst] < glyphs.LIKENESS_LIMIT + 0.01, f"{letters[worst]} looks like {which[worst]}"
    known, which = glyphs.digit_likeness(["O", "З", "\u05d5"])
    assert (known > 0.9).all() and which == ["0", "3", "1"]


def test_every_letter_once_and_every_class_drawn(data, letters):
    assert len(set(letters)) == len(letters) and all(glyphs.allowed(c) for c in letters)
    assert 300 < len(data.chars) < 2000
    assert torch.bincount(data.classes, minlength=len(data.chars)).min() >= 1
    pairs = torch.stack([data.classes, data.faces], 1)
    assert len(torch.unique(pairs, dim=0)) == len(pairs)
    assert next(name for name in data.chars if "A" in name).startswith("AΑА"), (
        "letters drawn alike are one class"
    )


def test_augmentation_is_seeded_bounded_and_does_not_change_its_input(data):
    images = data.images[:64].clone()
    first = distortions.augment(images, torch.Generator().manual_seed(1))
    again = distortions.augment(images, torch.Generator().manual_seed(1))
    other = distortions.augment(images, torch.Generator().manual_seed(2))
    assert first.shape == (64, 1, 32, 32) and first.dtype == torch.float32
    assert first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(images, data.images[:64])


def test_no_distortion_at_strength_zero_but_inversion(data):
    images = data.images[:64]
    drawn = distortions.augment(images, torch.Generator().manual_seed(0), strength=0.0)[:, 0]
    plain = torch.nn.functional.interpolate(
        1 - images[:, None].float() / 255, size=(32, 32), mode="bilinear"
    )[:, 0]
    error = torch.minimum((drawn - plain).abs().mean((1, 2)), (drawn - (1 - plain)).abs().mean((1, 2)))
    assert error.max() < 0.05


def test_blur_keeps_a_constant_and_thickening_adds_ink(data):
    flat = torch.full((2, 1, 32, 32), 0.5)
    middle = distortions.blur(flat, torch.full((2, 1, 1), 2.0))[..., 10:22, 10:22]
    assert (middle - 0.5).abs().max() < 1e-3
    ink = torch.nn.functional.avg_pool2d(data.images[:32, None].float() / 255, 1)
    more, less = (distortions.thicken(ink, torch.full((32, 1, 1), amount)) for amount in (1.0, -1.0))
    sums = np.array([x.sum((1, 2, 3)).numpy() for x in (less, ink, more)])
    assert (np.diff(sums, axis=0) > 0).all()
