"""`FusionModule`: experts and combiners in one model; `DQNModule`: one that tells its choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.core.config import Training
from tutelage.core.records import Figure, Table
from tutelage.tasks.can.config import CANConfig
from tutelage.tasks.can.fusion.cache import FOLDER, FusionPredictionCache
from tutelage.tasks.can.fusion.config import (
    COMBINERS,
    AgentConfig,
    BanditConfig,
    BestConfig,
    DQNConfig,
    FusionConfig,
    GatedConfig,
    MLPConfig,
)
from tutelage.tasks.can.fusion.extractor import FusionDataExtractor, NamedExpert
from tutelage.tasks.can.modules import BaseCANGraphModule
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.rule_windows import RuleVerdict
from tutelage.tasks.can.verdicts import MODEL
from tutelage.training.fusion.agents import (
    BanditCombiner,
    DQNCombiner,
    Exploration,
    WeightAgent,
)
from tutelage.training.fusion.chosen import ChosenCombiner
from tutelage.training.fusion.combiners import (
    Combiner,
    GatedCombiner,
    MeanCombiner,
    PerceptronCombiner,
)
from tutelage.training.fusion.comparison import EXPERT, weight_summary
from tutelage.training.fusion.module import CombinerModule, Makers
from tutelage.training.fusion.weight_figure import weight_figure

if TYPE_CHECKING:
    from tutelage.tasks.can.datamodule import TestCapture

RIVAL = "fusion_"
"""What another combiner's name begins with where it stands among baselines."""


class FusionModule(CombinerModule):
    """Judges windows by what several detectors say of them.

    Args:
        training: Optimiser, schedule and loop settings.
        experts: The detectors, named.
        makers: Makes a fresh combiner of each kind.
        own: The kind to train.
        extractor: Makes the states of windows from those experts.
    """

    def __init__(
        self,
        training: Training,
        experts: Sequence[BaseCANGraphModule],
        makers: Makers,
        own: str,
        extractor: FusionDataExtractor,
    ) -> None:
        super().__init__(training, experts, makers, own)
        self.extractor = extractor

    @property
    def threshold(self) -> Tensor:
        """The score above which a window raises an alarm."""
        return self.network.threshold

    def keep_predictions(self, cache: Path) -> None:
        """Let what experts say be kept in the task's cache."""
        self.extractor.cache = FusionPredictionCache(cache / FOLDER)

    def judge(self, test: TestCapture) -> dict[str, RuleVerdict]:
        """Judge the windows of a capture: the combiner, its rivals, each expert alone."""
        found = self.extractor.states(test.capture, test.store, test.windows)
        verdicts = {}
        with torch.inference_mode():
            for name, combiner in self.combiners().items():
                score = combiner(found.state.to(self.device)).float().cpu()
                verdicts[name] = _verdict(score, score > combiner.threshold.cpu())
        verdicts = {MODEL: verdicts.pop(self.own)} | {f"{RIVAL}{n}": v for n, v in verdicts.items()}
        for at, expert in enumerate(self.extractor.experts):
            verdicts[f"{EXPERT}{expert.name}"] = _verdict(found.score[:, at], found.alarm[:, at])
        return verdicts

    def weights(self, test: TestCapture) -> Tensor | None:
        """Return (T, E), how much each expert counted in each window, where that is defined."""
        found = self.extractor.states(test.capture, test.store, test.windows)
        with torch.inference_mode():
            weights = self.network.weights(found.state.to(self.device))
        return None if weights is None else weights.cpu()

    def weights_shown(
        self, tests: Mapping[str, Sequence[TestCapture]]
    ) -> tuple[tuple[Table, ...], tuple[Figure, ...]]:
        """How the weights spread on each test split, where the combiner weighs its experts."""
        found: dict[str, Tensor] = {}
        for split, captures in tests.items():
            parts = [self.weights(test) for test in captures]
            whole = [part for part in parts if part is not None and len(part)]
            if whole:
                found[split] = torch.cat(whole)
        if not found:
            return (), ()
        names = [expert.name for expert in self.extractor.experts]
        columns = ("test split", *names, "different weightings", "share of the commonest")
        rows = tuple((split, *weight_summary(weights)) for split, weights in found.items())
        title = "Weights of the experts"
        table = Table(title=title, columns=columns, rows=rows)
        return (table,), (weight_figure(title, names, found),)


class DQNModule(FusionModule):
    """A `FusionModule` whose combiner is a DQN; it also tells how often it chose which weights."""

    def weights_shown(
        self, tests: Mapping[str, Sequence[TestCapture]]
    ) -> tuple[tuple[Table, ...], tuple[Figure, ...]]:
        """Add a row for each choice: its weights, and the share of each split's windows."""
        agent = self.network
        assert isinstance(agent, DQNCombiner)
        shares = [self._shares(agent, captures) for captures in tests.values()]
        names = [expert.name for expert in self.extractor.experts]
        rows = zip(*agent.choices.T.tolist(), *shares, strict=True)
        table = Table(
            title="What the DQN chose, as a share of each test split's windows",
            columns=(*names, *tests),
            rows=tuple(rows),
        )
        tables, figures = super().weights_shown(tests)
        return (*tables, table), figures

    def _shares(self, agent: DQNCombiner, captures: Sequence[TestCapture]) -> list[float]:
        parts = [self.extractor.states(t.capture, t.store, t.windows).state for t in captures]
        with torch.inference_mode():
            chosen = agent.value(torch.cat(parts).to(self.device)).argmax(dim=1).cpu()
        counts = torch.bincount(chosen, minlength=len(agent.choices))
        shares: list[float] = (counts / max(1, len(chosen))).tolist()
        return shares


def _verdict(score: Tensor, alarm: Tensor) -> RuleVerdict:
    values: NDArray[Any] = score.numpy()
    return RuleVerdict(values, alarm.numpy())


def build_fusion(
    config: CANConfig,
    preprocessing: Mapping[str, Any],
    build: Callable[[CANConfig, Mapping[str, Any]], BaseCANGraphModule],
) -> FusionModule:
    """Return the combiner that ``config`` names, with the experts of ``preprocessing``, fresh.

    Args:
        config: The whole run.
        preprocessing: That of the experts, with their cards under ``experts``.
        build: Makes an expert.
    """
    assert isinstance(config.model, FusionConfig)
    experts, named = [], []
    for card in preprocessing["experts"]:
        settings = {"model": card["model"], "training": config.training.model_dump()}
        expert = build(CANConfig.model_validate(settings), preprocessing)
        experts.append(expert)
        named.append(NamedExpert(card["name"], (card["fingerprint"], card["weights"]), expert))
    extractor = FusionDataExtractor(named, Preprocessing.from_json(preprocessing).rules)
    width, count = len(extractor.columns), len(experts)
    own = config.model
    makers: dict[str, Callable[[], Combiner]] = {
        default.name: partial(
            make_combiner, own if default.name == own.name else default, width, count
        )
        for default in COMBINERS
    }
    makers[BestConfig().name] = partial(ChosenCombiner, width, count, dict(makers))
    kind = DQNModule if isinstance(own, DQNConfig) else FusionModule
    return kind(config.training, experts, makers, own.name, extractor)


def make_combiner(config: FusionConfig, width: int, experts: int) -> Combiner:
    """Return a fresh combiner of states (n, ``width``) that begin with ``experts`` margins."""
    if isinstance(config, AgentConfig):
        return _make_agent(config, width, experts)
    if isinstance(config, GatedConfig):
        return GatedCombiner(width, experts, config.hidden)
    if isinstance(config, MLPConfig):
        return PerceptronCombiner(width, experts, config.hidden, config.dropout)
    if config.name == "logistic":
        return PerceptronCombiner(width, experts)
    return MeanCombiner(width, experts)


def _make_agent(config: AgentConfig, width: int, experts: int) -> WeightAgent:
    exploration = Exploration(
        config.epsilon_first, config.epsilon_final, config.epsilon_updates, config.miss_cost
    )
    if isinstance(config, DQNConfig):
        return DQNCombiner(
            width,
            experts,
            config.hidden,
            config.choices,
            exploration,
            discount=config.discount,
            capacity=config.replay,
            target_every=config.target_every,
        )
    assert isinstance(config, BanditConfig)
    return BanditCombiner(width, experts, config.hidden, config.choices, exploration)
