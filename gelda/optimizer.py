"""AdamW of torch, without its wrappers for `torch.compile`, which nothing here uses."""

from __future__ import annotations

import inspect
from typing import Any

import torch


class AdamW(torch.optim.AdamW):
    """The same updates. torch's own methods import its compiler at the first call, which costs a process 1 s:
    more than a refit takes to train a head."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    @torch.no_grad()
    def step(self, *arguments: Any) -> Any:
        return _step(self, *arguments)


_step = inspect.unwrap(torch.optim.AdamW.step)
