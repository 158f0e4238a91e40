"""How long maps take: by the newest of like size, without the compiling that only the first waits for."""

from pathlib import Path

import pytest

from app import words
from gelda import map_costs
from gelda.artifacts import write_json
from gelda.projection import MapInfo


def made(shown: int, seconds: float, compiling: float | None = 0.0, aligned: bool = False) -> MapInfo:
    return MapInfo(
        "key", "pool", "Pool", "all", "", 0.9, 15, 0.1, 0, shown, shown, True, "done", "", Path("x.json"),
        seconds=seconds, compiling=compiling, aligned=aligned,
    )  # fmt: skip


def test_compiling_counts_once_and_maps_of_like_size_say_the_rate():
    known = [made(3000, 4.0), made(3100, 6.0, 20.0), made(100_000, 300.0), made(2900, 5.0, 12.0)]
    assert map_costs.alone([3000], known) == (12 + 4, 20 + 6)
    assert map_costs.alone([3000] * 10, known) == (12 + 40, 20 + 60)
    assert map_costs.alone([6000], [made(3000, 4.0)])[1] == map_costs.COMPILING[1] + 8, "twice as many points"


def test_layers_laid_out_together_rest_on_maps_that_were():
    known = [made(3000, 4.0), made(3000, 2.0, aligned=True)]
    low, high = map_costs.COMPILING
    assert map_costs.together(3000, 9, known) == (low + 18, high + 18)
    assert map_costs.together(3000, 9, known[:1]) == (low + 9 * 1.5 * 4, high + 9 * 1.5 * 4)


def test_without_any_a_wide_range_is_told():
    low, high = map_costs.alone([500], [])
    assert 5 < low < 0.3 * high


def test_maps_that_do_not_tell_compiling_apart_are_left_out(gelda_home):
    for name, value in {"a": made(9, 75.0, None), "b": made(9, 5.0, 11.0)}.items():
        fields = {k: v for k, v in vars(value).items() if k != "path"}
        write_json(gelda_home / "runs" / "r" / "maps" / f"{name}.json", {"format": 1, **fields})
    (gelda_home / "runs" / "r" / "maps" / "c.json").write_text("{")
    assert [m.seconds for m in map_costs.timed()] == [5.0]


@pytest.mark.parametrize("low, high, said", [
    (8, 9, "about 9 s"), (16, 26, "16 s to 30 s"), (52, 68, "about 1 min 10 s"),
    (9, 90, "9 s to 1 min 30 s"),

])  # fmt: skip
def test_a_guess_is_told_as_wide_as_it_is(low, high, said):
    assert words.about(low, high) == said
