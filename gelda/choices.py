"""What validation chooses: encoder layer, τ, adapter layer, and every arm's own setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gelda import augmenters, protocols
from gelda.arms import CHEAP, CONTROLS, VOTERS, Setting, arms, class_of, describe, grid_of
from gelda.artifacts import FORMAT, content_key, read_json, write_json
from gelda.compare_check import arm_key
from gelda.compare_config import CompareConfig
from gelda.protocols import Episode
from gelda.ready import ReadyBank
from gelda.settings import WEIGHTED
from gelda.workbench import Trial, Workbench


@dataclass(frozen=True)
class Choice:
    """What validation chose: layers, τ, a setting an arm; and every score it saw."""

    layer: str
    tau: float
    settings: dict[str, Setting]
    scores: dict[str, Any]
    adapter_layer: int = 0


class Choosing(Workbench):
    """A workbench that rates layers and settings on validation episodes and keeps every score it paid for.

    path: the run's folder.
    """

    def __init__(self, config: CompareConfig, bank: ReadyBank, check: Callable[[], None], path: Path) -> None:
        super().__init__(config, bank, check)
        self.path = path
        self.methods = arms(config, bank)
        self.shared = config.one_choice

    def _select(self, seed: int, tick: Callable[[float, str], None]) -> Choice:
        """Layer, τ, then each arm's setting, by class-mean calibrated log-loss on validation.

        Long tail: in every seed, inside its cut. A given cut: once for all seeds, on the folds that the first
        `selection_seeds` draw. Transfer: the same on their pseudo-targets; nothing of the real target is
        read, in no seed, so none of its test labels.
        Every arm's choice is kept in a file of its own, keyed by what it depends on: arms added later, or
        a generator changed, leave the others' as they are.
        """
        if self.shared:
            seed = self.config.first_seed
        inner = [
            episode
            for one in range(seed, seed + (self.config.selection_seeds if self.shared else 1))
            for episode in protocols.validation(
                self.items, self.episodes(one)[0], self.config.validation_folds
            )
        ]
        layer, tau, layer_scores, layer_means = self._select_layer(seed, inner, tick)
        at, at_scores = self._select_adapter_layer(seed, inner, layer, tau, tick)
        settings = {m: dict(grid_of(m, self.config)[0]) for m in self.methods}
        if "logit-adjustment" in settings:
            settings["logit-adjustment"] = {"tau": tau}
        scores: dict[str, Any] = {"layer": layer_scores}
        if layer_means:
            scores["fm_layer"] = layer_means
        if at_scores:
            scores["adapter_layer"] = at_scores
        tuned = self.tuned
        files = {}
        for m in tuned:
            key = arm_key(self.config, m, layer, tau, at=at)
            files[m] = self._file("select", seed, f"{m}-{key}.json")
        for place, kind in enumerate(augmenters.KINDS):
            pending = [m for m in tuned if augmenters.get(m).kind == kind and not files[m].is_file()]
            pairs = [(m, setting) for m in pending for setting in grid_of(m, self.config)]
            self._told(seed, [m for m in tuned if augmenters.get(m).kind == kind and m not in pending], files)
            if not pairs:
                continue

            def told(share: float, text: str, place: int = place) -> None:
                tick(0.2 + 0.8 * (place + share) / len(augmenters.KINDS), f"validating {text}")

            found = self._rate(inner, layer, tau, pairs, seed, at, told)
            for m in pending:
                rated = [
                    {"setting": own, "score": score}
                    for (name, own), score in zip(pairs, found, strict=True)
                    if name == m
                ]
                write_json(files[m], {"format": FORMAT, "rated": rated})
            self._told(seed, pending, files)
        for m in tuned:
            rated = read_json(files[m])["rated"]
            settings[m] = _best(rated)["setting"]
            scores[m] = {describe(r["setting"]): r["score"] for r in rated}
        settings |= {m: settings["gelda"] for m in CONTROLS if m in settings and "gelda" in settings}
        tick(1, "")
        if layer == WEIGHTED and layer not in self.bank.layers:
            episode = self.episodes(seed)[0]
            self.raw(episode, layer)
            weights = self.sums[content_key(episode.seed, episode.train.tolist())][0]
            scores["layer_weights"] = dict(zip(self.bank.layers, weights.tolist(), strict=True))
        return Choice(layer, tau, settings, scores, at)

    @property
    def tuned(self) -> list[str]:
        """Arms that have a setting to choose."""
        apart = (*CONTROLS, "logit-adjustment")
        return [m for m in self.methods if m not in apart and len(grid_of(m, self.config)) > 1]

    def chose(self, arm: str, seed: int, score: float | None) -> None:
        """Called when validation has chosen an arm's setting in a seed, with that setting's score."""

    def _told(self, seed: int, methods: Sequence[str], files: Mapping[str, Path]) -> None:
        for m in methods:
            self.chose(m, seed, _best(read_json(files[m])["rated"])["score"])

    def _select_layer(
        self, seed: int, inner: Sequence[Episode], tick: Callable[[float, str], None]
    ) -> tuple[str, float, dict[str, dict[str, float]], dict[str, float | None]]:
        """The encoder layer that all arms share, its τ, logit adjustment's scores, and the layers' means.

        Every layer has logit adjustment's best τ. Where there are several layers, the one with the lowest
        mean score of the voters that train no generator is taken: under a shift of subdomains logit
        adjustment alone is near chance at every layer, and says little of where adaptation works.
        """
        c = self.config
        layers = [c.adapter.fm_layer] if c.adapter.fm_layer != "auto" else list(self.bank.layers)
        scores: dict[str, dict[str, float]] = {}
        means: dict[str, float | None] = {}
        taus: dict[str, float] = {}
        for place, layer in enumerate(layers):
            by_tau = scores[layer] = self._rate_taus(seed, inner, layer)
            best = min(by_tau, key=lambda t: _or_worst(by_tau[t]))
            taus[layer], means[layer] = float(best), by_tau[best]
            if len(layers) > 1:
                pairs = [(m, dict(grid_of(m, self.config)[0])) for m in self._voters() if m in CHEAP]
                key = content_key(taus[layer], [arm_key(c, m, layer, taus[layer], own) for m, own in pairs])
                file = self._file("select", seed, f"layer-{layer}-votes-{key}.json")
                if not file.is_file():
                    votes = self._rate(inner, layer, taus[layer], pairs, seed)
                    write_json(file, {"format": FORMAT, "votes": votes})
                every = [means[layer], *read_json(file)["votes"]]
                means[layer] = None if None in every else float(np.mean(every))
            tick(0.2 * (place + 1) / len(layers), f"validating layer {layer}")
        chosen = min(layers, key=lambda name: _or_worst(means[name]))
        return chosen, taus[chosen], scores, means if len(layers) > 1 else {}

    def _rate_taus(self, seed: int, inner: Sequence[Episode], layer: str) -> dict[str, float]:
        """Logit adjustment's score at an encoder layer under every τ."""
        file = self._file("select", seed, f"layer-{layer}.json")
        if not file.is_file():
            trials = [("logit-adjustment", {"tau": tau}) for tau in self.config.taus]
            found = self._rate(inner, layer, 1.0, trials, seed)
            rated = {f"{tau:g}": score for tau, score in zip(self.config.taus, found, strict=True)}
            write_json(file, {"format": FORMAT, "scores": rated})
        return read_json(file)["scores"]

    def _rate(self, inner: Sequence[Episode], *asked: Any) -> list[float]:
        """Scores of the heads of `trials`, which takes the same arguments."""
        return [self._score(inner, own) for own in self.trials(inner, *asked)]

    def trials(
        self,
        inner: Sequence[Episode],
        layer: str,
        tau: float,
        pairs: Sequence[tuple[str, Setting]],
        seed: int,
        at: int = 0,
        told: Callable[[float, str], None] = lambda share, text: None,
    ) -> list[list[Trial]]:
        """Heads of (arm, setting) pairs, trained on every validation episode; `told` hears of each."""
        trials: list[list[Trial]] = [[] for _ in pairs]
        for number, episode in enumerate(inner):
            candidates = []
            for candidate in self._candidates(episode, layer, tau, pairs, at):
                candidates.append(candidate)
                share = (number + len(candidates) / len(pairs)) / len(inner)
                told(share, f"{candidate.arm}, fold {number + 1} of {len(inner)}")
            self._fit(candidates, seed)
            for own, candidate in zip(trials, candidates, strict=True):
                assert candidate.logits is not None
                own.append(Trial(number, candidate.logits))
        return trials

    def _voters(self) -> list[str]:
        """One arm of each family that this bank gives something to do, whatever arms are compared."""
        single = len(self.items.subdomain_names) < 2
        return [m for m in VOTERS if not (single and class_of(m).needs_subdomains)]

    def _select_adapter_layer(
        self,
        seed: int,
        inner: Sequence[Episode],
        layer: str,
        tau: float,
        tick: Callable[[float, str], None],
    ) -> tuple[int, dict[str, float | None]]:
        """The l that all arms share; for auto the one with the lowest mean score of VOTERS, and all means.

        One arm of each family votes with its default setting and the same τ, whatever arms are compared: the
        layer suits no single arm, and arms added later find it unchanged. Logit adjustment alone would not
        do: at l ≥ 1 it goes on from an adapter that has converged on the same latents, so that its score
        tells of over-fitting and says nothing of how well latents can be made there.
        """
        wanted = self.config.adapter_layer
        if wanted != "auto":
            return wanted, {}
        voters = self._voters()
        pairs: list[tuple[str, Setting]] = [
            (m, {"tau": tau} if m == "logit-adjustment" else dict(grid_of(m, self.config)[0])) for m in voters
        ]
        means: dict[str, float | None] = {}
        for at in range(len(self.config.adapter.hidden) + 1):
            tick(0.2, f"validating adapter layer {at}")
            key = content_key(*[arm_key(self.config, m, layer, tau, setting, at) for m, setting in pairs])
            file = self._file("select", seed, f"adapter-layer-{at}-{key}.json")
            if not file.is_file():
                found = self._rate(inner, layer, tau, pairs, seed, at)
                scored = dict(zip(voters, found, strict=True))
                write_json(file, {"format": FORMAT, "scores": scored})
            scores = list(read_json(file)["scores"].values())
            means[str(at)] = None if None in scores else float(np.mean(scores))
        best = min(means, key=lambda at: _or_worst(means[at]))
        return int(best), means

    def _file(self, stage: str, seed: int, name: str) -> Path:
        folder = self.path / "stages" / f"{stage}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name


def _best(rated: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The setting with the lowest score; one that is not finite is never the best, the first of equals is."""
    return min(rated, key=lambda r: _or_worst(r["score"]))


def _or_worst(score: float | None) -> float:
    """A score for a minimum: one that is not finite (null in the file) is never the lowest."""
    return np.inf if score is None or not np.isfinite(score) else score
