"""A zip does nothing outside its folder, and none that would is half unpacked."""

import struct
import zipfile
from pathlib import Path

import pytest
from media_fixtures import encoded, picture
from PIL import Image

from gelda.datasets import open_source, upload
from gelda.datasets.upload import unpack
from gelda.errors import UserError

PNG = encoded(Image.new("RGB", (4, 4)), "PNG")


def zipped(path: Path, files: dict[str, bytes], **options) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_of_pictures_opens_as_a_folder(tmp_path):
    files = {
        "pets/cat/1.png": PNG,
        "pets/dog/1.png": PNG,
        "__MACOSX/pets/cat/._1.png": b"",
        "pets/.DS_Store": b"",
    }
    archive = zipped(tmp_path / "a.zip", {**files, "pets/inner.zip": PNG, "pets/run.exe": b"x"})
    problems = unpack(archive, tmp_path / "out")
    assert {p.item: p.reason.split(",")[0] for p in problems} == {
        "pets/inner.zip": "is an archive within the archive",
        "pets/run.exe": "is neither a picture",
    }
    assert sorted(str(f.relative_to(tmp_path / "out")) for f in (tmp_path / "out").rglob("*.*")) == [
        "pets/cat/1.png",
        "pets/dog/1.png",
    ]
    assert open_source(tmp_path / "out" / "pets").manifest.class_names == ("cat", "dog")
    with pytest.raises(UserError, match="is there already"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["../evil.png", "a/../../evil.png", "/evil.png", "C:/evil.png", "..\\evil.png", "."]
)
def test_names_that_lead_outside(tmp_path, name):
    archive = zipped(tmp_path / "a.zip", {"good.png": PNG, name: PNG})
    with pytest.raises(UserError, match="leads out of the folder; nothing is unpacked"):
        unpack(archive, tmp_path / "sub" / "out")
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a/" + "x" * 300 + ".png", "has too long a name"),
        ("a/" * 600 + "x.png", "has too long a name"),
        ("good.png/below.png", "is there twice"),
        ("GOOD.png", "is there twice"),
        ("folder.png", "is there twice"),
    ],
)
def test_names_that_no_disk_takes_are_left_out(tmp_path, name, reason):
    archive = zipped(tmp_path / "a.zip", {"good.png": PNG, "folder.png/1.png": PNG, name: PNG})
    (problem,) = unpack(archive, tmp_path / "out")
    assert problem.reason.startswith(reason)
    assert len([f for f in (tmp_path / "out").rglob("*") if f.is_file()]) == 2


def test_links(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="'link.png' is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_bombs(tmp_path, monkeypatch):
    zeros = {f"{n}.png": bytes(20_000_000) for n in range(2)}
    bomb = zipped(tmp_path / "bomb.zip", zeros, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="grow .*-fold .* looks like a zip bomb"):
        unpack(bomb, tmp_path / "out")
    monkeypatch.setattr(upload, "FILES", 2)
    with pytest.raises(UserError, match="holds 3 files; the limit is 2"):
        unpack(zipped(tmp_path / "many.zip", {f"{n}.png": PNG for n in range(3)}), tmp_path / "out")
    monkeypatch.setattr(upload, "BYTES", 1000)
    with pytest.raises(UserError, match="would unpack to .* GB; the limit is"):
        unpack(zipped(tmp_path / "large.zip", {"1.png": bytes(2000)}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_size_that_lies(tmp_path):
    archive = zipped(tmp_path / "a.zip", {"1.png": bytes(100_000)}, compression=zipfile.ZIP_DEFLATED)
    data = archive.read_bytes()
    archive.write_bytes(data.replace(struct.pack("<I", 100_000), struct.pack("<I", 10)))
    with pytest.raises(UserError, match="damaged"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_zip_a_torn_one_and_one_without_items(tmp_path):
    whole = zipped(tmp_path / "whole.zip", {"1.png": PNG * 100}).read_bytes()
    (tmp_path / "torn.zip").write_bytes(whole[: len(whole) // 2])
    picture(tmp_path / "not.zip.png").rename(tmp_path / "not.zip")
    damaged = bytearray(whole)
    damaged[60] ^= 255
    (tmp_path / "damaged.zip").write_bytes(damaged)
    no_text = zipped(tmp_path / "name.zip", {"ü.png": PNG})
    no_text.write_bytes(no_text.read_bytes().replace("ü".encode(), b"\xff\xfe"))
    for name in ("torn.zip", "not.zip", "damaged.zip", "name.zip"):
        with pytest.raises(UserError, match=f"{name} cannot be unpacked"):
            unpack(tmp_path / name, tmp_path / "out")
    with pytest.raises(UserError, match="holds no pictures"):
        unpack(zipped(tmp_path / "a.zip", {"a.exe": b"x"}), tmp_path / "out")
    twice = zipped(tmp_path / "twice.zip", {"a.png": PNG, "A.png": PNG})
    assert [p.reason for p in unpack(twice, tmp_path / "out")] == ["is there twice"]
