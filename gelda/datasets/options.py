"""SourceOptions: how a person's files are read; forms and flags are made from them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Frozen, and refusing unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Columns(Options):
    """What a table calls its columns; empty: guessed from the usual names, and said."""

    id: str | None = Field(None, title="Id", description="A name of its own for every item.")
    path: str | None = Field(None, title="File", description="Path of a picture or recording, or the media.")
    text: str | None = Field(None, title="Text", description="The text itself, where items are texts.")
    label: str | None = Field(None, title="Class", description="The class.")
    subdomain: str | None = Field(None, title="Subdomain", description="Language, style, camera …")
    group: str | None = Field(None, title="Group", description="What a split must not part: a speaker.")
    split: str | None = Field(None, title="Split", description="train, valid or test.")
    start: str | None = Field(None, title="Start", description="Start of a segment, in seconds.")
    end: str | None = Field(None, title="End", description="End of a segment, in seconds.")


class SourceOptions(Options):
    """How a source is read."""

    reader: str = Field("auto", title="Kind of data", description="auto, or the name of a reader.")
    beside: tuple[str, ...] = Field(
        (), title="Further corpora", description="EmoBox manifests or folders that are read as one with this."
    )
    root: str | None = Field(
        None, title="Root folder", description="Folder that paths in a list start from; empty: found."
    )
    columns: Columns = Columns()
    layout: str | None = Field(
        None,
        title="Levels of folders",
        description="Of an image folder, from above: class, domain, split, group or *, as 'domain/class'.",
    )
    label_map: str | dict[str, str | None] | None = Field(
        None,
        title="Label map",
        description="Raw label → class, as a JSON file or a table; null leaves the label's items out.",
    )
    emotions: Literal["own", "joined", "four"] = Field(
        "own",
        title="Emotions' names",
        description="joined: 'happy', 'Happiness' and 'joy' are one; four: anger, happiness, neutral and "
        "sadness only.",
    )
    classes: tuple[str, ...] = Field((), title="Classes", description="Keep these only; empty keeps all.")
    complete: bool = Field(
        False, title="Complete subdomains", description="Leave out subdomains that lack one of the classes."
    )
    class_names: str | None = Field(
        None, title="File of class names", description="One a line, for lists that number their classes."
    )
    subdomain: str | None = Field(
        None, title="Subdomain of all items", description="Where the data name none."
    )
    group_pattern: str | None = Field(
        None,
        title="Group inside the id",
        description="Regular expression whose first bracket is the group: 'emodb-(..)' finds the speaker.",
    )
    fold: int | None = Field(None, ge=1, title="Fold", description="Fold of an EmoBox manifest; empty: 1.")
    split_files: dict[str, str] = Field(
        {}, title="Files of other splits", description="Split → list, table or manifest beside this one."
    )
    imbalance: float = Field(
        100.0, ge=1, le=500, title="Imbalance", description="Of the cut of CIFAR-100; 1 keeps all."
    )
    test_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        title="Share for testing",
        description="Groups split off where the data name no split; 0: none.",
    )
    seed: int = Field(0, ge=0, title="Seed", description="Of the split by group.")
