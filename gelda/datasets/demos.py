"""DATASETS: the demos that ship. Adding one = one entry here and one module beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gelda import columns
from gelda.datasets.source import AXES
from gelda.errors import unknown
from gelda.manifest import Manifest


@dataclass(frozen=True)
class DatasetSpec:
    """How to list a dataset's items and how to read some of them.

    media: one of `media.KINDS`.
    manifest()      -> Manifest of every item
    read(uris)      -> drawn images, float32 [N, channels, height, width] in [0, 1], or a list of `media.Clip`
    class_attributes, subdomain_attributes -> float [C, k], [S, k]: the dataset's own attribute tables
    axes: what a class and a subdomain are called, one noun each
    """

    title: str
    note: str
    caveat: str  # what a reader of results on it must know
    licence: str
    manifest: Callable[[], Manifest]
    read: Callable[[list[str]], Any]
    class_attributes: Callable[[], np.ndarray]
    subdomain_attributes: Callable[[], np.ndarray]
    media: str = "image"
    axes: tuple[str, str] = AXES


def _digits_manifest() -> Manifest:
    from gelda.datasets import digits

    labels = digits.labels()
    rows = [
        {
            "id": f"{i:04d}-{name}",
            "uri": f"digits:{i}/{s}",
            "label": int(y),
            "subdomain": s,
            "group": f"{i:04d}",
        }
        for i, y in enumerate(labels)
        for s, name in enumerate(digits.CONDITIONS)
    ]
    more = {name: np.repeat(values, len(digits.CONDITIONS)) for name, values in digits.columns().items()}
    table = pd.DataFrame(rows).assign(**columns.taken(more, ()))
    return Manifest(table, digits.CLASS_NAMES, digits.CONDITIONS, "digits")


def _digits_read(uris: list[str]) -> np.ndarray:
    from gelda.datasets import digits

    pairs = np.array([[int(v) for v in uri.removeprefix("digits:").split("/")] for uri in uris]).reshape(
        -1, 2
    )
    return digits.draw(pairs[:, 0], pairs[:, 1])


def _digits_attribute(name: str) -> Callable[[], np.ndarray]:
    def load() -> np.ndarray:
        from gelda.datasets import digits

        return np.asarray(getattr(digits, name), dtype=np.float32)

    return load


def _speech(name: str) -> Callable[..., Any]:
    """The function `name` of `gelda.datasets.speech`, imported when it is first called."""

    def call(*arguments: Any) -> Any:
        from gelda.datasets import speech

        return getattr(speech, name)(*arguments)

    return call


DATASETS: dict[str, DatasetSpec] = {
    "digits": DatasetSpec(
        title="Handwritten digits",
        note="1 797 digits written by people (scikit-learn), drawn at 32×32 under five writing conditions.",
        caveat="Who wrote which digit is unknown, so writers are shared between training and test.",
        licence="Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, UCI 1998), CC BY 4.0",
        manifest=_digits_manifest,
        read=_digits_read,
        class_attributes=_digits_attribute("CLASS_ATTRIBUTES"),
        subdomain_attributes=_digits_attribute("CONDITION_ATTRIBUTES"),
        axes=("class", "condition"),
    ),
    "speech": DatasetSpec(
        title="Synthetic speech, five emotions in six languages",
        note="1 200 clips of synthetic speech (espeak-ng): emotions by prosody, eight voices a language.",
        caveat="This is synthetic speech (espeak-ng), and how a language speaks an emotion is invented: "
        "figures on it say nothing about people.",
        licence="Apache-2.0, as GeLDA",
        manifest=_speech("manifest"),
        read=_speech("read"),
        class_attributes=_speech("emotion_attributes"),
        subdomain_attributes=_speech("language_attributes"),
        media="audio",
        axes=("emotion", "language"),
    ),
}


def get(name: str) -> DatasetSpec:
    """The entry for `name`, or an error that lists the valid names."""
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name]
