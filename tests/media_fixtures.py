"""Small pictures and recordings that tests write."""

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image


def picture(path: Path, colour=(200, 30, 30), size=(24, 16), **options) -> Path:
    """A picture whose left half is `colour` and whose right half is white."""
    pixels = np.full((size[1], size[0], 3), 255, np.uint8)
    pixels[:, : size[0] // 2] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def tone(seconds=0.5, rate=16_000, hertz=440.0, channels=1) -> np.ndarray:
    """Float32 [T] or [T, channels]; the second channel is silent."""
    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate).astype(np.float32)
    if channels == 1:
        return samples
    return np.stack([samples, *[np.zeros_like(samples)] * (channels - 1)], 1)


def recording(path: Path, samples=None, rate=16_000, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(rate=rate) if samples is None else samples, rate, **options)
    return path


def long_wav(path: Path, hours: float, rate=16_000) -> Path:
    """A wav of hours, silent and sparse: its header and its size agree and the disk holds almost nothing."""
    size = int(hours * 3600 * rate) * 2
    header = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16) + b"data" + struct.pack("<I", size)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + size)
    return path


def bomb_png(width: int, height: int) -> bytes:
    """A png of a few bytes that claims width × height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def clip_manifest(folder: Path) -> Path:
    """An EmoBox manifest of four clips, two emotions and two speakers."""
    lines = []
    for i, emotion in enumerate(("anger", "joy", "anger", "joy")):
        recording(folder / "wav" / f"{i}.wav", tone(0.3, hertz=200 + 100 * i))
        lines.append({"key": f"c{i}", "wav": f"wav/{i}.wav", "emo": emotion, "speaker": f"s{i // 2}"})
    file = folder / "clips.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return file
