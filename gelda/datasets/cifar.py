"""CIFAR-100 in its binary form, and the long-tailed cut of it that papers report on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gelda import columns
from gelda.datasets.assemble import Raw
from gelda.datasets.options import SourceOptions
from gelda.errors import UserError
from gelda.paths import inside, permitted

FOLDER = "cifar-100-binary"
ROW = 2 + 3 * 32 * 32  # bytes: coarse label, fine label, red, green and blue planes of 32 × 32
SIZES = {"train": 50_000, "test": 10_000}


def recognises(path: str) -> bool:
    """The unpacked archive, the folder it lies in, or the pickled form, which `read` turns away."""
    return _folder(Path(path)) is not None or _is_pickled(Path(path))


def read(path: str, options: SourceOptions) -> Raw:
    """All of the test set, and of the training set the cut of `options.imbalance` (1 keeps all)."""
    folder = _folder(permitted(path))
    if folder is None:
        what = (
            "holds CIFAR-100 as Python pickles, which are never read"
            if _is_pickled(Path(path))
            else "lacks it"
        )
        raise UserError(
            f"{path} {what}: fetch the binary version, cifar-100-binary.tar.gz, from "
            "https://www.cs.toronto.edu/~kriz/cifar.html and give the unpacked folder."
        )
    names = (folder / "fine_label_names.txt").read_text("utf-8").split()
    groups = _superclasses(folder)
    parts = []
    for split in SIZES:
        coarse, labels = _rows(folder, split)[:, :2].T.astype(np.int64)
        if len(names) <= labels.max():
            raise UserError(
                f"{folder}/fine_label_names.txt has {len(names)} names, and labels go up to {labels.max()}."
            )
        kept = np.arange(len(labels))
        if split == "train" and options.imbalance > 1:
            kept = long_tail(labels, options.imbalance)
        parts.append(
            pd.DataFrame(
                {
                    "uri": [f"cifar:{split}/{row}" for row in kept],
                    "id": [f"{split}-{row:05d}" for row in kept],
                    "label": np.array(names)[labels[kept]],
                    "split": split,
                    **({} if groups is None else columns.taken({"superclass": groups[coarse[kept]]}, ())),
                }
            )
        )
    cut = options.imbalance > 1
    note = (
        f"Training keeps 500·{options.imbalance:g}^(−k/99) items of class k, those that LDAM's code chooses."
    )
    return Raw(
        f"cifar-100-lt-{options.imbalance:g}" if cut else "cifar-100",
        "image",
        str(folder),
        pd.concat(parts, ignore_index=True),
        files=False,
        class_order=tuple(names),
        notes=(note,) if cut else (),
    )


def _superclasses(folder: Path) -> NDArray[np.str_] | None:
    """Names of the coarse labels [256] ("" where there is none); None without their list."""
    file = folder / "coarse_label_names.txt"
    if not file.is_file():
        return None
    names = file.read_text("utf-8").split()[:256]
    return np.array(names + [""] * (256 - len(names)))


def long_tail(labels: NDArray[np.int64], imbalance: float) -> NDArray[np.int64]:
    """Rows of the published cut (Cao et al. 2019, `imbalance_cifar.py`: exponential, numpy's seed 0).

    n_k = int(n_max·imb^(−k/(C−1))), n_max = N/C; each class's rows are shuffled by one legacy generator in
    the order of the classes, so that the items are those of the published code, not only their number.
    """
    classes = np.unique(labels)
    largest, random = int(len(labels) / len(classes)), np.random.RandomState(0)
    kept = []
    for k, label in enumerate(classes):
        rows = np.flatnonzero(labels == label)
        random.shuffle(rows)
        kept.append(rows[: int(largest * (1 / imbalance) ** (k / (len(classes) - 1.0)))])
    return np.sort(np.concatenate(kept))


def decode(root: str, rest: str) -> Any:
    """The picture "train/123" as RGB."""
    from PIL import Image

    split, _, row = rest.partition("/")
    file = inside(root, f"{split}.bin")
    with open(file, "rb") as stream:
        stream.seek(int(row) * ROW + 2)
        planes = np.frombuffer(stream.read(ROW - 2), np.uint8)
    if planes.size != ROW - 2:
        raise UserError(f"{file.name} ends before picture {row}: it is cut short.")
    return Image.fromarray(planes.reshape(3, 32, 32).transpose(1, 2, 0).copy())


def _rows(folder: Path, split: str) -> NDArray[np.uint8]:
    file = folder / f"{split}.bin"
    size = os.path.getsize(file)
    if size == 0 or size % ROW:
        raise UserError(f"{file} has {size} bytes, which is no number of rows of {ROW}: it is cut short.")
    return np.memmap(file, np.uint8, "r").reshape(-1, ROW)


def _folder(path: Path) -> Path | None:
    for folder in (path, path / FOLDER):
        if all((folder / name).is_file() for name in ("train.bin", "test.bin", "fine_label_names.txt")):
            return folder
    return None


def _is_pickled(path: Path) -> bool:
    return any((f / "meta").is_file() and (f / "train").is_file() for f in (path, path / "cifar-100-python"))
