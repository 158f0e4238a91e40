"""Pictures and clips: how a file decodes, and what a browser is shown of it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gelda.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

KINDS = ("image", "audio", "text")
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")  # none that starts a program
SUFFIXES = {
    "image": frozenset(".jpg .jpeg .png .webp .bmp .gif .tif .tiff .ppm .pgm .avif".split()),
    "audio": frozenset(".wav .flac .ogg .oga .opus .mp3 .aif .aiff .au".split()),
    "text": frozenset({".txt"}),
}
MAX_PIXELS = 89_478_485  # Pillow's own limit: 256 MB as RGB
MAX_SECONDS = 600.0  # of one item; longer recordings need segment times
RATES = (1_000, 192_000)  # hertz
MAX_TEXT = 1_000_000  # bytes of one text

_FRAGMENT = re.compile(r"#t=(\d+(?:\.\d+)?)?(?:,(\d+(?:\.\d+)?))?$")


@dataclass(frozen=True)
class Clip:
    """Mono sound: samples float32 [T] in [−1, 1] at `rate` hertz."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def segment_of(uri: str) -> tuple[str, float | None, float | None]:
    """(path, start, end) of a uri: "a.wav#t=1.25,3.5" is seconds 1.25 to 3.5 (W3C Media Fragments)."""
    found = _FRAGMENT.search(uri)
    if not found:
        return uri, None, None
    start, end = (None if part is None else float(part) for part in found.groups())
    return uri[: found.start()], start, end


def load_image(file: Path | bytes, name: str = "") -> Image:
    """An RGB picture, turned as its camera said (EXIF); transparency is dropped, 16-bit grey scaled to 8."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = name or _name(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remark on large pictures; odd EXIF
            with Image.open(_bytes(file), formats=IMAGE_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise _too_large(name, f"{image.width} × {image.height} pixels")
                turned = ImageOps.exif_transpose(image)
                if turned.mode.startswith("I"):
                    grey = np.asarray(turned)
                    scaled = grey // 257 if grey.max(initial=0) > 255 else grey
                    turned = Image.fromarray(scaled.clip(0, 255).astype(np.uint8))
                return turned.convert("RGB")
    except Image.DecompressionBombError as error:  # over twice the limit, Pillow stops by itself
        raise _too_large(name, "too many pixels") from error
    except UnidentifiedImageError as error:
        raise _undecodable(file, name, "a picture", "jpg or png") from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        MemoryError,
    ) as error:
        # Pillow raises any of these for damaged bytes
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"{name} cannot be read ({error.strerror}).") from error
        raise UserError(
            f"{name} is damaged or cut short: the picture cannot be decoded ({error})."
        ) from error


def load_clip(
    file: Path | bytes,
    start: float | None = None,
    end: float | None = None,
    name: str = "",
    limit: float = MAX_SECONDS,
) -> Clip:
    """Seconds [start, end) of a recording, channels averaged, at the file's own rate.

    An end behind the end of the recording is cut to it, since lists round. The length is checked in the
    header, before any sound is read.
    """
    name = name or _name(file)
    with _sound(file, name) as sound:
        length = sound.frames / sound.samplerate
        first = int(round((start or 0.0) * sound.samplerate))
        last = sound.frames if end is None else min(int(round(end * sound.samplerate)), sound.frames)
        if sound.frames == 0:
            raise UserError(f"{name} holds no sound: its length is zero.")
        if first >= last:
            raise UserError(
                f"{name} has no sound between {start or 0:g} s and {length if end is None else end:g} s: "
                f"it is {length:.2f} s long."
            )
        if (last - first) / sound.samplerate > limit:
            raise UserError(
                f"{name} is {_duration((last - first) / sound.samplerate)} long, over the limit of "
                f"{_duration(limit)} an item: name segments (start and end, in seconds) in the list."
            )
        sound.seek(first)
        blocks = sound.blocks(blocksize=1 << 18, frames=last - first, dtype="float32", always_2d=True)
        samples = np.concatenate([block.mean(1) for block in blocks] or [np.zeros(0, np.float32)])
        rate = sound.samplerate
    if len(samples) == 0:
        raise UserError(f"{name} holds no sound where its header says there is some: it is cut short.")
    if not np.isfinite(samples).all():
        raise UserError(f"{name} holds samples that are not finite numbers: it is damaged.")
    return Clip(samples, rate)


def load_text(file: Path) -> str:
    """The text of a UTF-8 file of at most a million bytes."""
    try:
        if file.stat().st_size > MAX_TEXT:
            raise UserError(f"{file.name} is longer than {MAX_TEXT / 1e6:.0f} MB: one text an item.")
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file.name} is not a UTF-8 text.") from error
    except OSError as error:
        raise UserError(f"{file.name} cannot be read ({error.strerror}).") from error


def load(kind: str, file: Path, start: float | None = None, end: float | None = None) -> Any:
    """One file as the item of its kind: an RGB image, a Clip, a str."""
    if kind == "image":
        return load_image(file)
    return load_clip(file, start, end) if kind == "audio" else load_text(file)


def resample(clip: Clip, rate: int) -> Clip:
    """The same sound at another rate (soxr, high quality)."""
    if clip.rate == rate:
        return clip
    import soxr

    return Clip(soxr.resample(clip.samples, clip.rate, rate), rate)


def wav_bytes(clip: Clip) -> bytes:
    """A 16-bit wav, which every browser plays."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, clip.samples, clip.rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def spectrogram(clip: Clip, bands: int = 64, columns: int = 64) -> NDArray[np.float32]:
    """Loudness in [0, 1] over frequency and time, [bands, columns], the lowest band last; 60 dB deep.

    Windows of 32 ms; bands are spaced as mel (O'Shaughnessy 1987), from 60 Hz to 8 kHz or half the rate.
    """
    size = max(64, int(0.032 * clip.rate))
    padded = np.pad(clip.samples, (size // 2, size // 2))
    starts = np.linspace(0, len(padded) - size, columns).astype(int) if len(padded) > size else [0] * columns
    frames = np.stack([padded[s : s + size] for s in starts]) * np.hanning(size)
    power = np.abs(np.fft.rfft(frames)) ** 2  # [columns, size // 2 + 1]
    lowest, highest = (2595 * np.log10(1 + f / 700) for f in (60.0, min(8000.0, clip.rate / 2)))
    mel = np.linspace(lowest, highest, bands)
    centres = 700 * (10 ** (mel / 2595) - 1) / clip.rate * size
    loud = np.stack([np.interp(centres, np.arange(power.shape[1]), frame) for frame in power], 1)
    decibels = 10 * np.log10(np.maximum(loud, 1e-12))
    return np.clip((decibels - decibels.max()) / 60 + 1, 0, 1).astype(np.float32)[::-1]


def thumbnail(item: Any, size: int = 64) -> NDArray[np.uint8]:
    """A square picture of an item, [size, size, 3]: an image's middle, a clip's spectrogram (light is quiet).

    A float array [channels, height, width] is drawn data. A text has no picture: UserError.
    """
    from PIL import Image, ImageOps

    if isinstance(item, str):
        raise UserError("A text has no picture: show the text itself.")
    if isinstance(item, Clip):
        grey = 255 - (spectrogram(item, size, size) * 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if isinstance(item, np.ndarray):
        pixels = np.clip(np.moveaxis(item, 0, -1) * 255, 0, 255).astype(np.uint8)
        item = Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
    return np.asarray(ImageOps.fit(item, (size, size)))


@contextmanager
def _sound(file: Path | bytes, name: str) -> Iterator[Any]:
    import soundfile

    try:
        with soundfile.SoundFile(_bytes(file)) as sound:
            if not RATES[0] <= sound.samplerate <= RATES[1]:
                raise UserError(f"{name} says {sound.samplerate} samples a second: its header is damaged.")
            yield sound
    except soundfile.LibsndfileError as error:
        raise _undecodable(file, name, "a recording", "wav, flac, ogg or mp3") from error


def _too_large(name: str, pixels: str) -> UserError:
    return UserError(f"{name} has {pixels}; the limit is {MAX_PIXELS / 1e6:.0f} million: make it smaller.")


def _undecodable(file: Path | bytes, name: str, what: str, formats: str) -> UserError:
    try:
        size = len(file) if isinstance(file, bytes) else file.stat().st_size
    except OSError as error:
        return UserError(f"{name} cannot be read ({error.strerror}).")
    if size == 0:
        return UserError(f"{name} is empty.")
    return UserError(f"{name} is not {what} that can be read, or it is damaged: convert it to {formats}.")


def _bytes(file: Path | bytes) -> Any:
    return io.BytesIO(file) if isinstance(file, bytes) else file


def _name(file: Path | bytes) -> str:
    return "This item" if isinstance(file, bytes) else file.name


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
