"""The layer study: how separable, how easy to model and how useful to augment a bank's layers are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gelda import __version__, device, metrics, protocols
from gelda.arms import build, grid_of
from gelda.artifacts import FORMAT
from gelda.augmenters.base import Task
from gelda.augmenters.diffusion import Gelda
from gelda.compare import Comparison
from gelda.compare_config import CompareConfig
from gelda.compare_report import setting
from gelda.diffusion import Model, NoisePath, target
from gelda.finetune import head_data
from gelda.held_out import held_out_loss
from gelda.protocols import Episode
from gelda.ready import ReadyBank
from gelda.recording import Recorder
from gelda.runs import RunState
from gelda.workbench import Candidate, Trial

ARMS = ("logit-adjustment", "gelda")
NOTES = (
    "Every figure is from validation that reads no test label: folds inside the cut, or source subdomains in "
    "the target's place. Classes (or cells) of one item are not scored.",
    "Separability is that of a balanced linear probe, cross-validated within the held-out items of each "
    "validation episode, which neither standardiser nor adapter was fitted on.",
    "Denoising: the held-out loss of the conditional denoiser over that of the best predictor for a unit "
    "Gaussian, on the same noise, classes weighing alike. 1: nothing was learned; smaller: easier to model.",
    "Effect: GeLDA in its default form less logit adjustment, both with the τ that validation chose for the "
    "encoder layer. It picks no layer fairly where it is the largest of many: confirm it with gelda compare.",
    "After adapter layers heads go on from an adapter trained on the same rows. What that alone costs is "
    "seen in logit adjustment's log-loss beside that of layer 0: an effect there is no gain over layer 0.",
)


class LayerStudy(Comparison):
    """A comparison's data, folds and heads, asked layer by layer; nothing is kept on disk."""

    def rows(self, seed: int, tell: Callable[[str], None] = lambda text: None) -> list[dict[str, Any]]:
        """One row for every encoder layer and adapter layer 0 … L."""
        inner = protocols.validation(self.items, self.episodes(seed)[0], self.config.validation_folds)
        named = self.config.adapter.fm_layer
        found = []
        for layer in [named] if named != "auto" else list(self.bank.layers):
            rated = self._rate_taus(seed, inner, layer)
            known = {t: s for t, s in rated.items() if s is not None}
            tau = float(min(known or rated, key=lambda t: known.get(t, np.inf)))
            for at in range(len(self.config.adapter.hidden) + 1):
                tell(f"seed {seed}, {layer}, adapter layer {at}")
                found.append(self._row(seed, inner, layer, tau, at))
        return found

    def _row(self, seed: int, inner: list[Episode], layer: str, tau: float, at: int) -> dict[str, Any]:
        candidates: list[Candidate] = []
        probes, losses, floors, classes = [], [], [], []
        for episode in inner:
            space = self.space(episode, layer, tau, at)
            task = self.task(episode, layer, space=space)
            test, subdomain = self.test(episode, layer, space)
            label = np.array([episode.classes.index(c) for c in self.items.label[episode.test]])
            group = np.unique(self.items.group[episode.test], return_inverse=True)[1]
            probes.append(metrics.separability(test.numpy(), label, group, seed=seed))
            arm = build("gelda", dict(grid_of("gelda")[0]), self.config)
            assert isinstance(arm, Gelda)
            both = held_out(arm, task, test, torch.from_numpy(label), subdomain)
            losses.append(both[0])
            floors.append(both[1])
            classes.append(label)
            adjustment = build("logit-adjustment", {"tau": tau}, self.config)
            real, seen = space.restore(task.latents), space.restore(test)
            for name, one in zip(ARMS, (adjustment, arm), strict=True):
                made = one.synthesise(task)
                transform = one.transform(task)
                candidates.append(
                    Candidate(
                        name,
                        {},
                        head_data(task, one, made, space.restore, real),
                        self._plan(one.plan(task), self.config.loss, tau),
                        seen if transform is None else space.restore(transform(test, subdomain)),
                        task.classes,
                        made,
                        space,
                    )
                )
        self._fit(candidates, seed)
        every = np.concatenate(classes)
        loss, floor = (_class_mean(np.concatenate(part), every) for part in (losses, floors))
        trials: dict[str, list[Trial]] = {name: [] for name in ARMS}
        for candidate in candidates:  # of every fold in turn
            own = trials[candidate.arm]
            assert candidate.logits is not None
            own.append(Trial(len(own), candidate.logits))
        arms = {name: self._figures(inner, own) for name, own in trials.items()}
        return {
            "fm_layer": layer,
            "adapter_layer": at,
            "width": int(candidates[0].data.latents.shape[1]),
            "tau": tau,
            "separability": {key: _mean([p[key] for p in probes]) for key in probes[0]},
            "denoising": {"loss": loss, "gaussian": floor, "ratio": loss / floor},
            "arms": arms,
            "effect": {key: arms["gelda"][key] - arms[ARMS[0]][key] for key in arms["gelda"]},
        }

    def _figures(self, inner: list[Episode], own: list[Trial]) -> dict[str, float]:
        """tail and uar (%, classes weighing alike) and log_loss, pooled over the validation episodes."""
        true, predicted, tail = [], [], []
        for trial in own:
            episode = inner[trial.episode]
            rows = episode.test
            cells = set(episode.groups["tail"])
            true.append(self.items.label[rows])
            predicted.append(np.array(episode.classes)[trial.logits.argmax(-1).numpy()])
            pairs = zip(self.items.label[rows], self.items.subdomain[rows], strict=True)
            tail.append(np.array([(int(c), int(s)) in cells for c, s in pairs], bool))
        y, found, scarce = (np.concatenate(part) for part in (true, predicted, tail))
        number = self.items.cells[0]
        return {
            "tail": 100 * metrics.uar(y[scarce], found[scarce], number),
            "uar": 100 * metrics.uar(y, found, number),
            "log_loss": self._score(inner, own),
        }


def held_out(
    arm: Gelda, task: Task, test: torch.Tensor, label: torch.Tensor, subdomain: torch.Tensor
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Denoising losses [M] of held-out latents [M, D]: of the arm's model (trained here), of UnitGaussian."""
    kind = arm.options.prediction_type
    anchors = arm.anchors(task)
    if anchors is not None:
        raise ValueError("the held-out loss is that of the plain latent: the residual form diffuses others")
    arm.train(task)
    moved = [part.to(task.device) for part in (test, label, subdomain)]
    losses = [
        held_out_loss(model, *moved, seed=task.seed, prediction_type=kind).cpu().numpy()
        for model in (arm.model, Model(UnitGaussian(kind), _NoCondition()))  # type: ignore[arg-type]
    ]
    return losses[0], losses[1]


class UnitGaussian(nn.Module):
    """The best predictor for latents that are N(0, I) whatever their class: E[· | noisy].

    With noisy = α·clean + σ·noise, E[clean | noisy] = α·noisy/(α² + σ²) and E[noise | noisy] =
    σ·noisy/(α² + σ²); what is predicted is linear in the two. It stands in for a denoiser.
    """

    def __init__(self, prediction_type: str) -> None:
        super().__init__()
        self.kind = prediction_type

    def forward(self, noisy: torch.Tensor, timestep: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """The prediction [B, D] for noisy [B, D] at timesteps [B]."""
        alpha, sigma = NoisePath(self.kind, noisy.device).levels(timestep)
        share = noisy / (alpha.square() + sigma.square())
        return target(self.kind, alpha * share, sigma * share, alpha, sigma)


class _NoCondition(nn.Module):
    def forward(self, label: torch.Tensor, *rest: object) -> torch.Tensor:
        return label[:, None]


def study(
    config: CompareConfig, bank: ReadyBank, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """The rows of all layers as means over seeds (with each seed's beside them), notes and settings."""
    device.set_threads()
    started = time.perf_counter()
    config = config.model_copy(update={"methods": ARMS, "adapter_layer": 0})
    with tempfile.TemporaryDirectory() as folder:
        state = RunState("layers", "layer study", "layers", Path(folder))
        one = LayerStudy(config, bank, state, Recorder(state))
        by_seed = {seed: one.rows(seed, tell) for seed in one.seeds}
        outer = one.episodes(one.seeds[0])
        what = setting(config, bank, outer, len(outer[0].test))
    return {
        "format": FORMAT,
        "kind": "layers",
        "bank": bank.name,
        "setting": what.split("; classes")[0] + f"; {len(by_seed)} seed{'s' * (len(by_seed) != 1)}.",
        "rows": [_over_seeds(rows, by_seed) for rows in zip(*by_seed.values(), strict=True)],
        "notes": [*([bank.note] if bank.note else []), *NOTES],
        "config": config.model_dump(mode="json", exclude={"methods", "adapter_layer"}),
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {"gelda": __version__, "torch": torch.__version__},
    }


def _over_seeds(rows: tuple[dict[str, Any], ...], by_seed: dict[int, Any]) -> dict[str, Any]:
    """One layer's row: figures as means over seeds."""

    def mean(parts: list[Any]) -> Any:
        if isinstance(parts[0], dict):
            return {key: mean([p[key] for p in parts]) for key in parts[0]}
        return _mean(parts)

    named = {key: rows[0][key] for key in ("fm_layer", "adapter_layer", "width")}
    figures = {key: mean([r[key] for r in rows]) for key in rows[0] if key not in named}
    return {**named, **figures, "seeds": dict(zip(map(str, by_seed), rows, strict=True))}


def _mean(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def _class_mean(values: NDArray[np.floating], label: NDArray[np.integer]) -> float:
    return float(np.mean([values[label == c].mean() for c in np.unique(label)]))
