"""The speech demo's clips: synthetic speech by espeak-ng, five emotions in six languages, eight voices each.

`assets/speech` holds one Ogg (Opus, 16 kHz, mono) a language and `index.csv`, a row a clip: language, voice,
emotion, text, uri (`de.ogg#t=1.25,3.5`). How they are spoken is in `speech_style`, what is said in
`speech_texts`; `python -m gelda.datasets.speech_synthesis` makes them again. espeak-ng is GPL-3.0-or-later,
which covers the program and not the sound it makes; the clips are Apache-2.0, as GeLDA.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda import columns, media
from gelda.datasets.speech_style import EMOTIONS, LANGUAGES
from gelda.manifest import Manifest
from gelda.paths import assets

RATE = 16_000
SYNTHETIC = "synthetic speech (espeak-ng)"  # said wherever the clips or figures on them are shown
# Of assets/semantics/typology.csv (WALS Online, CC BY 4.0): word order and sounds that tell the six apart.
PROPERTIES = (
    "prepositions_85A",
    "genitive_first_86A",
    "adjective_first_87A",
    "vowels_2A",
    "syllables_12A",
    "front_rounded_11A",
)


def folder() -> Path:
    """Where the clips lie, in the repository and in a wheel."""
    return assets() / "speech"


def index() -> pd.DataFrame:
    """One row a clip: language, voice, emotion, text, uri."""
    return pd.read_csv(folder() / "index.csv", dtype=str, keep_default_na=False)


def manifest() -> Manifest:
    """Every clip; a group is a speaker, which is one voice in one language."""
    table = index()
    code = table["language"].map(LANGUAGES)
    said = table.groupby("language")["text"].transform(lambda texts: pd.factorize(texts)[0])
    rows = pd.DataFrame(
        {
            "id": code + "-" + table["voice"] + "-" + said.astype(str).str.zfill(2) + "-" + table["emotion"],
            "uri": "speech:" + table["uri"],
            "label": table["emotion"].map(EMOTIONS.index),
            "subdomain": table["language"].map(list(LANGUAGES).index),
            "group": code + "-" + table["voice"],
        }
    )
    spans = [media.segment_of(uri) for uri in table["uri"]]
    more = {
        "voice": table["voice"],
        "sentence": table["text"],
        "seconds": [round((end or 0) - (start or 0), 3) for _, start, end in spans],
    }
    rows = rows.assign(**columns.taken(more, ()))
    return Manifest(rows, EMOTIONS, tuple(LANGUAGES), "speech")


def read(uris: list[str]) -> list[media.Clip]:
    """The clips of those uris."""
    found = []
    for uri in uris:
        path, start, end = media.segment_of(uri.removeprefix("speech:"))
        found.append(media.load_clip(folder() / Path(path).name, start, end))
    return found


def emotion_attributes() -> NDArray[np.float32]:
    """Valence and arousal of each emotion [5, 2] (Russell and Mehrabian 1977; assets/semantics/vad.csv)."""
    return _table("vad", EMOTIONS, ("valence", "arousal"))


def language_attributes() -> NDArray[np.float32]:
    """PROPERTIES of each language [6, 6]."""
    return _table("typology", tuple(LANGUAGES), PROPERTIES)


@cache
def _table(name: str, names: tuple[str, ...], columns: tuple[str, ...]) -> NDArray[np.float32]:
    """Columns of a table of assets/semantics for those names; what it does not know is its mean."""
    table = pd.read_csv(assets() / "semantics" / f"{name}.csv", dtype=str, keep_default_na=False)
    numbers = table[list(columns)].apply(pd.to_numeric)
    spelt = (table["name"] + "|" + table["aliases"]).str.lower().str.split("|")
    rows = [next(k for k, own in enumerate(spelt) if one.lower() in own) for one in names]
    return numbers.fillna(numbers.mean()).iloc[rows].to_numpy(dtype=np.float32)
