"""What an author's examples lack is told with the file that a person gave."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tutelage.core.errors import DataError, RequestError
from tutelage.core.overrides import build_config

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from new_task import Digits, DigitsConfig  # noqa: E402


def written(path: Path, wrong: int | None = None) -> DigitsConfig:
    """A configuration that names a file of 30 blank digits, the 18th of another class."""
    table = np.zeros((30, 65), int)
    table[:, -1] = np.arange(30) % 10
    if wrong is not None:
        table[17, -1] = wrong
    np.savetxt(path, table, "%d", ",")
    return build_config(DigitsConfig, [], [f"data.root={path}"])


def test_examples_that_are_refused_are_told_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "digits.csv"
    config = written(path, wrong=77)
    with pytest.raises(DataError) as refused:
        Digits().audit(config, tmp_path)
    said = f"{path}: example 18 is of class 77, but classes are 0 to 9\n  Mend it"
    assert str(refused.value).startswith(said)


def test_predictions_of_another_file_are_told_by_its_name(tmp_path: Path) -> None:
    own = Digits().datamodule(build_config(DigitsConfig, []), tmp_path)
    config = written(tmp_path / "mine.csv")
    other = Digits().datamodule(config, tmp_path, own.preprocessing)
    assert (own.source_name, other.source_name) == ("test", "mine.csv")
    assert len(own.test_rows) < len(own.examples)
    own.setup("predict")
    assert len(own.test_rows) == len(own.examples)


class Careless(Digits):
    """A task whose author forgot what `examples` returns."""

    def examples(self, config: DigitsConfig):
        found = super().examples(config)
        return found.x, found.y


def test_what_an_author_gives_instead_of_examples_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"Careless: `examples` gave a tuple, no Examples"):
        Careless().audit(build_config(DigitsConfig, []), tmp_path)
