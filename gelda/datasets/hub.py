"""Hugging Face `datasets`: a folder made by `save_to_disk`, or a name on the Hub (extra `hub`)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd

from gelda import columns as further
from gelda import media
from gelda.datasets.assemble import SPLIT_NAMES, Raw
from gelda.datasets.items import text_uri
from gelda.datasets.options import SourceOptions
from gelda.datasets.tables import chosen
from gelda.errors import UserError
from gelda.paths import inside, permitted

PREFIX = "hf:"
MEDIA = {"Image": "image", "Audio": "audio"}
PLAIN = ("Value", "ClassLabel")  # features with one value an item


def recognises(path: str) -> bool:
    """`hf:org/name`, `hf:org/name:config`, or a folder that `save_to_disk` wrote."""
    return path.startswith(PREFIX) or any(
        (Path(path) / name).is_file() for name in ("dataset_dict.json", "state.json")
    )


def read(path: str, options: SourceOptions) -> Raw:
    """All splits; items are the first column of pictures or sound, else the column of texts."""
    root = path if path.startswith(PREFIX) else str(permitted(path))
    splits = opened(root)
    features = next(iter(splits.values())).features
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    asked = options.columns
    usual = {
        "path": next((n for n, kind in kinds.items() if kind in MEDIA), None) if not asked.text else None,
        "label": next((n for n, kind in kinds.items() if kind == "ClassLabel"), None),
    }
    asked = asked.model_copy(update={n: v for n, v in usual.items() if getattr(asked, n) is None and v})
    readable = [n for n in kinds if n == asked.path or kinds[n] not in MEDIA]
    columns, notes = chosen(asked, readable, path)
    item = columns.pop("path", None) or columns["text"]
    columns.pop("text", None)
    if asked.split is None:
        columns.pop("split", None)  # the data set's own splits are meant
    kind = MEDIA.get(kinds[item], "text")
    if asked.path and kind == "text":
        raise UserError(f"The column '{item}' of {path} holds no pictures or sound, but {kinds[item]}.")
    parts = []
    used = {*columns.values(), item}
    plain = [n for n in kinds if kinds[n] in PLAIN and n not in used]
    more = [n for n in plain if all(n in data.features for data in splits.values())][: further.MOST]
    for split, data in splits.items():
        wanted = [*columns.values(), *([item] if kind == "text" else []), *more]
        table = data.select_columns(wanted).to_pandas()
        rows = pd.DataFrame({ours: _values(table[name], features[name]) for ours, name in columns.items()})
        known = {name: _names(table[name], features[name]) for name in more}
        rows = rows.assign(**further.taken(known, ()))
        where = [f"{split}/{quote(item, safe='')}/{row}" for row in range(len(table))]
        rows["uri"] = (
            [text_uri(str(text)) for text in table[item]] if kind == "text" else [f"hf:{w}" for w in where]
        )
        rows["id"] = rows["id"] if "id" in rows else [f"{split}-{row:07d}" for row in range(len(table))]
        if "split" not in rows and (len(splits) > 1 or split.lower() in SPLIT_NAMES):
            rows["split"] = split if split.lower() in SPLIT_NAMES else ""
            if split.lower() not in SPLIT_NAMES:
                notes.append(f"The part '{split}' is neither train, valid nor test: its items have no split.")
        parts.append(rows)
    name = path.removeprefix(PREFIX) if path.startswith(PREFIX) else Path(root).name
    return Raw(name, kind, root, pd.concat(parts, ignore_index=True), files=False, notes=tuple(notes))


def decode(kind: str, root: str, rest: str) -> Any:
    """The item "split/column/row" of the data set at `root`."""
    split, column, row = rest.split("/")
    stored = opened(root)[split][int(row)][unquote(column)]
    name = stored.get("path") or f"row {row} of {split}"
    content = stored.get("bytes")
    if content is None:
        content = inside(_cache() if root.startswith(PREFIX) else root, name)
    load = media.load_image if kind == "image" else media.load_clip
    return load(content, name=Path(name).name)


@lru_cache(maxsize=2)
def opened(root: str) -> dict[str, Any]:
    """Split → data set, its media columns left undecoded (`datasets` would want other decoders than ours)."""
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            "Reading Hugging Face data sets needs the package datasets: pip install 'gelda[hub]'."
        ) from error
    datasets.disable_progress_bars()
    try:
        if root.startswith(PREFIX):
            permitted(_cache())
            name, _, config = root.removeprefix(PREFIX).partition(":")
            data = datasets.load_dataset(name, config or None)
        else:
            data = datasets.load_from_disk(root)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise UserError(
            f"There is no data set '{root.removeprefix(PREFIX)}' on the Hub that may be read."
        ) from error
    except ConnectionError as error:
        raise UserError(
            f"The Hub cannot be reached for '{root.removeprefix(PREFIX)}', and it is not in the cache: "
            "give a folder made by save_to_disk, which works offline."
        ) from error
    except (
        datasets.exceptions.DatasetsError,
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        TypeError,
    ) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{root} cannot be read as a data set: {reason}") from error
    splits = dict(data) if isinstance(data, datasets.DatasetDict) else {"all": data}
    for split, part in splits.items():
        for column, feature in part.features.items():
            if type(feature).__name__ in MEDIA:
                splits[split] = splits[split].cast_column(column, type(feature)(decode=False))
    return splits


def _values(values: pd.Series, feature: Any) -> pd.Series:
    """A column as texts ("" where empty), segment times as they are; numbers of a ClassLabel as its names."""
    named = _names(values, feature)
    return named.astype("str").where(named.notna(), "") if named.dtype.kind != "f" else named


def _names(values: pd.Series, feature: Any) -> pd.Series:
    """A column as it is; numbers of a ClassLabel as its names."""
    names = getattr(feature, "names", None)
    if not names:
        return values
    numbers = values.fillna(-1).astype(np.int64)
    return pd.Series(
        np.array([*names, ""], dtype=object)[numbers.where(numbers >= 0, len(names))], dtype="str"
    )


def _cache() -> Path:
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME)
