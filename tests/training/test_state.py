"""Trees of values and tensors survive a file exactly, and nothing else is read as one."""

from __future__ import annotations

import enum
import math
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tutelage.core.errors import CheckpointError
from tutelage.training.state import load_tree, save_tree
from tutelage.training.tensorfile import DTYPES, raw_bytes


def through_a_file(tmp_path: Path, tree: object) -> object:
    save_tree(tmp_path / "tree.safetensors", tree)
    return load_tree(tmp_path / "tree.safetensors")


keys = st.one_of(st.text(), st.integers(), st.none(), st.booleans(), st.tuples(st.text()))
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=20)
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(st.text(), inner, max_size=4),
        st.sets(st.integers()),
    ),
    max_leaves=12,
)


def same(a: object, b: object) -> bool:
    """Equal in value and type, nan and the sign of zero included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=False)
        return len(a) == len(b) and all(same(x, y) for x, y in pairs)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@settings(max_examples=60, deadline=None)
@given(tree=trees)
def test_any_tree_of_plain_values_comes_back_with_its_types(
    tree: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert same(through_a_file(tmp_path_factory.mktemp("tree"), tree), tree)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)], ids=str)
def test_a_tensor_of_each_dtype_comes_back_bit_for_bit(
    dtype: torch.dtype, shape: tuple[int, ...], tmp_path: Path
) -> None:
    tensor = torch.arange(6)[: math.prod(shape)].reshape(shape).to(dtype)
    result = through_a_file(tmp_path, [tensor])[0]
    assert (result.dtype, result.shape) == (dtype, shape)
    assert raw_bytes(result).tobytes() == raw_bytes(tensor).tobytes()
    assert torch.equal(result.to(torch.complex64), tensor.to(torch.complex64))


def test_views_come_back_as_the_values_they_show(tmp_path: Path) -> None:
    base = torch.randn(4, 5)
    wave = torch.randn(3, dtype=torch.complex64)
    tree = {"t": base.t(), "row": base[1], "wide": base[:1].expand(3, 5), "conj": wave.conj()}
    result = through_a_file(tmp_path, tree)
    for name, value in tree.items():
        assert torch.equal(result[name], value), name


def test_a_single_value_that_was_broadcast_has_bytes_too() -> None:
    for values in (np.zeros(0, np.int64), np.arange(1)):
        one = torch.as_strided(torch.from_numpy(values), (len(values),), (0,))
        assert bytes(raw_bytes(one)) == values.tobytes()


def test_a_shared_tensor_is_stored_once_and_is_one_again(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.randn(100, 100))
    written = save_tree(tmp_path / "x.safetensors", {"a": weight, "b": [weight.data]})
    assert written.bytes < 1.2 * weight.numel() * 4
    result = load_tree(tmp_path / "x.safetensors")
    assert result["a"] is result["b"][0]
    assert type(result["a"]) is torch.Tensor


def test_numpy_values_come_back_with_their_dtypes(tmp_path: Path) -> None:
    tree = {
        "scalar": np.float32(0.1),
        "big": np.array([2**63], dtype=np.uint64),
        "strided": np.arange(12).reshape(3, 4)[:, ::2],
        "text": np.array(["ab", "c"]),
        "time": np.array(["2024-01-02"], dtype="datetime64[D]"),
        "bool": np.bool_(True),
    }
    result = through_a_file(tmp_path, tree)
    for name, value in tree.items():
        assert type(result[name]) is type(value), name
        assert result[name].dtype == value.dtype, name
        assert np.array_equal(result[name], value), name


def test_containers_of_optimisers_and_schedulers_are_kept(tmp_path: Path) -> None:
    tree = {"n": Counter({30: 1}), "s": torch.Size([2, 3]), "o": OrderedDict(b=1, a=2)}
    result = through_a_file(tmp_path, tree)
    assert (type(result["n"]), result["n"]) == (Counter, Counter({30: 1}))
    assert (type(result["s"]), result["s"]) == (torch.Size, torch.Size([2, 3]))
    assert (type(result["o"]), list(result["o"].items())) == (dict, [("b", 1), ("a", 2)])


def test_the_file_is_a_safetensors_file_for_other_readers_too(tmp_path: Path) -> None:
    tensor = torch.randn(7)
    save_tree(tmp_path / "x.safetensors", {"flag": torch.tensor([True]), "w": tensor})
    assert any(
        torch.equal(value, tensor) for value in load_file(tmp_path / "x.safetensors").values()
    )


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"callbacks": {"EarlyStopping": {"foo": object()}}}, r"callbacks\.EarlyStopping\.foo"),
        ({"a": [1, (2, Colour.RED)]}, r"a\[1\]\[1\]"),
        ({"a": lambda: 0}, "a holds a"),
        ({"a": defaultdict(int)}, "a holds a collections.defaultdict"),
        ({"a": {frozenset(): 1}}, "a has a key"),
        ({"a": np.array([object()])}, "a is a NumPy array"),
        ({"a": torch.zeros(2, dtype=torch.complex128)}, "a is a tensor of dtype"),
        ({"a": torch.eye(2).to_sparse()}, "a is a tensor of layout"),
        ({"a": torch.empty(2, device="meta")}, "a is a tensor on the meta device"),
        ({"a": Path("x")}, "a holds a pathlib"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_cannot_be_stored_is_named_by_its_place(
    value: object, place: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=place):
        save_tree(tmp_path / "x.safetensors", value)
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_contains_itself_is_refused(tmp_path: Path) -> None:
    tree: dict[str, object] = {}
    tree["a"] = [tree]
    with pytest.raises(CheckpointError, match=r"a\[0\] contains itself"):
        save_tree(tmp_path / "x.safetensors", tree)


def pickled(path: Path) -> None:
    path.write_bytes(b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00}\x94.")


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02.")


def weights_alone(path: Path) -> None:
    save_file({"w": torch.zeros(2)}, path)


def newer(path: Path) -> None:
    metadata = {"format": "tutelage-tree", "version": "2", "tree": "1"}
    save_file({"w": torch.zeros(2)}, path, metadata=metadata)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (pickled, "a Python pickle"),
        (zipped, "a zip archive, as torch.save writes"),
        (weights_alone, "not a checkpoint of Tutelage"),
        (newer, "written in version 2"),
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(20)), "an HDF5 file"),
        (lambda path: path.write_text('{"a": 1}'), "a JSON text"),
        (lambda path: path.write_bytes(bytes(range(1, 200))), "unknown kind"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: None, "missing"),
    ],
)
def test_a_foreign_file_is_refused_by_what_it_is(make: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    make(path)
    with pytest.raises(CheckpointError, match=words):
        load_tree(path)


def test_a_truncated_file_is_refused_at_any_length(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_tree(path, {"w": torch.randn(5), "n": [1, 2]})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            load_tree(path)
