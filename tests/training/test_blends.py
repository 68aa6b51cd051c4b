"""Mode fusion with blends: weights that suit each key, honest comparison, exact resume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_blend import BLENDS, TinyBlendTask, launched
from tiny_task import crash_at, same_bits, sample, weights

from tutelage.core.errors import DataError, RunFailedError
from tutelage.training.blending.blends import (
    Blend,
    GatedBlend,
    KeyedBlend,
    MeanBlend,
    WeightedBlend,
)
from tutelage.training.blending.comparison import gain
from tutelage.training.blending.data import group_folds
from tutelage.training.blending.likelihoods import of_candidates, of_classes, of_counts
from tutelage.training.blending.opinions import Opinions
from tutelage.training.restore import restore_module

FAST = ("training.accelerator=cpu", "data.tests=200")


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    """A store with a trained classifier and a hardly trained one, and what fuses them."""
    home = tmp_path_factory.mktemp("experts")
    good = launched(home, *FAST, "training.max_epochs=12").run
    bad = launched(home, *FAST, "training.max_epochs=1", "training.max_steps=1").run
    return home, (*FAST, "mode=fusion", f"mode.experts=[{good.id},{bad.id}]", "mode.folds=3")


# ---- the weights


def opinions(
    outputs: torch.Tensor, target: torch.Tensor, key: torch.Tensor | None = None
) -> Opinions:
    n = len(outputs)
    return Opinions(
        outputs=outputs,
        target=target,
        key=torch.zeros(n, dtype=torch.long) if key is None else key,
        group=torch.arange(n),
        state=torch.randn(n, 3, generator=torch.Generator().manual_seed(0)),
        experts=tuple("ab"[: outputs.shape[1]]),
        keys=("one", "other"),
    )


def two_sided(n: int = 400) -> Opinions:
    """Expert a is right on key 0, expert b on key 1; elsewhere each knows nothing."""
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(0, 2, (n,), generator=generator)
    key = torch.randint(0, 2, (n,), generator=generator)
    right, none = torch.eye(2)[y] * 0.8 + 0.1, torch.full((n, 2), 0.5)
    a, b = (torch.where((key == side)[:, None], right, none) for side in (0, 1))
    return opinions(torch.stack([a, b], dim=1), y, key)


def fitted(blend: Blend, seen: Opinions) -> torch.Tensor:
    """The weights of each row after a fit to all of them."""
    blend.fit_inputs(seen)
    batch = seen.batch(torch.arange(len(seen)))
    optimizer = torch.optim.Adam(blend.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        blend.step(batch)["loss"].backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        return blend.weights(batch)


def test_keyed_weights_find_the_expert_of_each_key_and_shared_ones_cannot() -> None:
    seen = two_sided()
    keyed = fitted(KeyedBlend(2, 2, 0.0, of_classes), seen)
    assert keyed[seen.key == 0][:, 0].min() > 0.95 and keyed[seen.key == 1][:, 1].min() > 0.95
    shared = fitted(WeightedBlend(2, of_classes), seen)
    assert 0.3 < float(shared[0, 0]) < 0.7 and shared.unique(dim=0).shape == (1, 2)


def test_shrinkage_draws_the_keys_together() -> None:
    seen = two_sided()
    apart = []
    for shrinkage in (0.0, 0.05, 100.0):
        found = fitted(KeyedBlend(2, 2, shrinkage, of_classes), seen)
        apart.append(float(found[seen.key == 0][0, 0] - found[seen.key == 1][0, 0]))
    assert apart[0] > apart[1] > apart[2] and apart[2] < 0.05


def test_a_gate_reads_the_weights_off_the_state() -> None:
    torch.manual_seed(0)
    seen = two_sided()
    seen.state[:, 0] = seen.key.float() * 100
    found = fitted(GatedBlend(2, 3, 8, of_classes), seen)
    assert found[seen.key == 0][:, 0].mean() > 0.9 and found[seen.key == 1][:, 1].mean() > 0.9


def test_the_mean_has_nothing_to_learn() -> None:
    blend, seen = MeanBlend(of_classes), two_sided(10)
    assert not list(blend.parameters())
    assert torch.allclose(blend(seen.batch(torch.arange(10))), seen.outputs.mean(dim=1))


@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 1000))
@settings(deadline=None, max_examples=25)
def test_weights_are_positive_and_sum_to_one(count: int, columns: int, seed: int) -> None:
    torch.manual_seed(seed)
    seen = opinions(torch.rand(6, count, columns), torch.zeros(6, dtype=torch.long))
    batch = seen.batch(torch.arange(6))
    for blend in (
        *(WeightedBlend(count, of_classes), KeyedBlend(count, 2, 0.1, of_classes)),
        *(GatedBlend(count, 3, 4, of_classes), MeanBlend(of_classes)),
    ):
        for parameter in blend.parameters():
            torch.nn.init.normal_(parameter)
        found = blend.weights(batch)
        assert found.min() >= 0 and torch.allclose(found.sum(1), torch.ones(6))


# ---- likelihoods


def test_likelihoods_are_those_of_torch() -> None:
    torch.manual_seed(0)
    logits, y = torch.randn(9, 4), torch.randint(0, 4, (9,))
    entropy = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    assert torch.allclose(of_classes(logits.softmax(1), y), entropy, atol=1e-6)
    assert torch.allclose(of_candidates(logits, torch.eye(4)[y]), entropy, atol=1e-6)
    rates, counts = torch.rand(9, 1) + 0.1, torch.poisson(torch.ones(9))
    poisson = torch.nn.functional.poisson_nll_loss(
        rates[:, 0], counts, log_input=False, eps=0, reduction="none"
    )
    assert torch.allclose(of_counts(rates, counts), poisson, atol=1e-6)


# ---- honesty


def test_rows_of_a_group_stand_in_one_fold_and_folds_are_of_like_size() -> None:
    group = torch.arange(50).repeat_interleave(3)
    fold = group_folds(group, 4, seed=1)
    assert all(len(fold[group == g].unique()) == 1 for g in range(50))
    assert fold.bincount().min() >= 3 * 12
    with pytest.raises(DataError, match="50 groups, fewer than 51 folds"):
        group_folds(group, 51, seed=1)


def test_the_interval_of_a_gain_is_that_of_a_naive_bootstrap_of_groups() -> None:
    rng = np.random.default_rng(3)
    group = np.array([7, 7, 7, 1, 1, 4, 9, 9])
    reference, loss = (torch.from_numpy(rng.random(8)) for _ in range(2))
    naive, kinds = [], np.unique(group)
    for row in np.random.default_rng(5).integers(0, 4, (1000, 4)):
        taken = np.concatenate([np.flatnonzero(group == kinds[k]) for k in row])
        naive.append(float((reference - loss).numpy()[taken].mean()))
    found = gain(reference, loss, torch.from_numpy(group), 5)
    assert found == pytest.approx(tuple(np.percentile(naive, (2.5, 97.5))))


# ---- a run


@pytest.mark.parametrize("kind", BLENDS)
def test_a_run_blends_its_experts_and_says_who_won(
    experts: tuple[Path, tuple[str, ...]], kind: str
) -> None:
    home, fusion = experts
    run = launched(home, *fusion, f"model={kind}").run
    comparison, spread = run.record.tables
    assert {row[0] for row in comparison.rows} == {*BLENDS, "expert_e0", "expert_e1"}
    assert "Fusion" in comparison.note and "never by a test" in comparison.note
    losses = [float(row[1]) for row in comparison.rows if row[1] is not None]
    assert losses == sorted(losses) and len(losses) == 6
    by_kind = {row[0]: row for row in spread.rows}
    assert by_kind["mean"][1:3] == (0.5, 0.5)
    good, bad = by_kind["weighted"][1:3]
    assert float(good or 0) > float(bad or 0)
    assert {parent.role for parent in run.record.parents} == {"expert"}


def test_a_finished_blend_is_rebuilt_from_its_own_files(
    experts: tuple[Path, tuple[str, ...]],
) -> None:
    home, fusion = experts
    run = launched(home, *fusion, "model=weighted").run
    module = restore_module(TinyBlendTask(), run)  # type: ignore[arg-type]
    x, y = sample(200, 3)
    hits = module.probabilities((x, y)).argmax(1) == y  # type: ignore[operator]
    assert float(hits.float().mean()) == run.record.metrics["test/accuracy"]
    assert len([name for name in weights(run) if name.startswith("experts.1.")]) > 5


OPTIONS = {"keyed": "model.shrinkage=5", "gated": "model.hidden=3", "weighted": "mode.passes=1"}


@pytest.mark.parametrize("kind", OPTIONS)
def test_each_option_changes_what_is_learned(
    experts: tuple[Path, tuple[str, ...]], kind: str
) -> None:
    home, fusion = experts
    plain = weights(launched(home, *fusion, f"model={kind}").run)
    other = weights(launched(home, *fusion, f"model={kind}", OPTIONS[kind]).run)
    names = [name for name in plain if name.startswith("network")]
    assert names and not all(torch.equal(plain[name], other[name]) for name in names)


def test_a_broken_run_ends_with_the_bits_of_the_whole_one(
    experts: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    home, fusion = experts
    saved = (*fusion, "model=gated", "training.checkpoints.every_n_steps=1")
    whole = launched(home, *saved, "run.name=whole").run
    broken = (*saved, "training.seed=1", "run.policy=resume_if_incomplete")
    with pytest.raises(RunFailedError):
        launched(home, *broken, on_step=crash_at(5, RuntimeError("lightning struck")))
    resumed = launched(home, *broken)
    again = launched(home, *saved, "training.seed=1", "run.policy=force_new").run
    assert resumed.origin == "resumed" and same_bits(resumed.run, again)
    assert not same_bits(resumed.run, whole)
