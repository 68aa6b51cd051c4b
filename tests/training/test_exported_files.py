"""Exported files: true to the model, whole, and refused when they are not."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tutelage.core.errors import CheckpointError, RequestError, RunFailedError
from tutelage.training.export.card import ExportCard, card_path, read_export_card
from tutelage.training.export.form import Exportable
from tutelage.training.export.integers import to_int8
from tutelage.training.export.onnx_file import export_onnx, to_onnx
from tutelage.training.export.runtime import open_session, read_exported

onnx = pytest.importorskip("onnx")


class Sums(nn.Module):
    """A layer, summed over as many rows as there are."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, rows: Tensor) -> Tensor:
        total: Tensor = self.layer(rows).sum(dim=0)
        return total


@pytest.fixture(scope="module")
def form() -> Exportable:
    torch.manual_seed(0)
    module = Sums()
    samples = [(torch.randn(n, 3),) for n in (1, 2, 5)]
    with torch.inference_mode():
        expected = [module(*sample).clone() for sample in samples]
    return Exportable(
        module=module,
        inputs=("rows",),
        output="total",
        axes={"rows": {0: "rows"}},
        example=(torch.zeros(4, 3),),
        samples=samples,
        expected=expected,
        facts={"threshold": 0.5},
    )


def export(form: Exportable, path: Path) -> ExportCard:
    return export_onnx(
        form,
        path,
        run="some-run",
        task="tiny",
        model="sums",
        parameters=8,
        preprocessing_digest="of-it",
    )


def test_an_exported_file_is_whole_and_its_card_tells_what_it_is(
    form: Exportable, tmp_path: Path
) -> None:
    path = tmp_path / "sums.onnx"
    card = export(form, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sums.onnx", "sums.onnx.json"]
    content, again = read_exported(path)
    assert again == card == read_export_card(path)
    assert card.bytes == len(content) == path.stat().st_size
    assert (card.run, card.task, card.model, card.parameters) == ("some-run", "tiny", "sums", 8)
    assert card.inputs["rows"].shape == ("rows", 3) and card.inputs["rows"].dtype == "float32"
    assert card.outputs["total"].shape == (2,)
    assert card.facts == {"threshold": 0.5} and card.preprocessing_digest == "of-it"
    assert card.parity.samples == 3
    assert card.parity.largest_difference <= card.parity.tolerance == 1e-5
    model = onnx.load_from_string(content)
    assert model.opset_import[0].version == card.opset
    assert all(t.data_location == onnx.TensorProto.DEFAULT for t in model.graph.initializer)
    rows = np.ones((7, 3), np.float32)  # a length that no sample had
    (total,) = open_session(content).run(["total"], {"rows": rows})
    assert total == pytest.approx(form.module(torch.ones(7, 3)).detach().numpy(), abs=1e-5)


def test_an_exported_file_tells_nothing_of_the_machine_and_is_the_same_again(
    form: Exportable,
) -> None:
    content = to_onnx(form)
    for folder in (Path(torch.__file__).parent, Path(__file__).parent):
        assert str(folder).encode() not in content
    assert b"stack_trace" not in content
    assert content == to_onnx(form)


@pytest.mark.parametrize("wrong", [2e-5, float("nan")], ids=["off", "nan"])
def test_a_file_that_says_something_else_is_not_written(
    form: Exportable, tmp_path: Path, wrong: float
) -> None:
    first, second, third = form.expected
    untrue = replace(form, expected=[first, second + wrong, third])
    with pytest.raises(RunFailedError, match=r"^some-run: .*off by .* sample 1 of 3.*\[\(2, 3\)\]"):
        export(untrue, tmp_path / "sums.onnx")
    assert list(tmp_path.iterdir()) == []


def test_differences_are_relative_where_results_are_large(form: Exportable, tmp_path: Path) -> None:
    samples = [(sample * 1e4,) for (sample,) in form.samples]
    with torch.inference_mode():
        results = [form.module(*sample).clone() for sample in samples]
    large = replace(form, samples=samples, expected=[result * (1 + 5e-6) for result in results])
    assert export(large, tmp_path / "a.onnx").parity.largest_difference > 3e-6
    larger = replace(large, expected=[result * (1 + 5e-5) for result in results])
    with pytest.raises(RunFailedError, match="off by"):
        export(larger, tmp_path / "b.onnx")


def test_what_rounding_leaves_of_a_small_result_is_held_to_the_largest_beside_it(
    form: Exportable, tmp_path: Path
) -> None:
    module, rows = Sums(), torch.full((1, 3), 1e4)
    with torch.inference_mode():
        module.layer.weight[0].fill_(0)
        module.layer.bias[0].fill_(0.5)
        result = module(rows).clone()
    off = result + torch.tensor([float(result[1].abs()) * 5e-6, 0.0])
    near = replace(form, module=module, samples=[(rows,)], expected=[off])
    export(near, tmp_path / "a.onnx")
    with pytest.raises(RunFailedError, match="off by"):
        export(replace(near, expected=[result + 10 * (off - result)]), tmp_path / "b.onnx")


def test_nothing_to_compare_by_is_a_failure(form: Exportable, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="no sample to compare by"):
        export(replace(form, samples=[], expected=[]), tmp_path / "sums.onnx")
    assert list(tmp_path.iterdir()) == []


def test_altered_files_and_cards_are_refused(form: Exportable, tmp_path: Path) -> None:
    path = tmp_path / "sums.onnx"
    export(form, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="differs from its card's digest"):
        read_exported(path)
    card = card_path(path)
    text = card.read_text()
    card.write_text(text.replace('"opset"', '"opsets"'))
    with pytest.raises(CheckpointError, match=r"sums\.onnx\.json: its opset"):
        read_exported(path)
    card.write_text(json.dumps(json.loads(text) | {"schema_version": 2}))
    with pytest.raises(CheckpointError, match="its schema_version is wrong"):
        read_exported(path)
    card.unlink()
    with pytest.raises(CheckpointError, match="card is missing"):
        read_exported(path)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match="can't run this model"):
        open_session(b"no model")


@pytest.mark.parametrize("package", ["onnxruntime", "onnx", "onnxscript"])
def test_without_the_extra_the_message_says_how_to_install_it(
    form: Exportable, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RequestError, match=rf"(?s)needs {package}.*tutelage\[onnx\]") as refusal:
        to_onnx(form)
    assert refusal.value.exit_code == 2


def test_matrices_of_layers_become_integers_and_other_words_stay_unsaid() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    rows = torch.randn(2, 6)
    whole = Exportable(layers, ("x",), "y", {"x": {0: "rows"}}, (rows,), (), (), {})
    handlers = list(logging.getLogger().handlers)
    content = to_int8(to_onnx(whole))
    assert logging.getLogger().handlers == handlers
    (found,) = open_session(content).run(["y"], {"x": rows.numpy()})
    assert found == pytest.approx(layers(rows).detach().numpy(), abs=0.1)
    kinds = {t.data_type for t in onnx.load_from_string(content).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
