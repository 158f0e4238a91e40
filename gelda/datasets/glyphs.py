"""Pre-training data of ``mini-image``: letters of ten scripts, drawn with matplotlib's fonts. No digits.

The demo recognises digits, so nothing that is a digit or looks like one may be seen before: ``allowed``
is the whole rule. Letters are drawn from DejaVu and STIX, whose licences lie beside the fonts in
matplotlib's data folder; ``distortions`` makes training images of them.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

SOURCE_SIZE = 48  # px, a rendered glyph before distortion
SOURCE_FILL = 40  # px, the longer side of the glyph inside it
LIKENESS_LIMIT = 0.82  # a letter closer than this to a digit in any face is left out
MERGE_LIMIT = 0.97  # letters closer than this to each other in one face (A and Alpha) are one class

SCRIPTS = ("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "HEBREW", "ARABIC", "TIFINAGH", "NKO", "LAO")
FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
)  # fmt: skip
LICENCES = {
    "DejaVu": "Bitstream Vera licence with public-domain changes (LICENSE_DEJAVU beside the fonts)",
    "STIX": "STIX Font License, 24 May 2010 (LICENSE_STIX beside the fonts)",
}
VALIDATION_FACES = ("DejaVuSerif-Italic", "STIXGeneralBol")  # never trained on
VALIDATION_CLASSES = 48  # letters never trained on: what choices are made by

# Letters that people take for a digit, whatever the measure below says.
JUDGED: dict[str, str] = {
    "LATIN": "BDGIJOQSZbgijloqsyzØøƀƁƄƅƏƐƖƟƧƨƵƶƷƺȢȣȤȥȿɀɁɊɋɑɓɘəɛɥɩɪɵɸʐʑʒʕʘʢᴑᴓᶎⱫⱬⱿꝊꝋꝎꝏƸƹ",
    "GREEK": "ΒΖΘΙΟΦβδεζθιορςσφ",
    "CYRILLIC": "ЄЅІЈБВЗОУФЧЪЬЭбвзоуфчъьэєѕіјѢѣѲѳҌҍҘҙҶҷҸҹӀӋӌӏӘәӠӡӨөԀԁԐԑԚԛꙨꙩꙪꙫꙬꙭꙮѺѻ",
    "ARMENIAN": "ԱԳԶԺԾԿՁՂՃՅՇՈՉՋՍՎՏՐՑՕազժկձղճշոսվտրցօ",
    "GEORGIAN": "ႡႤႮႯႷბგდევზთიკლმნოპსუფქღყშჩცძწჭხჯჰჱჲჳჴჵჶჷჸჹ",
    "HEBREW": "\u05d0\u05d2\u05d3\u05d4\u05d5\u05d6\u05d8\u05d9\u05da\u05dd\u05df\u05e0\u05e1\u05e4\u05e8",
    "ARABIC": "\u0621\u0627\u0629\u0639\u063a\u0641\u0642\u0645\u0647\u0648\u06be\u06c7\u06c8\u06cb\u06d5",
    "TIFINAGH": "ⴰⴱⴲⵀⵁⵂⵈⵊⵏⵑⵓⵔⵕⵗⵘⵙⵚⵞ",
    "NKO": "\u07ca\u07cb\u07cc\u07cf\u07d0\u07d3\u07d5\u07d6\u07db\u07e2",
    "LAO": "ຄງຊດຣລວອຮ",
}  # fmt: skip
# Letters with ``digit_likeness`` above LIKENESS_LIMIT, by the digit that they resemble most.
MEASURED: dict[str, str] = {
    "0": (
        "UnuÐðþĐŊŋƉƓƞƥƱƲǝȠɄɐɒɞɧɳɷʉʊʋʚʜʧΠΩαηπυϸϼЏИЦдинпџҊӄӇӈԌԍՌդըիմռք\u05f0\u07daຍຖບປຢႩႭႲႳႶტჺᴅᴆᴏᴜᴨᵿⱨⱭⱰⱺⴎⴒⴖ"
        "ⴚⵛꜦꜧꝖꞂꞃꞠꞥ"
    ),
    "1": "TftıłŦŧƒƗƚƛƩƪƫƬƭƮǀǁǂǃȴȷɈɉɟɨɫɬɭɹɺɿʃʄʅʆʇʈʝΣΤΥτϝϳТтѮѯլյչւ\u07d9\u07e0ໂໄႨᴉᴛᵻᵼᶅẝⱡⱹⴶꙆꙇꜢꝇꝉꞀꞁꞋꞌꞎꟻꟾ",
    "2": "ƻʡջᴢ",
    "3": "ƆƎȜȝɔɜʓʖϠϽϿ\u06b5\u07d4ᴈᴊᴟᴣⱻⴺꜣꜾ",
    "4": "ȡȺɖɠɻʠʤҋ\u0689\u06b8\u07d7ᶁⴣꜬꜭꜮꜯ",
    "5": "Ƽƽƾꜱꞩ",
    "6": "EhđƂƃɕɗɢɦͼΕϾЕћҔҕҺһӃծհնႱႹჂᴇᵷẟⴃⴹⵟꚕꜫꞨ",
    "7": "ȾɂʔγχႿⴟ",
    "8": "HRaeßĦƋƌɃɌɣɤɮʀʁʙʞΗНПЯаеяғՔ\u05f2\u07e5ຂႬႸႼႽჟᴃᴕỻⱤⱥⴂⴋⴌⴻⵌꙄꙅꜩꜪꞐ",
    "9": "ƍǥɡͽϘϙӷԹգ\u05e3ⴁⴘⴝꜿꝑꞡꟼ",
}  # fmt: skip

LOOKALIKES = frozenset(
    "".join((*JUDGED.values(), *MEASURED.values()))
)  # all letters left out for their shape

_RENDER_PX = 96  # font size that glyphs are cut from


def allowed(char: str) -> bool:
    """Whether a character may be drawn for pre-training.

    It must be one letter (Lu, Ll, Lo) of ``SCRIPTS`` that does not decompose (so a mathematical variant, a
    Roman numeral and an accented look-alike all fall out), be no Unicode number of any kind, and be in
    neither look-alike list.
    """
    if len(char) != 1 or unicodedata.category(char) not in ("Lu", "Ll", "Lo"):
        return False
    if unicodedata.numeric(char, None) is not None or unicodedata.name(char, "").split(" ")[0] not in SCRIPTS:
        return False
    if any(unicodedata.normalize(form, char) != char for form in ("NFD", "NFKC", "NFKD")):
        return False
    return char not in LOOKALIKES


def font_folder() -> Path:
    """The folder of the fonts that matplotlib ships."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def covered(face: str) -> set[int]:
    """Code points that a face draws."""
    from fontTools.ttLib import TTFont

    with TTFont(font_folder() / f"{face}.ttf", lazy=True) as font:
        return set(font.getBestCmap())


def render(char: str, face: str) -> np.ndarray | None:
    """A character, longer side scaled to 40 px, centred, ``[48, 48]`` uint8, ink 255; None where empty."""
    from PIL import Image

    mask = _font(face).getmask(char)
    ink = np.array(mask, dtype=np.uint8).reshape(mask.size[1], mask.size[0])
    rows, columns = np.nonzero(ink > 64)
    if not len(rows):
        return None
    ink = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = SOURCE_FILL / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BOX))
    canvas = np.zeros((SOURCE_SIZE, SOURCE_SIZE), dtype=np.uint8)
    top, left = (SOURCE_SIZE - height) // 2, (SOURCE_SIZE - width) // 2
    canvas[top : top + height, left : left + width] = small
    return canvas


@cache
def _font(face: str) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(font_folder() / f"{face}.ttf", _RENDER_PX)


def signature(images: np.ndarray) -> np.ndarray:
    """Blurred, centred and normed images ``[N, H * W]``: their products are correlations."""
    from scipy.ndimage import gaussian_filter

    soft = gaussian_filter(images.astype(np.float32), sigma=(0, 2.0, 2.0)).reshape(len(images), -1)
    soft -= soft.mean(1, keepdims=True)
    return soft / np.linalg.norm(soft, axis=1, keepdims=True)


def digit_likeness(chars: list[str]) -> tuple[np.ndarray, list[str]]:
    """Highest correlation of each character with a digit over all pairs of faces ``[N]``, and which digit."""
    digits = [(d, render(d, face)) for face in FACES for d in "0123456789"]
    reference = signature(np.stack([image for _, image in digits if image is not None]))
    best, which = np.full(len(chars), -1.0), [""] * len(chars)
    for face in FACES:
        cover = covered(face)
        drawn = [(i, render(c, face)) for i, c in enumerate(chars) if ord(c) in cover]
        images = [(i, image) for i, image in drawn if image is not None]
        if not images:
            continue
        scores = signature(np.stack([image for _, image in images])) @ reference.T
        for (i, _), row in zip(images, scores, strict=True):
            if row.max() > best[i]:
                best[i], which[i] = row.max(), digits[int(row.argmax())][0]
    return best, which


@dataclass(frozen=True)
class Glyphs:
    """Rendered letters: ``images`` [M, 48, 48] uint8, their ``classes`` and ``faces`` [M] (in ``FACES``)."""

    images: Tensor
    classes: Tensor
    faces: Tensor
    chars: tuple[str, ...]  # the letters of each class: "A\u0391\u0410" where they are drawn alike

    def of(self, rows: Tensor) -> Glyphs:
        """The glyphs at ``rows`` (indices or mask); class numbers keep their meaning."""
        return Glyphs(self.images[rows], self.classes[rows], self.faces[rows], self.chars)


def load() -> Glyphs:
    """Every allowed letter in every face; letters drawn alike in the first face with both are one class."""
    covers = [covered(face) for face in FACES]
    chars = [chr(code) for code in sorted(set().union(*covers)) if allowed(chr(code))]
    drawn = {
        (c, f): image
        for f, (face, cover) in enumerate(zip(FACES, covers, strict=True))
        for c, char in enumerate(chars)
        if ord(char) in cover and (image := render(char, face)) is not None
    }
    owner = _merge(drawn, len(chars))
    roots = sorted({owner[c] for c, _ in drawn})
    position = {root: i for i, root in enumerate(roots)}
    names = ["" for _ in roots]
    for c in sorted({c for c, _ in drawn}):
        names[position[owner[c]]] += chars[c]
    # One letter of a class per face: A and Alpha would be the same picture twice.
    unique = {(position[owner[c]], f): image for (c, f), image in sorted(drawn.items(), reverse=True)}
    keys = sorted(unique)
    return Glyphs(
        images=torch.from_numpy(np.stack([unique[key] for key in keys])),
        classes=torch.tensor([k for k, _ in keys]),
        faces=torch.tensor([f for _, f in keys]),
        chars=tuple(names),
    )


def _merge(drawn: dict[tuple[int, int], np.ndarray], count: int) -> list[int]:
    """First letter that each letter is drawn like, judged in the first face that has it."""
    owner = list(range(count))
    for face in range(len(FACES)):
        members = [c for c, f in drawn if f == face]
        if not members:
            continue
        vectors = signature(np.stack([drawn[c, face] for c in members]))
        first = (vectors @ vectors.T > MERGE_LIMIT).argmax(1)  # the lowest index drawn alike; itself at worst
        for c, i in zip(members, first, strict=True):
            if owner[c] == c and not any((c, f) in drawn for f in range(face)):
                owner[c] = owner[members[i]]
    return owner
