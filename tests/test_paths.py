"""No list, link or setting opens a file that it should not."""

import os

import pytest

from gelda.errors import UserError
from gelda.paths import assets, data_roots, home, inside, permitted


@pytest.mark.parametrize(
    "relative", ["../secret.txt", "a/../../secret.txt", "{outside}/secret.txt", "link/secret.txt"]
)
def test_a_path_must_not_lead_out_of_its_root(tmp_path, relative):
    root, outside = tmp_path / "data", tmp_path / "other"
    root.mkdir(), outside.mkdir()
    (outside / "secret.txt").write_text("x")
    (root / "link").symlink_to(outside)
    with pytest.raises(UserError, match="points outside its folder"):
        inside(root, relative.format(outside=outside))


def test_paths_inside_are_followed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert inside(tmp_path, "b/../a/x.jpg") == tmp_path / "a" / "x.jpg"
    assert inside(tmp_path, str(tmp_path / "a" / "x.jpg")) == tmp_path / "a" / "x.jpg"


def test_data_roots_limit_what_is_opened(tmp_path, monkeypatch):
    assert data_roots() == () and permitted("/") == permitted("/")
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    (one / "link").symlink_to(two)
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(one))
    assert permitted(one / "x") == one / "x" and permitted(home() / "banks") == home() / "banks"
    for path in (two, one / "link", one / ".." / "two"):
        with pytest.raises(UserError, match="outside the folders that may be opened"):
            permitted(path)
    monkeypatch.setenv("GELDA_DATA_ROOTS", os.pathsep.join([str(one), str(two)]))
    assert inside(one, "link/x.jpg") == two / "x.jpg"


def test_who_may_only_look_sees_the_workspace_and_what_ships(tmp_path, monkeypatch):
    (tmp_path / "private").mkdir()
    monkeypatch.setenv("GELDA_READONLY", "1")
    assert permitted(home() / "banks") and permitted(assets() / "runs")
    (home() / "banks").mkdir(parents=True)
    (home() / "banks" / "link").symlink_to(tmp_path / "private")
    for path in (tmp_path / "private", home() / "banks" / "link", "/"):
        with pytest.raises(UserError, match="looking only: name the folders .* in GELDA_DATA_ROOTS"):
            permitted(path)
    monkeypatch.setenv("GELDA_DATA_ROOTS", str(tmp_path / "private"))
    assert permitted(tmp_path / "private") == tmp_path / "private"
    monkeypatch.delenv("GELDA_DATA_ROOTS")
    monkeypatch.setenv("GELDA_READONLY", "0")
    assert permitted("/") == permitted("/")


@pytest.fixture(scope="module")
def shell():
    """Set before a test's own workspace is, as by whoever starts the tests."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("GELDA_DATA_ROOTS", "GELDA_SLOTS", "GELDA_READONLY"):
            patched.setenv(name, "/nowhere")
        yield


def test_what_the_shell_has_set_does_not_reach_a_test(shell):
    assert [name for name in os.environ if name.startswith("GELDA_")] == ["GELDA_HOME"]


def test_a_path_that_is_none(tmp_path):
    with pytest.raises(UserError, match="not a path"):
        inside(tmp_path, "a\0b")
