"""Projection against default umap-learn: time, trustworthiness, and whether two runs draw the same picture.

python benchmarks/projection.py                      # 50 000 × 768 made up
python benchmarks/projection.py --rows 10000
python benchmarks/projection.py --data bank.npz --layer z_pool
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gelda.embedding import embed, trustworthiness
from gelda.seeds import numpy_generator
from gelda.settings import ProjectionConfig

CLUSTERS, INNER = 40, 8  # classes, and dimensions of each one's curved sheet


def made_up(rows: int, dim: int) -> NDArray[np.float32]:
    """Clusters that are curved sheets of `INNER` dimensions in `dim`, with noise: [rows, dim]."""
    rng = numpy_generator(0, "benchmark")
    label = rng.integers(0, CLUSTERS, rows)
    noise = 0.15 * rng.standard_normal((rows, dim), np.float32)
    centres = 0.6 * rng.standard_normal((CLUSTERS, dim), np.float32)
    for c in range(CLUSTERS):
        own = np.flatnonzero(label == c)
        sheet = rng.standard_normal((len(own), INNER), np.float32)
        axes = np.linalg.qr(rng.standard_normal((dim, 2 * INNER)))[0].T.astype(np.float32)
        noise[own] += centres[c] + 3 * np.concatenate([sheet, np.sin(1.5 * sheet)], 1) @ axes
    return noise


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What `work` gives, its seconds, and its processor's seconds, which a busy machine changes less."""
    clock, used = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - clock, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--data", type=Path, help="an npz instead")
    parser.add_argument("--layer", default="z_pool")
    parser.add_argument("--fit-on", type=int, default=ProjectionConfig().fit_on)
    parser.add_argument("--skip-default", action="store_true", help="ours alone")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    import umap

    z = np.load(asked.data)[asked.layer].astype(np.float32) if asked.data else made_up(asked.rows, asked.dim)
    config = ProjectionConfig(fit_on=asked.fit_on, min_dist=0.1)  # umap-learn's own
    few = z[:500]
    _, compiled, _ = timed(lambda: embed(few, few[:50], config))
    print(f"{z.shape[0]} × {z.shape[1]}, fitted on at most {config.fit_on}; first call {compiled:.1f} s")
    rows = np.sort(numpy_generator(0, "rows").permutation(len(z))[: config.fit_on])
    first, ours, cores = timed(lambda: embed(z, z[:0], config, rows))
    trust = first.trustworthiness
    _, told_in, told_by = timed(lambda: trustworthiness(z, first.real))
    ours, cores = ours - told_in, cores - told_by  # the default measures none
    told = "{} {:6.1f} s, {:6.1f} s of processor time, trustworthiness {:.4f}"
    print(
        told.format("GeLDA             ", ours, cores, trust),
        f"(measured in {told_in:.1f} s more)",
        flush=True,
    )
    if not asked.skip_default:
        umap.UMAP().fit(z[:5000])  # compiled before the clock runs, as ours is
        place, theirs, used = timed(lambda: umap.UMAP().fit_transform(z))
        other = trustworthiness(z, place)
        print(told.format("default umap-learn", theirs, used, other))
        print(
            f"GeLDA takes {ours / theirs:.2f} of the time, {cores / used:.2f} of the processor time; "
            f"trustworthiness {trust - other:+.4f}",
            flush=True,
        )
    again, _, _ = timed(lambda: embed(z, z[:0], config, rows))
    print(f"the same picture for the same seed: {np.array_equal(first.real, again.real)}")


if __name__ == "__main__":
    main()
