"""The best is one expert, or a combiner that beats it on samples that neither was fitted on."""

from __future__ import annotations

import pytest
import torch
from test_fusion_comparison import LABEL, N, said, states

from tutelage.core.config import FusionMode, Training
from tutelage.training.fusion.chosen import ChosenCombiner
from tutelage.training.fusion.combiners import Combiner, PerceptronCombiner
from tutelage.training.fusion.comparison import comparison_table, winner
from tutelage.training.fusion.data import FusionData
from tutelage.training.fusion.fitting import CrossFitted
from tutelage.training.fusion.states import States

FOLD = torch.arange(N) % 5


def chosen(
    held: States, fitted: dict[str, CrossFitted]
) -> tuple[ChosenCombiner, Combiner, str, CrossFitted]:
    """A choice between the experts and a combiner called mlp, which is there a second time."""
    torch.manual_seed(0)
    mlp = PerceptronCombiner(2, 2, 4)
    torch.nn.init.normal_(mlp.net[-1].weight)
    mlp.threshold.fill_(0.4)
    made = ChosenCombiner(2, 2, {"mlp": lambda: PerceptronCombiner(2, 2, 4)})
    name, found = made.choose(held, FOLD, fitted, {"mlp": mlp})
    return made.eval(), mlp.eval(), name, found


@pytest.mark.parametrize("experts_wrong", [0, 3])
def test_the_best_expert_stays_where_no_combiner_beats_it_beyond_chance(experts_wrong: int) -> None:
    held = states(experts_wrong)
    made, _, name, found = chosen(held, {"mlp": said(0)})
    assert name == winner(held, {"mlp": said(0)}) == "expert_a"
    assert (made(held.state) > made.threshold).equal(held.alarm[:, 0])
    assert found.alarm.equal(held.alarm[:, 0])
    weights = made.weights(held.state)
    assert weights is not None and weights.tolist() == [[1.0, 0.0]] * N


def test_a_combiner_that_beats_the_best_expert_takes_its_place_with_its_threshold() -> None:
    held = states(40)
    made, mlp, name, found = chosen(held, {"mlp": said(0)})
    assert name == "mlp" and found.alarm.equal(LABEL == 1)
    assert made(held.state).equal(mlp(held.state)) and made(held.state).std() > 0
    assert made.threshold == mlp.threshold and made.weights(held.state) is None


def test_another_expert_may_be_the_best() -> None:
    held = states(N)  # the first one is always wrong
    made, _, name, _ = chosen(held, {"mlp": said(N)})
    assert name == "expert_b" and (made(held.state) > made.threshold).all()


def test_what_the_choice_is_worth_is_found_where_it_was_made_on_other_folds() -> None:
    held = states(0)
    held.alarm[FOLD == 0, 0] = LABEL[FOLD == 0] != 1  # the expert errs on fold 0 alone
    mlp = said(0)
    whole, _, name, found = chosen(held, {"mlp": mlp})
    assert name == "mlp"  # by all folds
    assert found.alarm[FOLD == 0].equal(held.alarm[FOLD == 0, 0])  # by the others: the expert
    assert found.alarm[FOLD == 1].equal(mlp.alarm[FOLD == 1])


def test_what_was_chosen_is_kept_with_the_weights() -> None:
    held = states(40)
    made, _, _, _ = chosen(held, {"mlp": said(0)})
    again = ChosenCombiner(2, 2, {"mlp": lambda: PerceptronCombiner(2, 2, 4)}).eval()
    again.load_state_dict(made.state_dict())
    assert again(held.state).equal(made(held.state)) and again.threshold == made.threshold
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_the_table_says_who_the_best_is_and_ranks_it() -> None:
    held, fitted = states(0), {"mlp": said(9)}
    _, _, name, found = chosen(held, fitted)
    table = comparison_table(held, fitted, "best", {"best": (name, found)})
    assert "Fusion does not help here: the best combiner, mlp" in table.note
    assert "So best is expert_a." in table.note and "This run's" not in table.note
    assert {row[0] for row in table.rows} == {"expert_a", "expert_b", "mlp", "best"}


def test_views_of_a_sample_fall_into_its_fold_and_follow_none_of_another_view() -> None:
    plain = states(0)
    view = States(plain.state + 5, plain.label, plain.stretch, ~plain.alarm, plain.columns,
                  plain.experts)  # fmt: skip
    held = States(plain.state, plain.label, plain.stretch, plain.alarm, plain.columns,
                  plain.experts, 1, (view,))  # fmt: skip
    mode = FusionMode(experts=("a", "b"))
    data = FusionData(None, held, (), mode, Training())  # type: ignore[arg-type]
    alone = FusionData(None, plain, (), mode, Training())  # type: ignore[arg-type]
    count = len(alone.states)
    assert len(data.states) == 2 * count and data.unseen.equal(alone.unseen)
    assert data.fold[:count].equal(alone.fold) and data.fold[count:].equal(alone.fold)
    assert data.states.state[:count].equal(alone.states.state)
    assert data.states.state[count:].equal(alone.states.state + 5)
    assert data.states.alarm[count:].equal(~alone.states.alarm)
    assert data.states.label[count:].equal(alone.states.label)
    assert (data.states.stretch.diff() >= 0).all()
    batch = data.states.batch(torch.arange(2 * count))
    assert (
        batch.last[count - 1]
        and batch.last.sum() == 2 * alone.states.batch(torch.arange(count)).last.sum()
    )
