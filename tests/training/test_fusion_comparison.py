"""The comparison says who won, whether fusion helps, and which combiners choose without looking."""

from __future__ import annotations

import pytest
import torch

from tutelage.training.fusion.comparison import comparison_table, mcnemar, weight_table
from tutelage.training.fusion.fitting import CrossFitted
from tutelage.training.fusion.states import States

N = 200
LABEL = (torch.arange(N) % 4 == 0).long()


def states(wrong: int) -> States:
    """One expert that is wrong on the first so many samples, and one that always alarms."""
    alarm = torch.stack([LABEL == 1, torch.ones(N, dtype=torch.bool)], dim=1)
    alarm[:wrong, 0] = ~alarm[:wrong, 0]
    margin = alarm.float() * 2 - 1
    names = ("a.margin", "b.margin")
    return States(margin, LABEL, torch.arange(N) // 10, alarm, names, ("a", "b"))


def said(wrong: int, first: int = 0, weights: torch.Tensor | None = None) -> CrossFitted:
    """A combiner that is wrong on so many samples from ``first`` on."""
    alarm = LABEL == 1
    alarm[first : first + wrong] = ~alarm[first : first + wrong]
    score = torch.where(alarm, 0.9, 0.1)
    return CrossFitted(score, alarm, weights, 0.5)


@pytest.mark.parametrize(
    ("experts_wrong", "ours", "words"),
    [
        (20, 0, "Fusion helps: mlp won, right on 20 of 200"),
        (3, 0, "Fusion may help, but not beyond chance: mlp won, right on 3 of 200"),
        (0, 0, "Fusion does not help here: the best combiner, mlp, is right on 0"),
        (0, 9, "Fusion does not help here"),
    ],
)
def test_it_says_whether_fusion_beats_the_best_expert(
    experts_wrong: int, ours: int, words: str
) -> None:
    table = comparison_table(states(experts_wrong), {"mlp": said(ours), "mean": said(60)}, "mlp")
    assert table.note.startswith(words) and "expert_a" in table.note
    assert table.note.endswith("never by a test.")


def test_it_says_where_this_runs_combiner_stands() -> None:
    found = {"mlp": said(9), "mean": said(0), "gated": said(4)}
    note = comparison_table(states(5), found, "mlp").note
    assert "mean won" in note and "This run's mlp is number 3 of 3 combiners." in note
    assert "This run's" not in comparison_table(states(5), found, "mean").note


def test_the_rows_are_ranked_and_their_numbers_are_those_of_a_count() -> None:
    table = comparison_table(states(8), {"mlp": said(4), "mean": said(30)}, "mlp")
    assert [row[0] for row in table.rows][0] == "mlp"
    f1 = {row[0]: row[1] for row in table.rows}
    alarm, truth = said(4).alarm, LABEL == 1
    hits = sum(bool(a and t) for a, t in zip(alarm, truth, strict=True))
    assert f1["mlp"] == pytest.approx(2 * hits / (int(alarm.sum()) + int(truth.sum())))
    losses = {row[0]: row[5] for row in table.rows}
    assert losses["expert_a"] is None and losses["mlp"] < losses["mean"]


def test_the_test_of_disagreements_is_exact() -> None:
    assert mcnemar(0, 0) == 1 and mcnemar(5, 5) == 1
    assert mcnemar(6, 0) == pytest.approx(2 / 64)
    assert mcnemar(1, 7) == mcnemar(7, 1) == pytest.approx(2 * 9 / 256)


def test_weights_that_have_collapsed_show() -> None:
    one_way = torch.tensor([[0.0, 1.0]]).repeat(N, 1)
    spread = torch.stack([torch.linspace(0, 1, N), torch.linspace(1, 0, N)], dim=1)
    found = {"dqn": said(0, weights=one_way), "gated": said(0, weights=spread), "mean": said(0)}
    rows = {row[0]: row[1:] for row in weight_table(found, ("a", "b")).rows}
    assert set(rows) == {"dqn", "gated"}
    assert rows["dqn"] == (0.0, 1.0, 1, 1.0)
    assert rows["gated"][2] > 90 and rows["gated"][3] < 0.05
