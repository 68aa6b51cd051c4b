"""`Expert`: a finished run's model among those that a fusion combines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from tutelage.core.config import RunConfig
from tutelage.core.store import Run
from tutelage.task import Task
from tutelage.training.contracts import TaskModule
from tutelage.training.model_card import read_card
from tutelage.training.restore import restore_module


@dataclass(frozen=True, slots=True)
class Expert:
    """A finished run's model.

    Args:
        name: The model's name, numbered where several have it.
        run: Id of the run.
        fingerprint: The run's fingerprint.
        weights: Digest of its weights' file.
        model: The model's settings.
        preprocessing: What it learned from its training data before it trained.
        module: The model with its weights.
    """

    name: str
    run: str
    fingerprint: str
    weights: str
    model: Mapping[str, JsonValue]
    preprocessing: Mapping[str, JsonValue]
    module: TaskModule

    def card(self) -> dict[str, object]:
        """What rebuilds it inside a fusion's model, whose file has the weights."""
        return {
            "name": self.name,
            "run": self.run,
            "fingerprint": self.fingerprint,
            "weights": self.weights,
            "model": dict(self.model),
        }


def restore_experts(task: Task[RunConfig], runs: Sequence[Run]) -> tuple[Expert, ...]:
    """Rebuild the models of finished runs, in order.

    Raises:
        CheckpointError: Card or weights are missing, altered, or of another shape.
    """
    cards = [read_card(run.path) for run in runs]
    often = Counter(card.model for card in cards)
    seen: Counter[str] = Counter()
    experts = []
    for run, card in zip(runs, cards, strict=True):
        seen[card.model] += 1
        name = card.model if often[card.model] == 1 else f"{card.model}_{seen[card.model]}"
        module = restore_module(task, run).requires_grad_(False)
        fingerprint = run.record.fingerprints.run
        experts.append(
            Expert(name, run.id, fingerprint, card.digest, card.config, card.preprocessing, module)
        )
    return tuple(experts)
