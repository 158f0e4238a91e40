"""Losses of a run that is going: what is read of metrics.jsonl, and what is drawn of it."""

import json

import pytest

from app import curve_charts
from app.palette import THEMES
from gelda import curves


def write(path, rows, tail=""):
    lines = [json.dumps({"stage": stage, "step": step, "loss": loss}) for stage, step, loss in rows]
    (path / "metrics.jsonl").write_text("\n".join([*lines, tail]))


def test_nothing_yet_is_an_empty_frame(tmp_path):
    assert curves.losses(tmp_path).empty
    (tmp_path / "metrics.jsonl").write_text("")
    assert curves.losses(tmp_path).empty


def test_a_training_that_begins_again_has_a_curve_of_its_own_and_a_half_line_none(tmp_path):
    rows = [("generate/seed0", 10, 0.9), ("generate/seed0", 20, 0.8), ("generate/seed0", 30, 0.6)]
    rows += [("generate/seed1", 10, 0.95), ("generate/seed0", 10, 0.7), ("generate/seed0", 20, 0.65)]
    write(tmp_path, rows, '{"stage": "generate/seed0", "st')
    frame = curves.losses(tmp_path)
    assert list(frame["stage"].unique()) == ["generate/seed1", "generate/seed0"], "what goes on now is last"
    last = frame[frame["stage"] == "generate/seed0"]
    assert last["step"].tolist() == [10, 20] and last["loss"].tolist() == [0.7, 0.65]


def test_lines_that_are_no_losses_are_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '[1]\n{"stage": "a"}\n{"stage": "a", "step": 1, "loss": 2.5}\nx\n'
    )
    assert curves.losses(tmp_path).to_dict("records") == [{"stage": "a", "step": 1, "loss": 2.5}]


def test_a_long_curve_is_thinned_and_keeps_its_end(tmp_path, monkeypatch):
    write(tmp_path, [("generate/seed0", step, 1 / step) for step in range(1, 2001)])
    frame = curves.losses(tmp_path)
    assert len(frame) <= curves.MOST_POINTS and frame["step"].iloc[-1] == 2000
    monkeypatch.setattr(curves, "MOST_READ", 1000)
    tail = curves.losses(tmp_path)
    assert 0 < len(tail) < 20 and tail["step"].iloc[-1] == 2000 and tail["step"].is_monotonic_increasing


@pytest.mark.parametrize("name", THEMES)
def test_the_current_seed_stands_out(tmp_path, name):
    write(tmp_path, [(f"generate/seed{s}", step, 1.0 - 0.1 * step) for s in (0, 1) for step in (1, 5)])
    figure = curve_charts.losses(frame := curves.losses(tmp_path), name, 500, curve_charts.of_run(frame, 3))
    assert [t.line.color for t in figure.data] == [THEMES[name].quiet, THEMES[name].accent]
    assert figure.layout.title.text == "The denoiser’s loss fell from 0.90 to 0.50"
    assert "seed 2 of 3" in figure.layout.title.subtitle.text
    assert tuple(figure.layout.xaxis.range) == (0, 500)
