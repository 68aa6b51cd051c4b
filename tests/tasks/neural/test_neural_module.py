"""The module trains what it should, by valid responses alone, and keeps what was trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from neural_chunks import card, chunk, learned

from tutelage.core.errors import ConfigError
from tutelage.core.overrides import build_config
from tutelage.tasks.neural.batch import NeuralBatch, SessionChunk
from tutelage.tasks.neural.losses import masked_sum
from tutelage.tasks.neural.models.config import MultiDatasetConfig, NeuralTraining
from tutelage.tasks.neural.modules import NeuralModule
from tutelage.training.optimization import build_optimizer

ONE, OTHER = card("one", 3), card("other", 4)
SMALL = ("convnet.channels=[4]", "convnet.kernels=[3]")


def made(*options: str, training: tuple[str, ...] = ()) -> NeuralModule:
    torch.manual_seed(0)
    lags = () if "frontend.name=gabor" in options else ("frontend.lags=3",)
    config = build_config(MultiDatasetConfig, [], (*SMALL, *lags, *options))
    return NeuralModule(config, build_config(NeuralTraining, [], training), learned(ONE, OTHER))


def batch(module: NeuralModule, seed: int = 0) -> NeuralBatch:
    context = module.network.core.context
    return NeuralBatch(tuple(chunk(each, 2, context, 5, seed) for each in (ONE, OTHER)))


def gradients(module: NeuralModule, of: NeuralBatch) -> dict[str, torch.Tensor]:
    module.zero_grad()
    module.step(of)["loss"].backward()
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def without_valid(part: SessionChunk) -> SessionChunk:
    return replace(part, valid=torch.zeros_like(part.valid))


def test_the_loss_is_the_mean_over_valid_entries() -> None:
    module = made()
    of = batch(module)
    module.eval()
    total, count = 0.0, 0
    for rates, part in zip(module.rates_of(of), of.parts, strict=True):
        for r, y, v in zip(
            rates.flatten().tolist(), part.responses.flatten(), part.valid.flatten(), strict=True
        ):
            if v:
                total += float(F.poisson_nll_loss(torch.tensor(r), y, log_input=False, eps=1e-8))
                count += 1
    assert float(module.step(of)["loss"].detach()) == pytest.approx(total / count, rel=1e-5)


def test_what_is_not_valid_touches_neither_loss_nor_gradient() -> None:
    module = made()
    of = batch(module)
    spoilt = NeuralBatch(
        tuple(
            replace(part, responses=torch.where(part.valid, part.responses, torch.nan))
            for part in of.parts
        )
    )
    expected, found = gradients(module, of), gradients(module, spoilt)
    assert expected.keys() == found.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


def test_a_step_without_valid_entries_has_a_loss_of_zero_that_is_part_of_the_graph() -> None:
    module = made()
    of = NeuralBatch(tuple(without_valid(part) for part in batch(module).parts))
    found = module.step(of)["loss"]
    assert float(found.detach()) == 0
    assert found.requires_grad
    for gradient in gradients(module, of).values():
        assert bool((gradient == 0).all())


@pytest.mark.parametrize("name", ["poisson", "mse"])
def test_not_a_number_never_leaks_through_the_mask(name: str) -> None:
    rates = torch.tensor([2.0, torch.nan], requires_grad=True)
    valid = torch.tensor([True, False])
    loss = masked_sum(name, rates, torch.tensor([1.0, torch.nan]), valid)
    loss.backward()  # type: ignore[no-untyped-call]
    assert bool(loss.isfinite())
    assert rates.grad is not None and bool(rates.grad.isfinite().all())


def test_a_sessions_weight_multiplies_its_part_of_the_loss() -> None:
    module = made()
    module.eval()
    parts = batch(module).parts
    alone = [
        float(module.step(NeuralBatch((parts[0], without_valid(parts[1]))))["loss"].detach()),
        float(module.step(NeuralBatch((without_valid(parts[0]), parts[1])))["loss"].detach()),
    ]
    counts = [int(part.valid.sum()) for part in parts]
    weighed = NeuralBatch((replace(parts[0], weight=3.0), parts[1]))
    expected = (3 * alone[0] * counts[0] + alone[1] * counts[1]) / sum(counts)
    assert float(module.step(weighed)["loss"].detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("core", "head"), [(0.1, 1.0), (1.0, 0.1), (2.0, 0.5)])
def test_core_and_heads_move_at_their_own_rates(core: float, head: float) -> None:
    rates = (f"core_rate={core}", f"head_rate={head}", "optimizer=sgd", "weight_decay=0")
    moved = []
    for training in (("optimizer=sgd", "weight_decay=0"), rates):
        module = made(training=training).double()
        before = {name: p.detach().clone() for name, p in module.named_parameters()}
        optimizer = build_optimizer(module, module.training_config)
        module.step(batch(module))["loss"].backward()
        optimizer.step()
        after = dict(module.named_parameters())
        moved.append({name: after[name].detach() - before[name] for name in before})
    plain, scaled = moved
    assert len(plain) == len(dict(module.named_parameters()))
    for name in plain:
        share = core if ".core." in name else head
        torch.testing.assert_close(scaled[name], share * plain[name], rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("output", ["softplus", "exp", "identity"])
def test_a_fresh_readout_begins_at_the_mean_rates(output: str) -> None:
    module = made(f"output={output}", "loss=mse")
    for head, each in ((module.network.head("one"), ONE), (module.network.head("other"), OTHER)):
        with torch.no_grad():
            head.readout.features.zero_()
        rates = module.rates(chunk(each, 2, module.network.core.context, 5))
        expected = torch.tensor(each.mean_rates).expand_as(rates)
        torch.testing.assert_close(rates.detach(), expected, rtol=1e-4, atol=1e-4)


def test_setting_the_statistics_again_leaves_trained_biases_alone() -> None:
    module = made()
    bias = module.network.head("one").bias
    with torch.no_grad():
        bias.fill_(7.0)
    busier = replace(ONE, mean_rates=(5.0, 5.0, 5.0))
    module.set_statistics(replace(learned(busier, OTHER), stimulus_mean=99.0))
    assert bias.tolist() == [7.0] * 3
    assert float(module.network.core.stimulus_mean) == 99.0


def test_a_frozen_core_stays_as_it_is_while_heads_learn() -> None:
    module = made("freeze_core=true")
    module.taken_over("core")
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimizer = build_optimizer(module, module.training_config)
    for seed in range(2):
        module.step(batch(module, seed))["loss"].backward()
        optimizer.step()
    after = module.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    core = {name for name in before if ".core." in name}
    assert any(name.endswith("running_mean") for name in core)
    assert same == core


def test_a_core_taken_over_keeps_the_scale_of_its_own_stimuli() -> None:
    module = made()
    module.taken_over("core")
    module.set_statistics(replace(learned(ONE, OTHER), stimulus_mean=7.0))
    assert float(module.network.core.stimulus_mean) == 120.0


def test_a_random_frozen_core_learns_the_moments_of_its_norms_alone() -> None:
    module = made("freeze_core=true").train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module.step(batch(module))["loss"].backward()
    after = module.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("running" in name or "num_batches" in name for name in changed)
    assert not any(p.requires_grad for p in module.network.core.parameters())


def test_a_regularizer_acts_on_the_weights_that_it_names() -> None:
    rule = "regularizers=[{name: l2, parameters: 'heads.*.readout.features', strength: 10}]"
    module = made(training=(rule,))
    of = batch(module)
    found = module.step(of)
    weights = [h.readout.features for h in map(module.network.head, ("one", "other"))]
    expected = 10 * sum(float(w.detach().square().sum()) for w in weights)
    assert float(found["penalty"]) == pytest.approx(expected, rel=1e-5)
    pure = module.mean_loss_of(module.rates_of(of), of)
    assert float((found["loss"] - pure).detach()) == pytest.approx(expected, rel=1e-4)


def test_a_regularizer_of_nothing_is_refused() -> None:
    rule = "regularizers=[{name: l2, parameters: 'readouts.*', strength: 1}]"
    with pytest.raises(ConfigError, match="no parameter is called"):
        made(training=(rule,))


def test_readout_centres_are_told_in_pixels() -> None:
    module = made("convnet.pools=[2]")
    readout = module.network.head("one").readout
    with torch.no_grad():
        readout.spatial.zero_()
        readout.spatial[0, 0, 0] = 1
        readout.spatial[1, -1, 4] = -1
        readout.spatial[2, 2, 3] = 1
    centres = module.receptive_fields("one")
    assert centres.tolist() == [[0.5, 0.5], [18.5, 8.5], [4.5, 6.5]]


def test_poisson_loss_refuses_rates_that_may_be_negative() -> None:
    with pytest.raises(ConfigError, match="rates above 0"):
        build_config(MultiDatasetConfig, [], ["output=identity"])


@pytest.mark.parametrize("frontend", ["gabor", "temporal"])
def test_gradients_reach_the_adapter_and_the_stimulus(frontend: str) -> None:
    module = made(f"frontend.name={frontend}", "adapter.name=affine", "freeze_core=true")
    of = batch(module)
    seen = replace(of.parts[0], stimulus=of.parts[0].stimulus.float().requires_grad_())
    found = gradients(module, NeuralBatch((seen, of.parts[1])))
    adapters = [name for name in found if "adapter" in name]
    assert len(adapters) == 6
    assert all(float(found[name].abs().sum()) > 0 for name in adapters)
    assert seen.stimulus.grad is not None
    assert float(seen.stimulus.grad.abs().sum()) > 0
