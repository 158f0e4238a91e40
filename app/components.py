"""Components drawn by scripts of our own (assets/), and the order of the messages that they are sent."""

from __future__ import annotations

import hashlib
import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

ASSETS = Path(__file__).resolve().parent.parent / "assets"
Data = TypeVar("Data", bytes, dict[str, Any])


def declare(name: str, root: str, styles: str, *scripts: str) -> Callable[..., Any]:
    """A component whose root is a div of class `root`; files are named from assets/, scripts are joined."""
    read = lambda file: (ASSETS / file).read_text(encoding="utf-8")  # noqa: E731
    return st.components.v2.component(
        f"gelda_{name}",
        html=f'<div class="{root}"></div>',
        css=read(styles),
        js="".join(read(script) for script in ("order.js", *scripts)),
    )


def numbered(key: str, data: Data) -> Data:
    """A message with its number: larger than that of any other before it, the same where it says the same.

    A browser may be handed the older of two messages last, and must know (assets/order.js). Bytes get the
    number as a float64 at their end, JSON as ``number``.
    """
    said = data if isinstance(data, bytes) else json.dumps(data).encode()
    digest, (last, number) = hashlib.blake2b(said).digest(), st.session_state.get(f"{key}-message", (b"", 0))
    if digest != last:  # of the clock: a server that was started anew must not begin below the one before
        number = max(time.time_ns() // 1_000, number + 1)
        st.session_state[f"{key}-message"] = digest, number
    return data + struct.pack("<d", number) if isinstance(data, bytes) else {**data, "number": number}


def publish(content: bytes, name: str) -> str:
    """Address at which the browser finds some bytes, named by its content; "" without a server (tests)."""
    from streamlit.runtime import exists, get_instance

    kind = "application/octet-stream"
    return get_instance().media_file_mgr.add(content, kind, coordinates=f"gelda-{name}") if exists() else ""
