"""Every network predicts a whole stretch as it would each of its windows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from neural_chunks import card, chunk, learned, window

from tutelage.core.errors import ConfigError, DataError
from tutelage.core.overrides import build_config
from tutelage.tasks.neural.batch import NeuralBatch
from tutelage.tasks.neural.models.config import MultiDatasetConfig, NeuralTraining
from tutelage.tasks.neural.models.layers import stacked_taps
from tutelage.tasks.neural.modules import NeuralModule

LENGTH = 6
SMALL = ("convnet.channels=[5,6]", "convnet.kernels=[5,3]")
FEEDFORWARD = {
    "default": (),
    "taps in each layer": (*SMALL, "convnet.frames=[3,2]", "frontend.lags=4"),
    "valid padding": (*SMALL, "convnet.padding=valid", "convnet.frames=[2]"),
    "resnet": (*SMALL, "convnet.name=resnet", "convnet.frames=[3,1]", "convnet.padding=valid"),
    "densenet": (*SMALL, "convnet.name=densenet", "convnet.frames=[2,3]"),
    "learned filters": (*SMALL, "frontend.name=conv", "frontend.stride=2"),
    "gabor energies": ("frontend.name=gabor", "frontend.stride=2", "convnet.frames=[4]"),
    "pixels": ("frontend.name=none", "convnet.frames=[3]"),
    "no convolutions": ("frontend.name=gabor", "convnet.name=none"),
    "film": (*SMALL, "modulator.name=film"),
    "concat": (*SMALL, "modulator.name=concat"),
    "adapter": (*SMALL, "adapter.name=affine"),
    "history": (*SMALL, "frontend.lags=3", "history.lags=9"),
    "gaussian": (*SMALL, "readout.name=gaussian", "output=exp"),
    "linear": (*SMALL, "readout.name=linear", "output=identity", "loss=mse"),
}
RECURRENT = {
    "convgru": (*SMALL, "recurrent.name=convgru", "recurrent.warmup=3"),
    "gru": (*SMALL, "recurrent.name=gru", "recurrent.warmup=3"),
    "lstm": (*SMALL, "recurrent.name=lstm", "recurrent.warmup=3"),
    "behaviour": (*SMALL, "modulator.name=convgru", "modulator.warmup=3"),
}


def made(*options: str, static: bool = False) -> tuple[NeuralModule, MultiDatasetConfig]:
    """A network of two sessions whose every weight is random."""
    config = build_config(MultiDatasetConfig, [], options)
    torch.manual_seed(1)
    cards = (card("a.1", 3, behaviour=2), card("b-2", 4, behaviour=1))
    module = NeuralModule(config, NeuralTraining(), learned(*cards, static=static))
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if "history" in name or "shift" in name:
                weight.normal_(std=0.1)
    with torch.no_grad():  # moments of the norms, as training leaves them
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return module.eval(), config


@pytest.mark.parametrize("options", FEEDFORWARD.values(), ids=FEEDFORWARD.keys())
@torch.inference_mode()
def test_a_stretch_gives_each_frame_what_its_window_gives(options: tuple[str, ...]) -> None:
    module, config = made(*options)
    stretch = chunk(card("a.1", 3, behaviour=2), 2, config.context, LENGTH)
    dense = module.rates(stretch)
    assert dense.shape == (2, LENGTH, 3)
    for row, frame in ((0, 0), (1, 3), (1, LENGTH - 1)):
        alone = module.rates(window(stretch, row, frame, config.context))
        torch.testing.assert_close(alone[0, 0], dense[row, frame], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", RECURRENT.values(), ids=RECURRENT.keys())
@torch.inference_mode()
def test_a_recurrent_network_never_looks_ahead(options: tuple[str, ...]) -> None:
    module, config = made(*options)
    stretch = chunk(card("a.1", 3, behaviour=2), 2, config.context, LENGTH)
    dense = module.rates(stretch)
    first = module.rates(window(stretch, 1, 0, config.context))
    torch.testing.assert_close(first[0, 0], dense[1, 0], rtol=1e-5, atol=1e-5)
    longer = module.rates(window(stretch, 1, 3, config.context + 3))
    torch.testing.assert_close(longer[0, 0], dense[1, 3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [(), ("modulator.name=film",), ("adapter.name=affine",)])
@torch.inference_mode()
def test_sessions_that_pass_the_core_together_get_what_each_gets_alone(
    options: tuple[str, ...],
) -> None:
    module, config = made(*options)
    cards = (card("a.1", 3, behaviour=2), card("b-2", 4, behaviour=1))
    parts = [chunk(each, 2, config.context, LENGTH, seed=i) for i, each in enumerate(cards)]
    for together, part in zip(module.network(parts), parts, strict=True):
        torch.testing.assert_close(together, module.rates(part), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [*FEEDFORWARD.values(), *RECURRENT.values()])
def test_no_stretches_at_all_have_a_loss_of_zero_that_is_part_of_the_graph(
    options: tuple[str, ...],
) -> None:
    module, config = made(*options)
    nothing = chunk(card("a.1", 3, behaviour=2), 2, config.context, LENGTH).none()
    loss = module.step(NeuralBatch((nothing,)))["loss"]
    assert float(loss.detach()) == 0
    loss.backward()  # type: ignore[no-untyped-call]
    reached = [p.grad for p in module.parameters() if p.grad is not None]
    assert len(reached) > 3 and not any(bool(each.any()) for each in reached)


def test_gradients_flow_through_stacked_frames() -> None:
    clip = torch.randn(2, 5, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(lambda x: stacked_taps(x, 3), clip)


@pytest.mark.parametrize("more", [(), ("convnet.frames=[3,2]",), ("convnet.padding=valid",)])
def test_temporal_filters_learn_the_same_through_the_layer_behind_them(
    more: tuple[str, ...],
) -> None:
    module, config = made(*SMALL, "frontend.name=temporal", "frontend.lags=4", *more)
    module.double()
    stretch = chunk(card("a.1", 3, behaviour=2), 2, config.context, LENGTH)
    asked = replace(stretch, stimulus=stretch.stimulus.double().requires_grad_())
    found = []
    for each in (stretch, asked):  # who asks for the stimulus's gradient takes the longer way
        module.zero_grad()
        module.step(NeuralBatch((each,)))["loss"].backward()  # type: ignore[no-untyped-call]
        named = module.network.core.named_parameters()
        found.append({n: p.grad.clone() for n, p in named if p.grad is not None})
    assert found[0].keys() == found[1].keys() >= {"frontend.weight"}
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-8, atol=1e-10, msg=name)


@torch.inference_mode()
def test_images_are_stretches_of_one_frame() -> None:
    module, _ = made(static=True)
    rates = module.rates(chunk(card("a.1", 3, behaviour=2), 5, 0, 1))
    assert rates.shape == (5, 1, 3)
    assert bool((rates > 0).all())


@pytest.mark.parametrize(
    "option", ["recurrent.name=gru", "modulator.name=convgru", "history.lags=2"]
)
def test_images_refuse_what_needs_a_past(option: str) -> None:
    with pytest.raises(ConfigError, match="needs movies"):
        made(option, static=True)


def test_behaviour_that_is_asked_for_and_absent_is_refused_by_session() -> None:
    config = build_config(MultiDatasetConfig, [], ["modulator.name=film"])
    with pytest.raises(ConfigError, match=r"session b.*needs behaviour"):
        NeuralModule(config, NeuralTraining(), learned(card("a", 2, behaviour=1), card("b", 2)))


@pytest.mark.parametrize("name", ["film", "concat", "convgru"])
def test_a_batch_without_the_behaviour_that_acts_is_refused_and_never_passed_over(
    name: str,
) -> None:
    module, config = made(*SMALL, f"modulator.name={name}")
    stretch = chunk(card("a.1", 3, behaviour=2), 2, config.context, LENGTH)
    with pytest.raises(DataError, match=r"a\.1.*has a modulator, and these data have no behaviour"):
        module.rates(replace(stretch, behaviour=None))


def test_behaviour_acts_by_itself_where_all_sessions_have_it() -> None:
    config = build_config(MultiDatasetConfig, [], SMALL)
    assert config.modulator.name == "auto"
    with_all = learned(card("a", 2, behaviour=1), card("b", 2, behaviour=1))
    assert NeuralModule(config, NeuralTraining(), with_all).network.core.modulator is not None
    with_some = learned(card("a", 2, behaviour=1), card("b", 2))
    assert NeuralModule(config, NeuralTraining(), with_some).network.core.modulator is None


@pytest.mark.parametrize(
    "options", [(), *RECURRENT.values(), FEEDFORWARD["gabor energies"], FEEDFORWARD["film"]]
)
def test_half_precision_trains_and_predicts_nearly_the_same(options: tuple[str, ...]) -> None:
    module, config = made(*options)
    stretch = chunk(card("a.1", 3, behaviour=2), 2, config.context, LENGTH)
    expected = module.rates(stretch).detach()
    with torch.autocast("cpu", torch.bfloat16):
        rates = module.rates(stretch)
        module.step(NeuralBatch((stretch,)))["loss"].backward()
    assert rates.dtype == torch.float32
    torch.testing.assert_close(rates.detach(), expected, rtol=0.1, atol=0.02)
    assert all(bool(p.grad.isfinite().all()) for p in module.parameters() if p.grad is not None)


def test_double_precision_is_taken_throughout() -> None:
    module, config = made("modulator.name=film", "adapter.name=affine", "history.lags=2")
    module.double()
    rates = module.rates(chunk(card("a.1", 3, behaviour=2), 2, config.context, LENGTH))
    assert rates.dtype == torch.float64
