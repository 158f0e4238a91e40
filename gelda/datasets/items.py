"""From a uri to the item it names: a file under a root, or what another scheme holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from gelda import media
from gelda.datasets.demos import DATASETS
from gelda.paths import inside


@dataclass(frozen=True)
class ItemDecoder:
    """decode(uri) of a `Source`: picklable, and made from what a bank's manifest holds as well.

    media: one of `media.KINDS`; root: the folder that relative uris start from.
    """

    media: str
    root: str

    def __call__(self, uri: str) -> Any:
        """An RGB PIL image, a `media.Clip`, a str, or float32 [channels, height, width] of drawn data."""
        scheme, separator, rest = uri.partition(":")
        if separator and scheme in SCHEMES:
            return SCHEMES[scheme](self, rest)
        if separator and scheme in DATASETS:
            return DATASETS[scheme].read([uri])[0]
        path, start, end = media.segment_of(uri) if self.media == "audio" else (uri, None, None)
        return media.load(self.media, inside(self.root, path), start, end)


def source_decoder(kind: str, root: str) -> ItemDecoder:
    """How the items of a source or a bank are decoded, by its `media` and `root`."""
    return ItemDecoder(kind, root)


def text_uri(text: str) -> str:
    """A uri that is the text itself (RFC 2397), so that a bank needs no other file to show it."""
    return f"data:,{quote(text, safe=' ')}"


def _cifar(decoder: ItemDecoder, rest: str) -> Any:
    from gelda.datasets import cifar

    return cifar.decode(decoder.root, rest)


def _hub(decoder: ItemDecoder, rest: str) -> Any:
    from gelda.datasets import hub

    return hub.decode(decoder.media, decoder.root, rest)


SCHEMES: dict[str, Callable[[ItemDecoder, str], Any]] = {
    "data": lambda decoder, rest: unquote(rest.removeprefix(",")),
    "cifar": _cifar,
    "hf": _hub,
}
