"""Examples are checked, and what belongs together is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tutelage.classification import Examples, read_numbers
from tutelage.core.errors import DataError

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1])
NAMES = ("no", "yes")


def changed(row: int, value: float) -> np.ndarray:
    x = X.copy()
    x[row, 0] = value
    return x


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((changed(3, np.nan), Y, NAMES), "example 4 of 6 holds a value that is no finite number"),
        ((X[:, 0], Y, NAMES), r"examples of shape \(6,\)"),
        ((X[:0], Y[:0], NAMES), r"examples of shape \(0, 2\)"),
        ((X, Y + 1, NAMES), "example 2 is of class 2, but classes are 0 to 1"),
        ((X, Y - 1, NAMES), "example 1 is of class -1"),
        ((X, Y[:5], NAMES), r"y of shape \(5,\) for 6 examples"),
        ((X, Y + 0.5, NAMES), "need a whole number each"),
        ((X, Y, ("yes", "yes")), "two or more names, each once"),
        ((X, Y, ("a/b", "c")), "without /"),
        ((X, Y, NAMES, Y[:2]), r"groups of shape \(2,\)"),
    ],
)
def test_what_can_not_be_trained_on_is_refused_by_its_place(arguments: tuple, said: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(DataError, match=said):
        Examples(*arguments)


def test_what_is_the_same_or_of_one_group_or_linked_so_belongs_together() -> None:
    x = np.array([[0.0], [1.0], [1.0], [2.0], [3.0], [-0.0]])
    examples = Examples(x, Y, NAMES, groups=np.array([7, 8, 9, 9, 1, 2]))
    assert examples.together.tolist() == [0, 1, 1, 1, 4, 0]  # 1 = 2 by content, 2 = 3 by group
    named = examples.units(np.arange(6))
    assert named[1] == named[2] == named[3] and named[0] == named[5]
    assert len(set(named)) == 3


def test_a_unit_has_the_same_name_wherever_it_stands() -> None:
    here, there = Examples(X, Y, NAMES), Examples(X[::-1], Y[::-1], NAMES)
    assert here.units(np.arange(6)) == there.units(np.arange(6))[::-1]


def test_the_digest_tells_arrays_classes_and_groups_apart() -> None:
    others = [
        Examples(X, Y, NAMES),
        Examples(changed(0, 5), Y, NAMES),
        Examples(X, 1 - Y, NAMES),
        Examples(X, None, NAMES),
        Examples(X, Y, NAMES, groups=Y),
        Examples(X, Y, ("n", "y")),
        Examples(X[:, :, None], Y, NAMES),
    ]
    assert len({each.digest for each in others}) == len(others)
    assert Examples(X.astype(np.float32), Y, NAMES).digest == others[0].digest


def test_examples_without_classes_have_no_labels_to_give() -> None:
    with pytest.raises(DataError, match=r"not known[\s\S]*tutelage predict"):
        _ = Examples(X, None, NAMES).labels


def test_a_table_of_numbers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("1, 2,3\n\n4,5,6e1\n")
    assert read_numbers(path, (3,)).tolist() == [[1, 2, 3], [4, 5, 60]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1,2\n\n3,x\n", "line 3: 'x' is no number\n.*without a header"),
        (b"1,2\n3\n", "line 2 has 1 columns, the lines above have 2"),
        (b"1,2,3\n", "has 3 columns, not 2 or 4"),
        (b"", "has 0 columns"),
        (b"\xff\xfe1,2", "is no text"),
        (None, "can't be read"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_by_its_name(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"table\.csv: {said}"):
        read_numbers(path, (2, 4))
