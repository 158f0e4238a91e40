"""Ablations: one run folder, one setting after another over the same seeds, cuts and adapters.

Settings are ranked on dev items. The test items of the same cuts are never read here, so that whoever picks
a setting by a study can still test it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from gelda import __version__, datasets, device, runs, studies
from gelda.artifacts import content_key, write_json
from gelda.config import RunConfig, resolve_config
from gelda.errors import RunFailed, UserError, sentence
from gelda.experiment_check import check_names
from gelda.pipeline import Pipeline
from gelda.recording import Cancelled, Recorder, stages, tracked
from gelda.report import SeedResult
from gelda.runs import RunState, StageState
from gelda.studies import RESULT, Study
from gelda.study_result import mean, read_result, result

HEALTH = ("variance_ratio", "variance_ratio_tail", "memorisation")


def run_id(study: Study, base: RunConfig) -> str:
    """The run of a study, by its content: the same command finds the same run; seeds are no part of it."""
    shared = base.model_dump(mode="json", exclude={"seeds", "first_seed", "name", "methods"})
    cells = [(c.name, c.method, dict(c.settings), dict(c.levels)) for c in study.cells]
    key = content_key("study", __version__, cells, study.reference, shared)  # words may be mended
    return f"ablate-{study.name}-{key[:8]}"


def check(study: Study, base: RunConfig) -> dict[str, RunConfig]:
    """The settings of every cell, each looked up before anything is computed."""
    made = studies.configs(study, base)
    manifest = datasets.get(base.data.dataset).manifest()
    for cell, config in zip(study.cells, made.values(), strict=True):
        try:
            check_names(config, manifest)
        except UserError as error:
            raise UserError(f"The setting '{cell.title}' cannot be run: {error}") from error
    return made


def prepared(study: Study, base: RunConfig) -> tuple[RunState, bool]:
    """The study's run, new or found again; whether it is finished with these seeds."""
    name, spec = run_id(study, base), {"study": studies.as_json(study), "base": base.model_dump(mode="json")}
    path = runs.home() / "runs" / name
    if not path.is_dir():
        return runs.create_run(spec, study.title, runs.STUDY, name), False
    state = runs.read_state(path)
    if state.status in runs.ALIVE:
        raise UserError(f"The study '{state.id}' is already going.")
    if state.status == "broken":
        raise UserError(state.error or f"The run '{name}' cannot be read.")
    if state.status == "done" and runs.read_spec(path) == spec:
        return state, True
    runs.write_spec(path, spec)
    return state, False


def stored(state: RunState) -> tuple[Study, RunConfig]:
    """Study and shared settings of a stored run; one of another release is refused."""
    spec = runs.read_spec(state.path)
    if not isinstance(spec.get("study"), dict):
        raise UserError(f"{state.path / 'spec.json'} holds no study: delete the folder {state.id}.")
    study, base = studies.from_json(spec["study"]), resolve_config(spec["base"])
    if run_id(study, base) != state.id:
        raise UserError(
            f"GeLDA is not what it was when {state.id} was started, and old and new parts must not be mixed: "
            "start the study anew with `gelda ablate`."
        )
    return study, base


class _Cells(Pipeline):
    """A run's stages, one cell at a time: what cells have in common lies in one folder by its key."""

    def cell(self, stage: StageState) -> tuple[list[SeedResult], dict[str, float]]:
        """Dev predictions of every seed under this cell's settings, and the generator's health."""
        self._extract(stage)
        stage.message, stage.done, stage.remaining = "", 0, None  # what follows is counted in other units
        seeds = range(self.first_seed, self.first_seed + self.config.seeds)
        results, health = [], []
        for place, seed in enumerate(seeds):

            def tick(part: int, place: int = place) -> Any:
                def advance(share: float, message: str) -> None:
                    done = 100 * place + 25 * (part + min(1.0, share))
                    text = f"seed {place + 1} of {len(seeds)}"
                    self.recorder.advance(stage, done, text)

                return advance

            adapted = self._adapt(seed, tick(0))
            model = self._generate(seed, adapted, tick(1))
            made = self._sample(seed, adapted, model, tick(2))
            heads = self._finetune(seed, adapted, made, tick(3))
            rows, (method,) = adapted.cut.rows("dev"), self.config.methods
            predicted = heads["arrays"]["dev"][0].argmax(-1).numpy()
            cut = adapted.cut
            results.append(
                SeedResult(
                    seed, self.exp.label[rows], self.exp.subdomain[rows], self.exp.group[rows],
                    {method: predicted}, cut.counts, cut.groups, cut.empty,
                )
            )  # fmt: skip
            health.append(heads["health"])
        stage.message = ""
        return results, {k: mean([h.get(k) for h in health]) for k in HEALTH if k in health[0]}


def execute(study: Study, base: RunConfig, state: RunState, listener: Any = None) -> dict[str, Any]:
    """Run or resume a study to its end and return its result, which `study.json` holds after every cell.

    A cell that fails is a sentence in its row, and the others go on; see `raise_failures`.
    """
    device.set_threads()
    made = check(study, base)
    state.stages = stages(state, {cell.name: cell.title for cell in study.cells})
    before = read_result(state.path) if (state.path / RESULT).is_file() else None
    seconds = {c["name"]: c["seconds"] for c in before["cells"]} if before else {}
    found: dict[str, list[SeedResult]] = {}
    rows: dict[str, dict[str, Any]] = {
        cell.name: {"state": "waiting", "seconds": 0.0, "error": None, "health": {}} for cell in study.cells
    }
    with Recorder(state, listener) as recorder, tracked(state):
        for cell, progress in zip(study.cells, state.stages, strict=True):
            row = rows[cell.name]
            row["state"] = "running"
            value = _publish(study, base, state, rows, found)
            try:
                with recorder.stage(cell.name, 100 * base.seeds) as stage:
                    found[cell.name], row["health"] = _Cells(made[cell.name], state, recorder).cell(stage)
                row["state"] = "done"
            except Cancelled:
                row["state"] = "waiting"
                _publish(study, base, state, rows, found)
                raise
            except Exception as error:  # the others go on, whatever it was
                logging.getLogger("gelda").exception("The setting '%s' failed", cell.title)
                row["error"] = sentence(error)
                row["state"] = "failed"
            # studies of 0.6 and before noted the last attempt alone, in which a cell may be found again
            row["seconds"] = max(progress.seconds, seconds.get(cell.name, 0.0))
            value = _publish(study, base, state, rows, found)
        state.headline = value["headline"]
    failed = _failed(value)
    if failed:  # the study ended, and its table holds what there is: the folder says so, and what is left
        state.status, state.error = "failed", failed
        runs.save_state(state)
    return value


def raise_failures(value: Mapping[str, Any]) -> None:
    """Raise RunFailed where a setting of a study's result failed."""
    failed = _failed(value)
    if failed:
        raise RunFailed(failed)


def _failed(value: Mapping[str, Any]) -> str:
    """The sentence on settings that failed; nothing where none did."""
    failed = [c for c in value["cells"] if c["state"] == "failed"]
    if not failed:
        return ""
    return (
        f"{len(failed)} of {len(value['cells'])} settings failed ({', '.join(c['title'] for c in failed)}: "
        f"{failed[0]['error']}); the others are finished, and the same command tries these again."
    )


def _publish(
    study: Study,
    base: RunConfig,
    state: RunState,
    rows: Mapping[str, Any],
    found: Mapping[str, list[SeedResult]],
) -> dict[str, Any]:
    value = {**result(study, base, rows, found), "run": state.id}
    write_json(state.path / RESULT, value)
    return value
