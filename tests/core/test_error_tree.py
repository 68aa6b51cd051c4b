"""Errors say what, where and what to do."""

from __future__ import annotations

import pytest

from tutelage.core import errors


def test_a_message_says_where_then_what_then_what_to_do() -> None:
    error = errors.DataError("no label column", where="a.csv", hint="Name it.")
    assert str(error) == "a.csv: no label column\n  Name it."


def test_an_unknown_name_offers_the_nearest_and_lists_all() -> None:
    error = errors.UnknownNameError("loss", "focl", ["focal", "cross_entropy"])
    assert "unknown loss 'focl'" in str(error)
    assert "Did you mean 'focal'? Valid: cross_entropy, focal." in str(error)


def test_nothing_to_choose_from_is_said() -> None:
    assert errors.suggest("x", []) == "Valid: none."


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.RunFailedError, 1),
        (errors.ConfigError, 2),
        (errors.DataError, 2),
        (errors.CheckpointError, 2),
        (errors.StoreError, 2),
        (errors.StorageError, 2),
    ],
)
def test_a_failed_run_exits_1_and_a_wrong_request_2(
    kind: type[errors.TutelageError], code: int
) -> None:
    assert kind("x").exit_code == code
