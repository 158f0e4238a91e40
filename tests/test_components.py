"""Components: the order of what they are sent."""

from __future__ import annotations

import re
import struct

import pytest
import streamlit as st

from app import components

FILES = sorted(components.ASSETS.rglob("*.js"))


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch) -> dict:
    held: dict = {}
    monkeypatch.setattr(st, "session_state", held)
    return held


def test_another_message_has_a_larger_number_and_the_same_one_keeps_its_own() -> None:
    numbers = [components.numbered("a", {"x": x})["number"] for x in (1, 1, 2, 1, 1)]
    assert numbers[0] == numbers[1] < numbers[2] < numbers[3] == numbers[4]
    assert components.numbered("a", {"x": 1})["x"] == 1


def test_bytes_carry_their_number_at_the_end() -> None:
    first, again, other = (components.numbered("a", data) for data in (b"one", b"one", b"two"))
    assert first == again and first[:3] == b"one" and other[:3] == b"two"
    numbers = [struct.unpack("<d", data[3:])[0] for data in (first, other)]
    assert numbers[0] < numbers[1] and numbers[1] == int(numbers[1])


def test_a_server_that_was_started_anew_goes_on_above(session: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    before = components.numbered("a", {"x": 1})["number"]
    session.clear()
    assert components.numbered("a", {"x": 1})["number"] > before


@pytest.mark.parametrize(
    "file", [file for file in FILES if "export default" in file.read_text()], ids=lambda file: file.stem
)
def test_every_script_leaves_out_what_is_outdated(file) -> None:
    """Called with the older of two messages last, a component must not go back to it."""
    body = file.read_text().split("export default", 1)[1]
    assert re.search(r"if \(outdated\(root, data\)\) return;", body)
