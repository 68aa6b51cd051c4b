"""Fingerprints are equal exactly when two runs would compute the same thing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from made_runs import can_config
from tutelage.core.config import ModelConfig
from tutelage.core.fingerprint import _foreign_digest, config_digest, fingerprint, source_digest

BASE = fingerprint(can_config(), "data")


@pytest.mark.parametrize(
    "typed",
    [
        "run.name=other",
        "run.policy=force_new",
        "data.root=elsewhere",
        "execution=in-process",
        "tracking=mlflow",
    ],
)
def test_what_does_not_decide_the_result_does_not_count(typed: str) -> None:
    assert fingerprint(can_config(typed), "data") == BASE


@pytest.mark.parametrize(
    "typed",
    [
        "training.seed=1",
        "training.gradient_clip=null",
        "training.early_stopping.patience=3",
        "model.heads=2",
        "data.window=50",
        "data.columns.label=flag",
    ],
)
def test_what_decides_the_result_counts(typed: str) -> None:
    assert config_digest(can_config(typed)) != BASE.config
    assert fingerprint(can_config(typed), "data").run != BASE.run


def test_a_default_that_is_written_out_changes_nothing() -> None:
    assert config_digest(can_config("training.seed=0", "model=gat")) == BASE.config


def test_data_and_parents_count_and_so_does_the_order_of_the_parents() -> None:
    assert fingerprint(can_config(), "other data").run != BASE.run
    one, two = (fingerprint(can_config(), "data", p) for p in (["a", "b"], ["b", "a"]))
    assert len({one.run, two.run, BASE.run}) == 3


def test_the_source_counts_and_is_stable() -> None:
    assert BASE.source == source_digest() == fingerprint(can_config(), "data").source


def test_the_source_of_a_task_from_elsewhere_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "foreign_task"
    package.mkdir()
    code = "from tutelage.core.config import *\nclass Own(RunConfig):\n    task: str = 'own'\n"
    (package / "__init__.py").write_text(code)
    (package / "network.py").write_text("WIDTH = 8\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = import_module("foreign_task").Own(model=ModelConfig(name="net"))

    def source() -> str:
        _foreign_digest.cache_clear()
        return fingerprint(config, "data").source

    before = source()
    assert before == source() != source_digest()
    (package / "notes.txt").write_text("not code")
    assert source() == before
    (package / "network.py").write_text("WIDTH = 9\n")
    assert source() != before


def test_of_folds_it_counts_how_they_were_dealt_and_not_where_they_lie() -> None:
    here, there = (can_config(f"data.split_file={name}.json", "data.fold=1") for name in "ab")
    one, other = (fingerprint(here, "data", split=dealt) for dealt in ("dealt", "otherwise"))
    assert fingerprint(there, "data", split="dealt") == one
    assert one.run != other.run
    assert (one.split, BASE.split) == ("dealt", None)
