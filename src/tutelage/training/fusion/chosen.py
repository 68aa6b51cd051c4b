"""`ChosenCombiner`: the best expert alone, unless a combiner beats it on held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from tutelage.training.fusion.combiners import Combiner
from tutelage.training.fusion.comparison import EXPERT, winner
from tutelage.training.fusion.fitting import CrossFitted
from tutelage.training.fusion.states import States


class ChosenCombiner(Combiner):
    """Judges as one of the experts alone does, or as one of the other combiners.

    It is chosen on held-out samples: the best expert, unless the best combiner beats it there
    beyond chance. What adds nothing that can be shown is left out, so that this fusion is no worse
    than its best expert by more than that choice can err.

    Args:
        width: S, columns of a state.
        experts: E, the first columns.
        makers: Makes a fresh combiner of each other kind.
    """

    choice: Tensor

    def __init__(
        self, width: int, experts: int, makers: Mapping[str, Callable[[], Combiner]]
    ) -> None:
        super().__init__(width, experts)
        self.members = nn.ModuleDict({name: make() for name, make in makers.items()})
        self.register_buffer("choice", torch.tensor(0))
        self.requires_grad_(False)

    def forward(self, state: Tensor) -> Tensor:
        """Return (B,) probabilities of an attack; an expert's is above 1/2 where it alarms."""
        member = self._member()
        if member is None:
            return state[:, int(self.choice)].sigmoid()
        probability: Tensor = member(state)
        return probability

    def weights(self, state: Tensor) -> Tensor | None:
        """Return (B, E), how much each expert counts; None where that is not defined."""
        member = self._member()
        if member is not None:
            return member.weights(state)
        weights = state.new_zeros(len(state), self.experts)
        weights[:, int(self.choice)] = 1.0
        return weights

    def choose(
        self,
        states: States,
        fold: Tensor,
        fitted: Mapping[str, CrossFitted],
        finished: Mapping[str, Combiner],
    ) -> tuple[str, CrossFitted]:
        """Choose by all samples, and find out what choosing so is worth on others.

        Args:
            states: The held-out samples.
            fold: (n,) their folds.
            fitted: What each other combiner said of samples that it was not fitted on.
            finished: These combiners, fitted, with their thresholds.

        Returns:
            Who it is; and what it says of each sample where the choice is made on other folds.
        """
        name = winner(states, fitted)
        for kind, combiner in finished.items():
            self.members[kind].load_state_dict(combiner.state_dict())
        self.choice.fill_(self._names(states.experts).index(name))
        member = self._member()
        self.threshold.fill_(0.5 if member is None else float(member.threshold))
        return name, self._cross_fitted(states, fold, fitted)

    def _cross_fitted(
        self, states: States, fold: Tensor, fitted: Mapping[str, CrossFitted]
    ) -> CrossFitted:
        score, alarm = torch.zeros(len(states)), torch.zeros(len(states), dtype=torch.bool)
        for number in range(int(fold.max()) + 1):
            away, rest = fold == number, fold != number
            others = {name: found.rows(rest) for name, found in fitted.items()}
            name = winner(states.rows(rest), others)
            if name in fitted:
                score[away], alarm[away] = fitted[name].score[away], fitted[name].alarm[away]
            else:
                at = self._names(states.experts).index(name)
                score[away] = states.state[away, at].sigmoid()
                alarm[away] = states.alarm[away, at]
        return CrossFitted(score, alarm, None, float(self.threshold))

    def _names(self, experts: Sequence[str]) -> list[str]:
        return [*(f"{EXPERT}{name}" for name in experts), *self.members]

    def _member(self) -> Combiner | None:
        """Return the combiner that was chosen; none where it is an expert."""
        number = int(self.choice) - self.experts
        if number < 0:
            return None
        member = list(self.members.values())[number]
        assert isinstance(member, Combiner)
        return member
