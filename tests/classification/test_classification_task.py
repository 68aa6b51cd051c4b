"""What an author's examples lack is told with the file that a person gave."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tutelage.core.errors import DataError
from tutelage.core.overrides import build_config

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from new_task import Digits, DigitsConfig  # noqa: E402


def test_examples_that_are_refused_are_told_with_their_file(tmp_path: Path) -> None:
    table = np.zeros((30, 65), int)
    table[:, -1] = np.arange(30) % 10
    table[17, -1] = 77
    path = tmp_path / "digits.csv"
    np.savetxt(path, table, "%d", ",")
    config = build_config(DigitsConfig, [], [f"data.root={path}"])
    with pytest.raises(DataError) as refused:
        Digits().audit(config, tmp_path)
    said = f"{path}: example 18 is of class 77, but classes are 0 to 9\n  Mend it"
    assert str(refused.value).startswith(said)
