"""Fingerprints are equal exactly when two runs would compute the same thing."""

from __future__ import annotations

import pytest

from made_runs import can_config
from tutelage.core.fingerprint import config_digest, fingerprint, source_digest

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


def test_of_folds_it_counts_how_they_were_dealt_and_not_where_they_lie() -> None:
    here, there = (can_config(f"data.split_file={name}.json", "data.fold=1") for name in "ab")
    one, other = (fingerprint(here, "data", split=dealt) for dealt in ("dealt", "otherwise"))
    assert fingerprint(there, "data", split="dealt") == one
    assert one.run != other.run
    assert (one.split, BASE.split) == ("dealt", None)
