"""LATENT_FILES: single files of ready latents, each read as the arrays of an `.npz` (method §7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda import npz
from gelda.errors import UserError

Headers = dict[str, tuple[tuple[int, ...], np.dtype]]
LABELS = ("y", "label", "class")
COLUMNS = ("subdomain", "split", "group", "speaker", "id")
NAMES = {"class_names": "y", "subdomain_names": "subdomain"}
TABLES = ("class_semantics", "subdomain_semantics")
NAMED = ("class_names", "subdomain_names", "split", "id", "group", "speaker")


@dataclass(frozen=True)
class LatentFile:
    """headers(path) -> shape and type of every array, before any is read; array(path, name) -> one."""

    title: str
    note: str
    headers: Callable[[Path], Headers]
    array: Callable[[Path, str], NDArray[Any]]


def _tensor_headers(path: Path) -> Headers:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}
            found = {n: (tuple(s.get_shape()), _numpy_type(s.get_dtype())) for n, s in slices.items()}
            texts = _texts(file.metadata() or {}, path)
    except (SafetensorError, OSError) as error:
        raise _broken(path, "safetensors") from error
    return found | {name: (values.shape, values.dtype) for name, values in texts.items()}


def _tensor(path: Path, name: str) -> NDArray[Any]:
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            if name not in file.keys():
                return _texts(file.metadata() or {}, path)[name]
            tensor = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise _broken(path, "safetensors") from error
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _numpy_type(name: str) -> np.dtype:
    """The numpy type of safetensors' F16, BF16, I64 …; what numpy lacks is read as float32."""
    if name == "BOOL":
        return np.dtype(bool)
    kind = {"F": "f", "BF": "f", "I": "i", "U": "u"}.get(name.rstrip("0123456789"), "V")
    bits = int(name.lstrip("BFIUOL") or 8) if kind in "fiu" else 8
    return np.dtype("f4") if name == "BF16" or (kind == "f" and bits < 16) else np.dtype(f"{kind}{bits // 8}")


def _texts(metadata: Mapping[str, str], path: Path) -> dict[str, NDArray[Any]]:
    """Lists of texts in the header, as JSON: {"class_names": "[\\"cat\\", \\"dog\\"]"}; further ones, too."""
    found = {}
    for name, text in metadata.items():
        if name not in NAMED and not text.startswith("["):
            continue
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            values = None
        kinds = str | int if name in NAMED else str | int | float | None
        if isinstance(values, list) and values and all(isinstance(v, kinds) for v in values):
            found[name] = np.array(["" if v is None else str(v) for v in values])
        elif name in NAMED:
            raise UserError(f"{path.name}: '{name}' in the header must be a list of texts, as JSON.")
    return found


def _parquet_headers(path: Path) -> Headers:
    file = _parquet(path)
    rows, schema = file.metadata.num_rows, file.schema_arrow
    found: Headers = {}
    for field in schema:
        if field.name.startswith("z_"):
            found[field.name] = _width(file, field, rows)
    label = next((name for name in LABELS if name in schema.names), None)
    if label:
        found |= {name: ((rows,), np.dtype(np.int64)) for name in ("y", "class_names")}
    if "subdomain" in schema.names:
        found["subdomain_names"] = ((0,), np.dtype(str))
    found |= {name: ((rows,), np.dtype(str)) for name in COLUMNS if name in schema.names}
    own = (field for field in schema if field.name not in {*found, *NAMES, label} and _single(field))
    return found | {field.name: ((rows,), np.dtype("O")) for field in own}


def _single(field: Any) -> bool:
    """Whether a column of Parquet has one value a row that can be looked at."""
    import pyarrow as pa

    kind, name = field.type, field.name
    bytes_like = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return not (
        name.startswith(("z_", "__index_level_")) or name in TABLES or pa.types.is_nested(kind) or bytes_like
    )


def _width(file: Any, field: Any, rows: int) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of a column of lists; one row is looked at where the type does not fix the length."""
    import pyarrow as pa

    kind = field.type
    if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return (rows,), np.dtype("O")
    dtype = np.dtype(kind.value_type.to_pandas_dtype())
    if pa.types.is_fixed_size_list(kind):
        return (rows, kind.list_size), dtype
    first = next(file.iter_batches(batch_size=1, columns=[field.name]), None)
    return (rows, len(first[0][0]) if first is not None and first[0][0].is_valid else 0), dtype


def _parquet_array(path: Path, name: str) -> NDArray[Any]:
    """A column as an array; texts as class or subdomain become numbers into their sorted names."""
    file = _parquet(path)
    own = NAMES.get(name, name)
    column = next((n for n in LABELS if n in file.schema_arrow.names), own) if own == "y" else own
    try:
        values = file.read(columns=[column]).column(0).combine_chunks()
    except (OSError, ValueError, MemoryError) as error:  # pyarrow's own are of these
        raise _broken(path, "Parquet") from error
    values = values.fill_null("") if name == "split" else values
    if not name.startswith("z_") and name not in (*COLUMNS, *NAMES, "y"):
        return values.to_pandas().to_numpy(dtype=object)
    if values.null_count:
        raise UserError(
            f"{path.name}: the column '{column}' has {values.null_count} empty rows: fill or drop them."
        )
    if name.startswith("z_"):
        (_, width), _ = _width(file, file.schema_arrow.field(name), len(values))
        flat = values.flatten()
        if (
            flat.null_count
            or len(flat) != len(values) * width
            or (np.diff(_ends(values, width)) != width).any()
        ):
            raise UserError(f"{path.name}: {name} needs {width} numbers in every row, as in the first.")
        return flat.to_numpy(zero_copy_only=False).reshape(len(values), width)
    array = values.to_numpy(zero_copy_only=False)
    array = array if array.dtype.kind in "iu" else array.astype(str)
    if own not in NAMES.values():
        return array
    names = np.unique(array)
    return names.astype(str) if name in NAMES else np.searchsorted(names, array)


def _ends(values: Any, width: int) -> NDArray[np.int64]:
    """Where each row's list begins and the last one ends."""
    if hasattr(values, "offsets"):
        return np.asarray(values.offsets)
    return np.arange(len(values) + 1) * width


def _parquet(path: Path) -> Any:
    import pyarrow.parquet as parquet

    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise _broken(path, "Parquet") from error


def _broken(path: Path, kind: str) -> UserError:
    return UserError(f"{path.name} cannot be read as {kind}: it is broken or cut short.")


LATENT_FILES: dict[str, LatentFile] = {
    ".npz": LatentFile(
        "NumPy archive", "Arrays z_<layer>, y, class_names … (method §7).", npz.headers, npz.array
    ),
    ".safetensors": LatentFile(
        "safetensors",
        "Tensors z_<layer>, y …; lists of texts (class_names, split, id …) as JSON in the header.",
        _tensor_headers,
        _tensor,
    ),
    ".parquet": LatentFile(
        "Parquet table",
        "A row an item: z_<layer> as lists of floats, label (or y) and subdomain as texts or numbers.",
        _parquet_headers,
        _parquet_array,
    ),
}


def holds_latents(path: Path) -> bool:
    """Whether a bank folder, or a file of latents; a Parquet table without z_<layer> is one of items."""
    if path.is_dir():
        return (path / "manifest.json").is_file() and (path / "index.parquet").is_file()
    if path.suffix != ".parquet" or not path.is_file():
        return path.suffix in LATENT_FILES
    return any(name.startswith("z_") for name in _parquet(path).schema_arrow.names)
