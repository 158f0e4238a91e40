"""What a person looks at on Data and Latents: items of a source or ready latents, read once and kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from gelda import datasets
from gelda.artifacts import content_key
from gelda.datasets.hub import PREFIX
from gelda.datasets.options import SourceOptions
from gelda.datasets.source import Source
from gelda.errors import UserError
from gelda.latent_files import holds_latents
from gelda.manifest import Manifest
from gelda.paths import home, permitted
from gelda.ready import ReadyBank, open_bank

STAMPED = 1_000  # folders inside a folder whose change is noticed


@dataclass(frozen=True)
class Look:
    """Items, and where they are latents already, the bank; callers must not write to it."""

    path: str
    key: str
    source: Source
    bank: ReadyBank | None = None

    @cached_property
    def leaks(self) -> list[str]:
        """What two splits share although they must not, as far as names tell."""
        return datasets.find_leaks(self.source)

    @property
    def table(self) -> pd.DataFrame:
        return self.source.manifest.table

    @property
    def names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Of the classes and of the subdomains."""
        return self.source.manifest.class_names, self.source.manifest.subdomain_names

    @property
    def shown(self) -> bool:
        """Whether there is something to see or hear of an item."""
        return bool(self.source.media)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the data name, in their usual order."""
        present = set(self.table["split"].unique()) if "split" in self.table else set()
        return tuple(name for name in ("train", "valid", "test") if name in present)

    def rows(self, part: str, label: int = -1, subdomain: int = -1) -> np.ndarray:
        """Row numbers of a split (or of "all"), a class and a subdomain (or of -1, all)."""
        kept = np.full(len(self.table), True)
        for column, wanted, every in (
            ("split", part, "all"),
            ("label", label, -1),
            ("subdomain", subdomain, -1),
        ):
            if wanted != every:
                kept &= self.table[column].to_numpy() == wanted
        return np.flatnonzero(kept)

    def counts(self, rows: np.ndarray) -> np.ndarray:
        """Items per cell [C, S]."""
        made = np.zeros([len(names) for names in self.names], np.int64)
        np.add.at(made, (self.table["label"].to_numpy()[rows], self.table["subdomain"].to_numpy()[rows]), 1)
        return made


def look(path: str, options: SourceOptions) -> Look:
    """Open a path, or a demo by its name; a UserError says what is wrong with it."""
    given = options.model_dump_json(exclude_defaults=True)
    if not path.startswith(PREFIX):
        return _look(path, given, _stamp(path))
    found = _of_hub(path, given)
    if isinstance(found, str):
        raise UserError(found)
    return found


def again() -> None:
    """Forget what was read: something deep inside a folder has changed."""
    _look.clear()
    _of_hub.clear()


def _named(path: str) -> bool:
    """Whether it is no path: a demo, or a data set of the Hub."""
    return path in datasets.DATASETS or path.startswith(PREFIX)


def _stamp(path: str) -> tuple[int, ...]:
    """Changes when a file is written again, or a folder or one inside it gains or loses an entry."""
    if _named(path):
        return ()
    real = permitted(path)
    if not real.exists():
        return ()
    own = real.stat()
    inner: list[int] = []
    if real.is_dir():
        folders = sorted(entry for entry in real.iterdir() if entry.is_dir())[:STAMPED]
        inner = [folder.stat().st_mtime_ns for folder in folders]
    return own.st_mtime_ns, own.st_size, *inner


@st.cache_resource(max_entries=4, show_spinner="Reading the items")
def _look(path: str, options: str, stamp: tuple[int, ...]) -> Look:
    if not _named(path) and holds_latents(permitted(path)):
        return _of_bank(path, open_bank(permitted(path)))
    source = datasets.open_source(path, SourceOptions(**json.loads(options)))
    return Look(path, content_key(path, options, stamp), source)


@st.cache_resource(max_entries=4, ttl=60, show_spinner=False)
def _of_hub(path: str, options: str) -> Look | str:
    """A data set of the Hub, or why there is none: kept for a minute, for the Hub is slow to say no."""
    try:
        return _look(path, options, ())
    except UserError as error:
        return str(error)


def _of_bank(path: str, bank: ReadyBank) -> Look:
    """A bank's items as those of a source."""
    items = bank.items
    columns: dict[str, Any] = {
        "id": bank.ids,
        "uri": "" if bank.uris is None else bank.uris,
        "label": items.label,
        "subdomain": items.subdomain,
        "group": items.group,
        "split": items.split,
    }
    manifest = Manifest(pd.DataFrame(columns), items.class_names, items.subdomain_names, bank.name)
    media = bank.media if bank.uris is not None else ""
    decode = datasets.source_decoder(media, bank.root)
    notes = (*([bank.note] if bank.note else []), *bank.notes)
    source = Source(bank.name, media, manifest, bank.root, decode, (), notes, items.grouped, bank.axes)
    return Look(path, bank.key, source, bank)


def banks() -> list[Path]:
    """Folders of the workspace's banks, newest first."""
    found = [file.parent for file in (home() / "banks").glob("*/manifest.json")]
    return sorted(found, key=lambda folder: -folder.stat().st_mtime)
