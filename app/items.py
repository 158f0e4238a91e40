"""Real items for people: small pictures, clips and texts of a run; one that cannot be shown is a sentence."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from app import words
from gelda import media
from gelda.datasets import source_decoder
from gelda.errors import UserError

DRAWN, SMALL, LARGE = 32, 64, 208  # pixels: drawn digits as they are; a file's on the map and in the strip
LETTERS = 280  # of a text
PLAYED = 20.0  # seconds of a clip that are played
INK = (78, 134, 198)  # of a spectrogram, on light and on dark
THINGS = {"image": "image", "audio": "clip", "text": "text"}


@dataclass(frozen=True)
class Shown:
    """An item for a page: a picture (WebP) or a text, and a sound (wav); or why there is none."""

    picture: bytes = b""
    sound: bytes = b""
    text: str = ""
    problem: str = ""

    @property
    def url(self) -> str:
        """The picture as a data URL."""
        return _url(self.picture)


def kind(meta: dict[str, Any]) -> str:
    """Which of media.KINDS a run's items are; "" where latents came without their files."""
    return meta.get("media", "image")


def thing(meta: dict[str, Any], number: int = 2) -> str:
    """What a person calls them: images, clips, texts, items."""
    return THINGS.get(kind(meta), "item") + "s" * (number != 1)


def shown(meta: dict[str, Any], uri: str) -> Shown:
    """One item, from the cache where it was shown before."""
    return _shown(kind(meta), meta.get("root", ""), uri)


@st.cache_data(max_entries=96, show_spinner=False)
def _shown(kind: str, root: str, uri: str) -> Shown:
    try:
        item = source_decoder(kind, root)(uri)
    except UserError as error:
        return Shown(problem=str(error))
    if isinstance(item, str):
        return Shown(text=item)
    if isinstance(item, media.Clip):
        part = media.Clip(item.samples[: int(PLAYED * item.rate)], item.rate)
        loud = media.spectrogram(part, 56, LARGE)
        picture = np.empty((*loud.shape, 4), np.uint8)
        picture[..., :3], picture[..., 3] = INK, 255 * loud
        more = f"The first {PLAYED:.0f} s of {item.seconds:.0f} s." if item.seconds > PLAYED else ""
        return Shown(_webp(picture), media.wav_bytes(part), more)
    drawn = isinstance(item, np.ndarray)
    return Shown(_webp(media.thumbnail(item, DRAWN if drawn else LARGE), lossless=drawn))


def sheet(meta: dict[str, Any], uris: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures ``[n, side, side, 3]`` of those uris that have one, and their places among `uris` ``[n]``."""
    side = SMALL if "media" in meta else DRAWN
    decode, found, places = source_decoder(kind(meta), meta.get("root", "")), [], []
    for place, uri in enumerate(uris):
        try:
            found.append(media.thumbnail(decode(uri), side))
            places.append(place)
        except UserError:
            continue  # a file that is gone: its point has no picture, and the selection says why
    return np.asarray(found, np.uint8).reshape(-1, side, side, 3), np.asarray(places, np.int64)


def draw(found: Sequence[tuple[Shown, str, bool]], meta: dict[str, Any], across: int) -> None:
    """Items with a caption each, dashed where they stand in for another; clips as players in columns."""
    if kind(meta) != "audio":
        size = "" if "media" not in meta else " texts" if kind(meta) == "text" else " large"
        st.html(f'<div class="strip{size}">{"".join(_figure(*one) for one in found)}</div>')
        return
    columns = st.columns(across, gap="medium")
    for place, one in enumerate(found):
        with columns[place % across]:
            st.html(f'<div class="strip sound">{_figure(*one)}</div>')
            if one[0].sound:
                st.audio(one[0].sound, format="audio/wav", alt=one[1])


def _figure(item: Shown, caption: str, made: bool) -> str:
    """One item as HTML: its picture or its text, or the sentence that says why there is neither."""
    if item.problem:
        body = f'<p class="missing">{words.safe(item.problem)}</p>'
    elif item.picture:
        body = f'<img alt="{words.safe(caption)}" src="{item.url}">'
    else:
        body = f"<blockquote>{words.safe(item.text[:LETTERS])}</blockquote>"
    more = f"<br>{words.safe(item.text)}" if item.sound and item.text else ""
    own = "made" if made else "real"
    return f'<figure class="{own}">{body}<figcaption>{words.safe(caption)}{more}</figcaption></figure>'


def data_url(pixels: np.ndarray) -> str:
    """A small picture ``[height, width, 3]`` as a data URL."""
    return _url(_webp(pixels, lossless=False))


def _url(picture: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(picture).decode()}"


def _webp(pixels: np.ndarray, lossless: bool = True) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=lossless, quality=85)
    return buffer.getvalue()
