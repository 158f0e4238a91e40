"""Where tensors live and how precisely: auto | cpu | cuda[:i] | mps, and auto | fp32 | bf16."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import torch

from gelda.errors import UserError

PRECISIONS = ("auto", "fp32", "bf16")


def resolve(name: str = "auto") -> torch.device:
    """The torch device for `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; absent hardware is a sentence."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()) or (index and kind != "cuda"):
        raise UserError(f"Device '{name}' is not one of auto, cpu, cuda, cuda:0 …, mps.")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise UserError(f"Device '{name}' was asked for, but torch sees no CUDA GPU: use --device cpu.")
        if int(index or 0) >= count:
            raise UserError(
                f"Device '{name}' was asked for, but torch sees {count} CUDA GPU(s), from cuda:0."
            )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("Device 'mps' was asked for, but torch sees no Apple GPU: use --device cpu.")
    return torch.device(name)


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """The compute dtype of matrix products: `auto` is bf16 where hardware multiplies it, else fp32."""
    if name not in PRECISIONS:
        raise UserError(f"Precision '{name}' is not one of {', '.join(PRECISIONS)}.")
    if name == "auto":
        return torch.bfloat16 if _fast_bf16(device) else torch.float32
    return torch.bfloat16 if name == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision for bf16, nothing for fp32; weights stay fp32 either way."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def set_threads() -> None:
    """Honour OMP_NUM_THREADS where a parent set it: spinning threads of two jobs slow each other tenfold."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        torch.set_num_threads(int(wanted))


def describe() -> dict[str, Any]:
    """What `doctor` prints about the hardware that torch sees."""
    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "bf16 products in hardware": _fast_bf16(torch.device("cpu")),
        "cuda": [],
        "mps": torch.backends.mps.is_available(),
    }
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            facts["cuda"].append(f"cuda:{index} {name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")
    return facts


def speed(device: torch.device, dtype: torch.dtype, size: int = 1024, repeats: int = 10) -> float:
    """Matrix-product rate of this device in GFLOP/s (median of `repeats` after one warm-up)."""
    a = torch.randn(size, size, device=device, dtype=dtype)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / sorted(times[1:])[repeats // 2] / 1e9


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Measured on one Zen 4 core (AVX512-BF16, no AMX), batch 128 to 256: a training step takes 0.75 of
        # the fp32 time at width 256, and 0.56 at widths 512 and 1024.
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return False
