"""Speech from espeak-ng's shared library, with the time of each phoneme: only rebuilding assets needs it.

espeak-ng is free software under GPL-3.0-or-later, which covers the program and not the sound it makes. The
interface is speak_lib.h of version 1.51 (Debian: libespeak-ng1, espeak-ng-data).
"""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from gelda.errors import UserError

PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}  # espeak_PARAMETER
SYNCHRONOUS, PHONEME_EVENTS, IPA, UTF8 = 2, 1, 2, 1
TERMINATED, PHONEME = 0, 7  # espeak_EVENT_TYPE


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),  # of a union whose largest member this is
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Spoken:
    """samples: float32 [T] in [-1, 1] at `rate`. phonemes: (start in seconds, IPA); "" is silence."""

    samples: np.ndarray
    rate: int
    phonemes: list[tuple[float, str]]


class _Library:
    """The library keeps one voice and its settings per process: a call states all of them."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise UserError(
                "Rebuilding speech needs espeak-ng, which is not installed: `apt-get install espeak-ng` "
                "(what ships with GeLDA is already made)."
            )
        self.library: Any = ctypes.CDLL(name)
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS | IPA)
        if self.rate <= 0:
            raise UserError("espeak-ng is installed without its data: `apt-get install espeak-ng-data`.")
        self.parts: list[np.ndarray] = []
        self.phonemes: list[tuple[float, str]] = []
        self.callback = _Callback(self._take)  # a reference of ours: ctypes frees it otherwise
        self.library.espeak_SetSynthCallback(self.callback)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if count > 0:
            self.parts.append(np.frombuffer(ctypes.string_at(samples, 2 * count), np.int16))
        place = 0
        while events[place].type != TERMINATED:
            if events[place].type == PHONEME:
                name = bytes(events[place].name).split(b"\0")[0].decode("utf-8", "ignore")
                self.phonemes.append((events[place].milliseconds / 1000, name))
            place += 1
        return 0

    def speak(self, text: str, voice: str, settings: dict[str, int]) -> Spoken:
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"This espeak-ng has no voice '{voice}': `espeak-ng --voices` lists what it has.")
        for name, number in PARAMETERS.items():
            self.library.espeak_SetParameter(number, settings[name], 0)
        self.parts, self.phonemes = [], []
        data = text.encode()
        if self.library.espeak_Synth(data, len(data) + 1, 0, 1, 0, UTF8, None, None) != 0:
            raise UserError(f"espeak-ng could not speak '{text}'.")
        samples = np.concatenate([np.zeros(0, np.int16), *self.parts])
        return Spoken(samples.astype(np.float32) / 32768, self.rate, self.phonemes)


_library = lru_cache(maxsize=1)(_Library)


def available() -> bool:
    """Whether espeak-ng's library is installed."""
    return ctypes.util.find_library("espeak-ng") is not None


def speak(
    text: str, voice: str, *, rate: int = 175, volume: int = 100, pitch: int = 50, range: int = 50
) -> Spoken:
    """Speak `text`, read by the rules of the voice's language; `voice` is language+variant, as de+m1.

    rate: words a minute, 80 to 450. volume: 100 is espeak-ng's own. pitch, range: 0 to 99.
    """
    return _library().speak(text, voice, {"rate": rate, "volume": volume, "pitch": pitch, "range": range})


def version() -> str:
    """The library's version, such as 1.51."""
    info = _library().library.espeak_Info
    info.restype = ctypes.c_char_p
    return info(None).decode()
