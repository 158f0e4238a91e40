"""Arrays of an untrusted `.npz`: headers first, never pickle; what is wrong with one is a sentence."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gelda.errors import UserError

if TYPE_CHECKING:
    import torch

# what numpy, zipfile and zlib raise for bytes that are no archive, are cut short, or play tricks
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    EOFError,
    OSError,
    KeyError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)


def headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shapes and types of every array, read before any array is: no pickle, no absurd size."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(stream)
                    header = stream.tell()
                if dtype.hasobject:
                    raise UserError(
                        f"{path.name}: '{member.filename}' holds Python objects (pickle), which are not read."
                    )
                if (
                    min(shape, default=0) < 0
                    or header + math.prod(shape) * dtype.itemsize != member.file_size
                ):
                    raise UserError(
                        f"{path.name}: '{member.filename}' claims the shape {str(shape)[:60]}, "
                        "which does not fit its size: the file is broken."
                    )
                found[member.filename.removesuffix(".npy")] = (tuple(shape), dtype)
    except BROKEN as error:
        raise broken(path) from error
    return found


def broken(path: Path) -> UserError:
    return UserError(f"{path.name} cannot be read as an .npz file: it is broken or cut short.")


def array(path: Path, name: str) -> NDArray[Any]:
    """One array of the file; damaged bytes are a sentence."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[name]
    except BROKEN as error:
        raise broken(path) from error


def integers(values: NDArray[Any], name: str, path: Path) -> NDArray[np.int64]:
    if values.ndim != 1 or values.dtype.kind not in "iu" or len(values) == 0:
        raise UserError(f"{path.name}: '{name}' must be a list of whole numbers, one an item.")
    return values.astype(np.int64)


def texts(values: NDArray[Any], name: str, path: Path) -> NDArray[np.str_]:
    """A list of texts [N]; whole numbers are written out."""
    if values.ndim != 1 or values.dtype.kind not in "iuUS":
        raise UserError(f"{path.name}: '{name}' must be a list of texts.")
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8", "replace")
    return values.astype(str)


def names(values: NDArray[Any], name: str, path: Path) -> tuple[str, ...]:
    names = tuple(texts(np.atleast_1d(values), name, path).tolist())
    if len(set(names)) < len(names) or not all(n.strip() for n in names):
        raise UserError(f"{path.name}: '{name}' holds a name twice, or an empty one.")
    return names


def table(values: NDArray[Any], name: str, names: tuple[str, ...], path: Path) -> torch.Tensor:
    """Vectors fp32 [n, d], a row a name."""
    import torch

    fits = values.ndim == 2 and len(values) == len(names) and values.shape[1] > 0
    if not fits or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise UserError(
            f"{path.name}: '{name}' has shape {values.shape}; each of {len(names)} names needs a row of "
            "finite numbers."
        )
    return torch.from_numpy(values.astype(np.float32))
