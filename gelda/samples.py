"""Latents drawn from a run's generator to be looked at: their way out of noise, and between cells.

A short process makes them; each set lies under the key of what was asked, and is found again. Kept are not
the latents but what figures need of them: their nearest real points (so that any map can place them) and
what the run's head says of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gelda import projection
from gelda.artifacts import (
    FORMAT,
    content_key,
    prune,
    read_arrays,
    read_json,
    used,
    write_json,
    write_tensors,
)
from gelda.errors import UserError
from gelda.paths import home
from gelda.seeds import numpy_generator
from gelda.settings import Settings

SCALES = (1.0, 1.5, 2.0, 3.0, 5.0)  # guidance: 1 is without; the run's own goes with them
SHARES = tuple(i / 12 for i in range(13))  # of the way between two cells
NEAR = 8  # real neighbours that place a latent on a map
VIEWS = ("latent", "estimate")  # of a way: what each step holds, and what it takes the end to be
PATIENCE = 90.0  # seconds after which a set that is still "running" counts as given up
STEER = {
    "both": ("guidance_class", "guidance_subdomain"),
    "class": ("guidance_class",),
    "subdomain": ("guidance_subdomain",),
}


class SampleRequest(Settings):
    """What is to be drawn: `way` out of noise into the cell `start`, or `between` it and the cell `end`."""

    kind: Literal["way", "between"]
    start: tuple[int, int]
    end: tuple[int, int] | None = None
    count: int = Field(40, ge=1, le=200)
    num_inference_steps: int | None = Field(None, ge=1, le=200)  # None: the run's own
    seed: int | None = Field(None, ge=0)
    steer: Literal["both", "class", "subdomain"] = "both"  # the axes that guidance works on


@dataclass(frozen=True)
class Drawn:
    """A set of latents, or the state it is in: running, done or failed (and why).

    arrays of a way [views, scales, T + 1 steps, n, …], of what lies between [scales, shares, n, …]: near
    (rows of the points table, the nearest first) [… 8], far (distance to the nearest), said (the class that
    the head takes it for). Further: variance, a latent's over a real one's (NaN: too few real ones), and of
    what lies between the mean probabilities [scales, shares, C]; check_rows [K] and check_near [K, 8] of the
    run's own synthetic latents, to see how well `place` does on a map.
    """

    state: str
    message: str
    document: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def scales(self) -> list[float]:
        return list(self.document["scales"])

    @property
    def spread(self) -> list[float]:
        """σ before every step of a way, and 0 at its end."""
        return list(self.document["spread"])


def drawable(run: Path) -> bool:
    """Whether a run keeps the generator that is needed."""
    return (Path(run) / "generator.json").is_file()


def key(run: Path, request: SampleRequest) -> str:
    """Content key of a set: what was asked, over the points that it is measured against."""
    return content_key("samples", projection.points_key(run), request, SCALES, SHARES, NEAR)


def folders(run: Path) -> list[Path]:
    """Where a run's sets lie: those that ship with it, and those of the workspace, where new ones go."""
    return [Path(run) / "samples", home() / "samples" / Path(run).name]


def find(run: Path, request: SampleRequest) -> Drawn | None:
    """What was asked for, in whatever state it is; None where nobody asked or what is there is broken."""
    name = key(run, request)
    for folder in folders(run):
        document = folder / f"{name}.json"
        if not document.is_file():
            continue
        try:
            about = read_json(document)
            state, message = about["state"], about["message"]
            if state == "running" and time.time() - document.stat().st_mtime > PATIENCE:
                return None  # its process is gone: it is offered again
            arrays = {}
            if state == "done":
                arrays = read_arrays(file := folder / f"{name}.safetensors")
                used(file)
            return Drawn(state, message, about, arrays)
        except (UserError, KeyError, TypeError):
            continue  # cheap to make: a broken one is offered again
    return None


def drawn(run: Path) -> list[SampleRequest]:
    """What was asked for and is there, of the run's points as they are now; damaged notes are passed over."""
    found = []
    for document in (file for folder in folders(run) for file in sorted(folder.glob("*.json"))):
        try:
            about = read_json(document)
            request = SampleRequest.model_validate(about["request"])
        except (UserError, KeyError, TypeError, ValueError):
            continue
        if about.get("state") == "done" and key(run, request) == document.stem:
            found.append(request)
    return found


def note(run: Path, request: SampleRequest, state: str, message: str = "", **more: Any) -> str:
    """Write down what is asked and how far it is; returns its key."""
    name = key(run, request)
    asked = request.model_dump(mode="json")
    about = {"format": FORMAT, "state": state, "message": message, "request": asked, **more}
    write_json(folders(run)[-1] / f"{name}.json", about)
    return name


def asked(run: Path, name: str) -> SampleRequest:
    """What stands under a key."""
    return SampleRequest.model_validate(read_json(folders(run)[-1] / f"{name}.json")["request"])


def make(run: Path, request: SampleRequest) -> None:
    """Draw what was asked, measure it, and keep it; the document comes last."""
    from gelda import generator_kit

    kit = generator_kit.load(run)
    points = projection.load_points(run)
    latents = projection.load_latents(run, projection.generation_layer(run))
    pool = np.flatnonzero(((points["origin"] == "real") & (points["split"] != "test")).to_numpy())
    own = kit.guidance[1 if request.steer == "subdomain" else 0]
    scales = sorted({*SCALES, own})
    drawn = _between if request.kind == "between" else _way
    arrays, spread = drawn(kit, request, scales, latents[pool])
    near = pool[arrays["near"]].astype(np.uint16 if len(points) < 65_536 else np.int32)
    arrays |= {"near": near, "far": arrays["far"].astype(np.float16), "said": arrays["said"].astype(np.int16)}
    arrays |= _check(points, latents, pool)
    real, reference = _real_variance(points.iloc[pool], latents[pool], request.start)
    arrays["variance"] = (arrays["variance"] / real).astype(np.float32)
    name = key(run, request)
    write_tensors(folders(run)[-1] / f"{name}.safetensors", arrays)
    note(
        run, request, "done", scales=scales, spread=spread, reference=reference,
        apart=_usual_distance(latents[pool]), own=own,
        num_inference_steps=request.num_inference_steps or kit.arm.sampling.num_inference_steps,
    )  # fmt: skip
    prune(folders(run)[-1], {name})


def _way(
    kit: Any, request: SampleRequest, scales: Sequence[float], real: NDArray[np.float32]
) -> tuple[dict[str, NDArray[Any]], list[float]]:
    """Both views of every step under every scale."""
    views, spread = [], []
    for scale in scales:
        way = kit.trajectory(*request.start, request.count, **_drawing(request, scale))
        last = way.latents[-1:].numpy()
        views.append(np.stack([way.latents.numpy(), np.concatenate([way.denoised.numpy(), last])]))
        spread = list(way.spread)
    made = np.stack(views, 1)  # [views, scales, T + 1, n, D]
    return _measured(kit, made, np.full(made.shape[:-1], request.start[1]), real), spread


def _between(
    kit: Any, request: SampleRequest, scales: Sequence[float], real: NDArray[np.float32]
) -> tuple[dict[str, NDArray[Any]], list[float]]:
    """Finished latents at every share of the way under every scale, and the head's mean probabilities."""
    if request.end is None:
        raise UserError("What lies between two cells needs both: give the request an 'end'.")
    made = np.stack(
        [
            kit.interpolate(
                request.start, request.end, SHARES, request.count, **_drawing(request, scale)
            ).numpy()
            for scale in scales
        ]
    )
    nearer = np.where(np.asarray(SHARES) <= 0.5, request.start[1], request.end[1])
    return _measured(kit, made, np.broadcast_to(nearer[None, :, None], made.shape[:-1]), real, True), []


def _drawing(request: SampleRequest, scale: float) -> dict[str, Any]:
    steered = dict.fromkeys(("guidance_class", "guidance_subdomain"), 1.0)
    steered |= dict.fromkeys(STEER[request.steer], scale)
    return {**steered, "num_inference_steps": request.num_inference_steps, "seed": request.seed}


def _measured(
    kit: Any,
    made: NDArray[np.float32],
    subdomain: NDArray[np.integer],
    real: NDArray[np.float32],
    mean: bool = False,
) -> dict[str, NDArray[Any]]:
    """Neighbours among real latents, what the head says, and the variance of the n latents [… n, D]."""
    import torch

    from gelda.embedding import knn  # torch

    shape = made.shape[:-1]
    flat = made.reshape(-1, made.shape[-1])
    index, distance = knn(flat, real, min(NEAR, len(real)))
    said = kit.head(torch.from_numpy(flat), torch.from_numpy(np.ascontiguousarray(subdomain).reshape(-1)))
    found = {
        "near": index.reshape(*shape, -1),
        "far": distance[:, 0].reshape(shape),
        "said": said.argmax(1).reshape(shape),
        "variance": made.var(-2).mean(-1),
    }
    if mean:
        found["probability"] = said.reshape(*shape, -1).mean(-2).astype(np.float32)
    return found


def _real_variance(points: Any, latents: NDArray[np.float32], cell: tuple[int, int]) -> tuple[float, str]:
    """Mean variance of the cell's real latents, or else of its class's about their subdomains' means."""
    mine = (points["label"] == cell[0]).to_numpy()
    inside = latents[mine & (points["subdomain"] == cell[1]).to_numpy()]
    if len(inside) >= 10:
        return float(inside.var(0).mean()), "cell"
    parts = [latents[mine & (points["subdomain"] == s).to_numpy()] for s in points["subdomain"].unique()]
    parts = [part - part.mean(0) for part in parts if len(part) > 1]
    number = sum(map(len, parts)) - len(parts)
    if number < 10:
        return float("nan"), ""
    return float((np.concatenate(parts) ** 2).sum(0).mean() / number), "class"


def _check(
    points: Any, latents: NDArray[np.float32], pool: NDArray[np.integer], most: int = 500
) -> dict[str, NDArray[Any]]:
    """Some of the run's own synthetic latents [K] and their nearest real points [K, 8]."""
    from gelda.embedding import knn

    rows = np.flatnonzero((points["origin"] == "synthetic").to_numpy())
    rows = np.sort(numpy_generator(0, "check").permutation(rows)[:most])
    near = pool[knn(latents[rows], latents[pool], min(NEAR, len(pool)))[0]] if len(rows) else rows[:, None]
    return {"check_rows": rows.astype(np.int32), "check_near": near.astype(np.int32)}


def _usual_distance(latents: NDArray[np.float32], most: int = 500) -> float:
    """Median distance of a real latent to the nearest other one."""
    from gelda.embedding import knn

    if len(latents) < 2:
        return float("nan")
    rows = numpy_generator(0, "usual-distance").permutation(len(latents))[:most]
    return float(np.median(knn(latents[rows], latents, 2)[1][:, 1]))


def misplaced(drawn: Drawn, xy: NDArray[np.float32]) -> tuple[float, float] | None:
    """How far `place` puts synthetic latents from where a map [N, 2] itself has them, over its width.

    Median and nine tenths; None for a map without any.
    """
    own = xy[drawn.arrays["check_rows"]]
    off = np.linalg.norm(place(drawn.arrays["check_near"], xy) - own, axis=1)
    off = off[np.isfinite(off)]
    if not len(off):
        return None
    width = float(np.nanmax(np.nanmax(xy, 0) - np.nanmin(xy, 0)))
    median, most = np.quantile(off, [0.5, 0.9]) / max(width, 1e-12)
    return float(median), float(most)


def place(near: NDArray[np.integer], xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where a map [N, 2] has latents whose nearest real points are near [… 8]: the median of these places.

    The median holds to the side that most of them are on. NaN where none of them is on the map.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # none of the eight is on this map
        return np.nanmedian(xy[near.astype(np.int64)], axis=-2)
