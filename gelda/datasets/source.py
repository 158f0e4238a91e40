"""Source: items on disk as a manifest, how one of them is decoded, and what could not be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gelda.manifest import Manifest

AXES = ("class", "subdomain")


@dataclass(frozen=True)
class Problem:
    """An item that a folder or a list names and that cannot be used: what it is called, and why."""

    item: str
    reason: str


@dataclass(frozen=True)
class Source:
    """Items to be encoded.

    decode(uri) is picklable (decode workers are spawned) and gives an RGB PIL image, a `media.Clip` at the
    file's own rate, or a str; a UserError says why an item cannot be decoded. `uri` is relative to `root`;
    a segment of a recording is a media fragment, "wav/a.wav#t=1.25,3.5" (W3C Media Fragments, seconds).
    problems: items left out of the manifest. notes: what was merged, mapped or assumed, one sentence each.
    grouped: whether items carry a group (speaker) of their own; else every item is one.
    axes: what the data call a class and a subdomain: ("emotion", "language").
    """

    name: str
    media: str  # one of media.KINDS
    manifest: Manifest
    root: str
    decode: Callable[[str], Any]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = field(default=())
    grouped: bool = False
    axes: tuple[str, str] = AXES
