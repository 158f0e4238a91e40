"""Items as a person sees and hears them: pictures, clips with their waveform, texts."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from app import words
from gelda import media
from gelda.errors import UserError

SIDE = 160  # pixels of a picture's longer side, drawn at half of it: sharp on dense screens
SECONDS = 30.0  # of a clip that a preview plays
TEXT = 400  # characters of a text
WAVE = "#3f82cc"  # reads on light and on dark paper
SHOWN = {"image": 20, "audio": 6, "text": 8}


@dataclass(frozen=True)
class Preview:
    """One decoded item: a data URL, a wav with its waveform, a text, or why there is none of them."""

    picture: str = ""
    sound: bytes = b""
    wave: str = ""
    seconds: float = 0.0
    text: str = ""
    problem: str = ""


def previews(
    kind: str, decode: Callable[[str], Any], uris: Sequence[str], captions: Sequence[str], key: str
) -> None:
    """Show some items; `key` names the data they come from, so that each is decoded once."""
    found = [preview(key, kind, uri, decode) for uri in uris]
    if kind == "audio":
        _clips(found, captions)
    elif kind == "text":
        _texts(found, captions)
    else:
        _pictures(found, captions, uris)


@st.cache_data(max_entries=2_000, show_spinner=False)
def preview(key: str, kind: str, uri: str, _decode: Callable[[str], Any]) -> Preview:
    """One item, small enough for a page; what cannot be decoded says why."""
    try:
        item = _decode(_beginning(uri) if kind == "audio" else uri)
    except UserError as error:
        return Preview(problem=str(error))
    if isinstance(item, media.Clip):
        return Preview(sound=media.wav_bytes(item), wave=waveform(item), seconds=item.seconds)
    if isinstance(item, str):
        return Preview(text=item if len(item) <= TEXT else f"{item[:TEXT]} …")
    return Preview(picture=data_url(item))


def _beginning(uri: str) -> str:
    """At most the first half minute of a clip: nobody listens to more in a list."""
    path, start, end = media.segment_of(uri)
    begin = start or 0.0
    last = begin + SECONDS if end is None else min(end, begin + SECONDS)
    return f"{path}#t={begin:g},{last:g}"


def data_url(item: Any) -> str:
    """A picture for a page: the whole of it, not larger than needed."""
    from PIL import Image

    if isinstance(item, np.ndarray):
        image = Image.fromarray(media.thumbnail(item, 2 * item.shape[-1]))
    else:
        image = item.copy()
        image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=82, method=2)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def waveform(clip: media.Clip, width: int = 240, height: int = 36) -> str:
    """A clip's loudness over time as the data URL of an SVG."""
    bounds = media.waveform(clip, min(width, max(2, len(clip.samples))))
    limit = max(float(np.abs(bounds).max()), 1e-6)
    y = height / 2 * (1 - np.clip(bounds / limit, -1, 1))
    x = np.linspace(0, width, len(y))
    upper = [f"{a:.0f},{b:.1f}" for a, b in zip(x, y[:, 1], strict=True)]
    lower = [f"{a:.0f},{b:.1f}" for a, b in zip(x[::-1], y[::-1, 0], strict=True)]
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
        f'<polygon fill="{WAVE}" points="{" ".join([*upper, *lower])}"/></svg>'
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"


def _pictures(found: Sequence[Preview], captions: Sequence[str], uris: Sequence[str]) -> None:
    figures = []
    for one, caption, uri in zip(found, captions, uris, strict=True):
        shown = (
            f'<p class="gone">{words.safe(one.problem)}</p>'
            if one.problem
            else f'<img alt="{words.safe(caption)}" title="{words.safe(uri)}" src="{one.picture}">'
        )
        figures.append(f"<figure>{shown}<figcaption>{words.safe(caption)}</figcaption></figure>")
    st.html(f'<div class="gallery">{"".join(figures)}</div>')


def _clips(found: Sequence[Preview], captions: Sequence[str]) -> None:
    columns = st.columns(2, gap="medium")
    for place, (one, caption) in enumerate(zip(found, captions, strict=True)):
        with columns[place % 2]:
            if one.problem:
                st.html(
                    f'<p class="clip">{words.safe(caption)}</p><p class="gone">{words.safe(one.problem)}</p>'
                )
                continue
            length = f"first {SECONDS:.0f} s" if one.seconds >= SECONDS else f"{words.number(one.seconds)} s"
            st.html(
                f'<p class="clip">{words.safe(caption)} <small>{length}</small></p>'
                f'<img class="wave" alt="" src="{one.wave}">'
            )
            st.audio(one.sound, format="audio/wav", alt=caption)


def _texts(found: Sequence[Preview], captions: Sequence[str]) -> None:
    rows = [
        f"<blockquote>{words.safe(one.problem or one.text)}<footer>{words.safe(caption)}</footer>"
        for one, caption in zip(found, captions, strict=True)
    ]
    st.html(f'<div class="texts">{"</blockquote>".join(rows)}</blockquote></div>')
