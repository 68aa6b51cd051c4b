"""The conditional random field says what adding up every row of tags says."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from tutelage.tasks.ner.models.crf import LinearChainCRF

TAGS = 3


def small(seed: int = 0) -> tuple[LinearChainCRF, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    crf = LinearChainCRF(TAGS, torch.ones(TAGS + 1, TAGS + 1, dtype=torch.bool))
    with torch.no_grad():
        crf.scores.copy_(torch.randn(TAGS + 1, TAGS + 1, generator=generator))
    emissions = torch.randn(2, 5, TAGS, generator=generator)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    return crf, emissions, mask


@torch.no_grad()
def every_row(crf: LinearChainCRF, emissions: Tensor) -> dict[tuple[int, ...], float]:
    """The weight of each row of tags of one text, by adding it up."""
    found = {}
    for tags in product(range(TAGS), repeat=len(emissions)):
        score = crf.scores[-1, tags[0]] + crf.scores[tags[-1], -1]
        score = score + sum(emissions[i, t] for i, t in enumerate(tags))
        score = score + sum(crf.scores[a, b] for a, b in zip(tags, tags[1:], strict=False))
        found[tags] = float(score)
    return found


def test_the_likelihood_is_that_of_all_rows_added_up() -> None:
    crf, emissions, mask = small()
    tags = torch.tensor([[0, 1, 2, 1, 0], [2, 2, 0, 1, 1]])
    found = crf.log_likelihood(emissions, tags, mask).detach()
    for row, length in enumerate((5, 3)):
        weights = every_row(crf, emissions[row, :length])
        total = torch.tensor(list(weights.values())).logsumexp(0)
        expected = weights[tuple(tags[row, :length].tolist())] - total
        assert torch.allclose(found[row], expected, atol=1e-5)


def test_the_marginals_are_those_of_all_rows_added_up() -> None:
    crf, emissions, mask = small(1)
    found = crf.log_marginals(emissions, mask).exp().detach()
    for row, length in enumerate((5, 3)):
        weights = every_row(crf, emissions[row, :length])
        shares = torch.tensor(list(weights.values())).softmax(0)
        for place in range(length):
            for tag in range(TAGS):
                expected = sum(
                    float(share)
                    for tags, share in zip(weights, shares, strict=True)
                    if tags[place] == tag
                )
                assert abs(float(found[row, place, tag]) - expected) < 1e-5


def test_the_best_row_is_the_one_of_the_largest_weight() -> None:
    for seed in range(5):
        crf, emissions, mask = small(seed)
        found = crf.best(emissions, mask)
        for row, length in enumerate((5, 3)):
            weights = every_row(crf, emissions[row, :length])
            assert tuple(found[row, :length].tolist()) == max(weights, key=weights.__getitem__)
        assert found[1, 3:].tolist() == [0, 0]


def test_a_forbidden_tag_comes_neither_first_nor_after_another() -> None:
    allowed = torch.ones(TAGS + 1, TAGS + 1, dtype=torch.bool)
    allowed[0, 2] = allowed[TAGS, 2] = False  # as I- after O, and at the beginning
    crf = LinearChainCRF(TAGS, allowed)
    emissions = torch.tensor([[[0.0, 0.0, 9.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert float(crf.log_marginals(emissions, mask).detach()[0, 0, 2].exp()) < 1e-6
    tags = crf.best(emissions, mask)[0].tolist()
    assert tags[0] != 2 and (0, 2) not in zip(tags, tags[1:], strict=False)


def test_the_likelihood_rises_when_it_is_trained_on() -> None:
    crf, emissions, mask = small(2)
    tags = torch.tensor([[0, 1, 2, 1, 0], [2, 2, 0, 0, 0]])
    optimizer = torch.optim.SGD(crf.parameters(), 0.3)
    found = []
    for _ in range(20):
        loss = -crf.log_likelihood(emissions, tags, mask).mean()
        found.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found[-1] < found[0] - 1
