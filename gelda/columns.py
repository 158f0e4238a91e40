"""Further columns of an index: what a person's data say of an item beside its class and subdomain.

They are for looking (colour, filters, tables, exports) and enter neither training nor the key of anything
trained (a single file of latents, though, is keyed by all of its bytes). In manifests, banks and points they
are called "column.<name>", so that none can pass for one of ours ("label", "kept"), and each is of one of
three kinds: numbers (NaN where there is none), dates or texts ("" where there is none).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from gelda.artifacts import content_key

PREFIX = "column."
MOST = 32  # kept of one index
LONGEST = 200  # characters of a text
LONGEST_NAME = 60
# what people write where there is no number
MISSING = ("", "-", "na", "n/a", "nan", "nat", "none", "null")
_CODE = r"[+-]?0\d|[^.eE]{16,}"  # "007" is a name, and so is what a float cannot hold
_DATE = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?"


def own(table: pd.DataFrame) -> list[str]:
    """Names of a table's further columns."""
    return [name for name in table.columns if str(name).startswith(PREFIX)]


def title(name: str) -> str:
    """What a person's data call a column."""
    return name.removeprefix(PREFIX)


def taken(values: Mapping[Any, Any], without: Iterable[Any]) -> dict[str, Any]:
    """Columns of a table that are none of ours (`without`), under the names that they have here."""
    used = set(without)
    return {f"{PREFIX}{name}": values[name] for name in values if name not in used}


def tidied(table: pd.DataFrame, notes: list[str] | None = None) -> pd.DataFrame:
    """A table's further columns [N], each of one kind, MOST at most; what is left out is noted.

    A column without any value, or with lists, bytes or other things that are no single value, is none. Noted
    are also dates that there are not (a 30th of February): they are left empty, and texts where all are.
    """
    kept: dict[str, pd.Series] = {}
    beyond, lost = [], []
    for name in own(table):
        values = _typed(table[name])
        if values is None:
            continue
        plain = " ".join(title(name).split())[:LONGEST_NAME].strip()
        if not plain or f"{PREFIX}{plain}" in kept:
            plain = f"{plain or 'column'} ({len(kept) + 1})"
        if len(kept) < MOST:
            kept[f"{PREFIX}{plain}"] = values
            lost.append(_no_dates(plain, table[name], values))
        else:
            beyond.append(plain)
    if notes is not None and kept:
        notes.append(f"Further columns, for looking only: {', '.join(map(title, kept))}.")
    if notes is not None and beyond:
        notes.append(f"Left out, since {MOST} further columns are kept at most: {', '.join(beyond[:10])}.")
    if notes is not None:
        notes += filter(None, lost)
    return pd.DataFrame(kept, index=table.index)


def _no_dates(name: str, given: pd.Series, values: pd.Series) -> str:
    """What to say of a column of dates where some values cannot be read as one; "" where all can."""
    if kind(values) != "date":
        return ""
    text = given.astype("str").str.strip()
    gone = text[values.isna() & given.notna() & ~text.str.lower().isin(MISSING)]
    if gone.empty:
        return ""
    one = len(gone) == 1
    first = gone.iloc[0] if one else f"the first: {gone.iloc[0]}"
    return (
        f"Column {name}: {len(gone)} of {len(given)} values cannot be read as {'a date' if one else 'dates'} "
        f"({first}) and {'is' if one else 'are'} left empty: mend {'it' if one else 'them'} in the data."
    )


def joined(table: pd.DataFrame, further: pd.DataFrame | None) -> pd.DataFrame:
    """A table with further columns beside it, row for row."""
    if further is None:
        return table
    return pd.concat([table, further.set_index(table.index)], axis=1)


def filled(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose further columns of texts have "" in rows that came without them."""
    texts = {name: "" for name in own(table) if kind(table[name]) == "text"}
    return table.fillna(texts) if texts else table


def kind(values: pd.Series) -> str:
    """number, date or text."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return "date"
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return "number" if numeric else "text"


def key(table: pd.DataFrame | None) -> str:
    """Names the content of further columns; "" where there are none, as before they were kept."""
    if table is None or not own(table):
        return ""
    return content_key("columns", table[own(table)].to_csv(index=False))


def _typed(values: pd.Series) -> pd.Series | None:
    """A column as one of the three kinds; None where it holds no single values, or nothing at all."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    found = pd.api.types.infer_dtype(values, skipna=True)
    if found in ("boolean", "bool"):
        return values.astype("str").str.lower().where(values.notna(), "").astype("str")
    if found in ("integer", "floating", "mixed-integer-float", "decimal"):
        return _number(values)
    if found.startswith("date"):
        return _date(values)
    if found.startswith("timedelta"):
        return _number(pd.to_timedelta(values).dt.total_seconds())
    if found not in ("string", "mixed", "mixed-integer"):
        return None
    some = values[values.notna()]
    if found == "mixed" and not some.map(lambda value: isinstance(value, str | int | float)).all():
        return None
    text = values.astype("str").where(values.notna(), "").str.strip()
    return _read(text)


def _read(text: pd.Series) -> pd.Series | None:
    """Texts, or the numbers or dates that every one of them is."""
    different = pd.Series(text.unique(), dtype="str")
    said = different[~different.str.lower().isin(MISSING)]
    if said.empty:
        return None
    coded = said.str.fullmatch(f"({_CODE}).*").any()
    if not coded and pd.to_numeric(said, errors="coerce").notna().all():
        return _number(pd.to_numeric(text, errors="coerce"))
    dates = _date(text) if said.str.fullmatch(_DATE).all() else None
    if dates is not None:
        return dates
    long = text.str.len() > LONGEST
    return text.where(~long, text.str.slice(0, LONGEST - 1) + "…") if long.any() else text


def _number(values: pd.Series) -> pd.Series | None:
    plain = pd.to_numeric(values, errors="coerce").astype(np.float64)
    plain = plain.where(np.isfinite(plain))
    if plain.isna().all():
        return None
    whole = plain.notna().all() and bool((plain == np.rint(plain)).all()) and plain.abs().max() < 2**53
    return plain.astype(np.int64) if whole else plain


def _date(values: pd.Series) -> pd.Series | None:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        dates = values.dt.tz_localize(None)  # as written, wherever that was
    else:
        dates = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601").dt.tz_localize(None)
    return None if dates.isna().all() else dates.dt.as_unit("us")
