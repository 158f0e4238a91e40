"""Explicit generators: the same names give the same numbers, other names other ones."""

import hashlib

import numpy as np
import pytest
import torch

from gelda.seeds import derive, generator, numpy_generator, row_noise


def test_derive_is_sha256_of_seed_and_names():
    digest = hashlib.sha256("\x1f".join(["3", "sample", "1", "2"]).encode()).digest()
    assert derive(3, "sample", 1, 2) == int.from_bytes(digest[:8], "big") // 2
    assert 0 <= derive(-1, "x") < 2**63


def test_names_are_not_glued_together():
    assert (
        len({derive(0, "a", "b"), derive(0, "ab"), derive(0, "b", "a"), derive(1, "a", "b"), derive(0)}) == 5
    )
    assert derive(1, 23) != derive(12, 3)


@pytest.mark.parametrize("make", [generator, numpy_generator])
def test_generators_repeat_and_leave_the_global_state_alone(make):
    def draw(*names):
        rng = make(*names)
        return rng.random(4) if isinstance(rng, np.random.Generator) else torch.rand(4, generator=rng).numpy()

    torch.manual_seed(5)
    before = torch.get_rng_state()
    np.testing.assert_array_equal(draw(1, "x"), draw(1, "x"))
    assert not np.allclose(draw(1, "x"), draw(2, "x")) and not np.allclose(draw(1, "x"), draw(1, "y"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dim", [1, 3, 15, 16, 17, 160, 576])
@pytest.mark.parametrize("count", [1, 2, 7, 33])
def test_asking_for_more_rows_keeps_the_first(dim, count):
    fewer, more = row_noise(0, ("c", 1), count, dim), row_noise(0, ("c", 1), count + 5, dim)
    assert fewer.shape == (count, dim) and fewer.dtype == torch.float32
    assert torch.equal(more[:count], fewer)


def test_row_noise_is_standard_normal_and_cells_do_not_share_it():
    noise = row_noise(0, ("a",), 4000, 5)
    assert abs(float(noise.mean())) < 0.03 and abs(float(noise.std()) - 1) < 0.03
    other = row_noise(0, ("b",), 4000, 5)
    assert abs(float(torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1])) < 0.03
    assert abs(float(torch.corrcoef(noise.T)[0, 1])) < 0.06
