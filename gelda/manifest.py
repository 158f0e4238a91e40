"""The manifest: one row an item, before any model has seen it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gelda.artifacts import content_key, read_json, read_table, write_json, write_table
from gelda.errors import UserError

COLUMNS = ("id", "uri", "label", "subdomain", "group")
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Manifest:
    """Items with a label, a subdomain and a group (what must not be split apart: an image, a speaker).

    `table` columns: id str (unique), uri str, label int [0, C), subdomain int [0, S), group str; and where
    the data come with a split of their own, split str: "train", "valid", "test" or "" (not said). Further
    columns (see `gelda.columns`) are no part of its key.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    subdomain_names: tuple[str, ...]
    dataset: str

    def __post_init__(self) -> None:
        missing = [name for name in COLUMNS if name not in self.table.columns]
        if missing:
            raise UserError(f"The manifest of '{self.dataset}' lacks the column(s) {', '.join(missing)}.")
        if self.table["id"].duplicated().any():
            twice = self.table.loc[self.table["id"].duplicated(), "id"].iloc[0]
            raise UserError(f"The manifest of '{self.dataset}' holds the id '{twice}' more than once.")
        for column, names in (("label", self.class_names), ("subdomain", self.subdomain_names)):
            outside = ~self.table[column].between(0, len(names) - 1)
            if outside.any():
                row = self.table.loc[outside].iloc[0]
                raise UserError(
                    f"Item '{row['id']}' of '{self.dataset}' has {column} {row[column]}, "
                    f"but there are {len(names)} names for it."
                )

    def __len__(self) -> int:
        return len(self.table)

    def key(self) -> str:
        """Content key over rows and names."""
        own = [name for name in ("split",) if name in self.table.columns]
        rows = self.table[[*COLUMNS, *own]].to_csv(index=False)
        return content_key(rows, self.class_names, self.subdomain_names, self.dataset)

    def save(self, folder: Path) -> None:
        """Write `manifest.parquet` and `names.json` into a folder."""
        write_table(folder / "manifest.parquet", self.table)
        names = {
            "classes": self.class_names,
            "subdomains": self.subdomain_names,
            "dataset": self.dataset,
        }
        write_json(folder / "names.json", names)

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read what `save` wrote."""
        names = read_json(folder / "names.json")
        table = read_table(folder / "manifest.parquet")
        return cls(table, tuple(names["classes"]), tuple(names["subdomains"]), names["dataset"])
