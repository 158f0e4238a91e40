"""Comparisons as runs: their ids, starting one or finding it again, and reopening one that stopped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gelda import compare, runs
from gelda.config import CompareConfig, resolve_compare
from gelda.errors import UserError
from gelda.ready import ReadyBank, open_bank
from gelda.runs import RunState


def what(config: CompareConfig) -> str:
    """ "zero-shot-German-unlabelled": the protocol and what it turns on."""
    return "-".join([config.protocol, config.target or config.cut, *(["unlabelled"] * config.unlabelled)])


def run_id(config: CompareConfig, bank: ReadyBank) -> str:
    """The run of a comparison, by its content: the same command finds the same run again."""
    words = re.sub(r"[^\w.-]+", "-", f"compare-{bank.name}-{what(config)}").lower()
    return f"{words[:170]}-{compare.compare_key(config, bank)[:8]}"


def create(config: CompareConfig, bank: ReadyBank) -> RunState:
    """A new run folder; its spec holds the bank's full path, so that it resumes from anywhere."""
    full = config.model_copy(update={"bank": str(Path(config.bank).expanduser().resolve())})
    name = f"{bank.name}, {what(config).replace('-', ' ')}"
    return runs.create_run(full.model_dump(mode="json"), name, runs.COMPARISON, run_id(config, bank))


def reopen(state: RunState) -> tuple[CompareConfig, ReadyBank]:
    """Settings and bank of a stored comparison; a bank that is gone or no longer the same is refused."""
    config = resolve_compare(runs.read_spec(state.path))
    bank = open_bank(config.bank)
    compare.check(config, bank)
    if run_id(config, bank) != state.id:
        raise UserError(
            f"{config.bank}, or GeLDA itself, is not what it was when {state.id} was started, and old and "
            f"new parts must not be mixed: start it anew with `gelda compare {config.bank}`."
        )
    return config, bank


def resume(state: RunState, listener: Any = None) -> dict[str, Any]:
    """Finish a stored comparison; what keeps it from starting is written down in the run, too."""
    try:
        config, bank = reopen(state)
    except UserError as error:
        state.status, state.error = "failed", str(error)
        runs.save_state(state)
        raise
    return compare.execute(config, bank, state, listener)
