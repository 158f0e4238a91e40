"""Comparisons as runs: their ids, starting one or finding it again, and reopening one that stopped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gelda import compare, runs
from gelda.compare_config import CompareConfig, resolve_compare
from gelda.errors import UserError
from gelda.ready import ReadyBank, open_bank
from gelda.runs import RunState


def what(config: CompareConfig) -> str:
    """ "zero-shot German unlabelled": the protocol and what it turns on."""
    return " ".join([config.protocol, config.target or config.cut, *(["unlabelled"] * config.unlabelled)])


def run_id(config: CompareConfig, bank: ReadyBank) -> str:
    """The run of a comparison, by its content: the same command finds the same run again."""
    words = re.sub(r"[^\w.-]+", "-", f"compare-{bank.name}-{what(config)}").lower()
    return f"{words[:170]}-{compare.compare_key(config, bank)[:8]}"


def create(config: CompareConfig, bank: ReadyBank) -> RunState:
    """A new run folder."""
    name = f"{bank.name}, {what(config)}"
    return runs.create_run(_spec(config), name, runs.COMPARISON, run_id(config, bank))


def prepared(config: CompareConfig, bank: ReadyBank) -> tuple[RunState, bool]:
    """The comparison's run, new or found again under these settings; whether it is finished with all of them.

    Seeds, arms and generator are no part of a run's id: a run that is found takes the spec that is asked for
    now, and computes what is missing. One that is going elsewhere is refused.
    """
    done = finished(config, bank)
    if done is not None:
        return done, True
    path = runs.home() / "runs" / run_id(config, bank)
    if not path.is_dir():
        return create(config, bank), False
    state = runs.read_state(path)
    if state.status in runs.ALIVE:
        raise UserError(f"The run '{state.id}' is already going.")
    if state.status == "broken":
        raise UserError(f"{state.error} Or use --fresh to compute it again.")
    runs.write_spec(path, _spec(config))
    return state, False


def finished(config: CompareConfig, bank: ReadyBank) -> RunState | None:
    """The comparison's run if it is finished under these very settings; nothing is changed.

    One whose points have other further columns than the bank has now is not: its points are made again.
    """
    path = runs.home() / "runs" / run_id(config, bank)
    if not path.is_dir():
        return None
    state = runs.read_state(path)
    if state.status != "done" or runs.read_spec(path) != _spec(config):
        return None
    shown = runs.read_meta(path).get("columns", "") if state.mapped else bank.columns_key
    return state if shown == bank.columns_key else None


def _spec(config: CompareConfig) -> dict[str, Any]:
    """The settings as they are stored, with the bank's full path, so that a run resumes from anywhere."""
    full = config.model_copy(update={"bank": str(Path(config.bank).expanduser().resolve())})
    return full.model_dump(mode="json")


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
