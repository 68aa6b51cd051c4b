"""What the command line prints can be read by the tools it is meant for."""

from __future__ import annotations

import json

import pytest

from tutelage.cli.console import print_json


def test_a_printed_object_is_json_whatever_numbers_it_holds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = ((float("nan"), 1.5), ["é", float("inf")])
    print_json({"rows": rows, "deep": {"value": -float("inf"), "n": 3, "none": None}})
    printed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert printed == {
        "rows": [[None, 1.5], ["é", None]],
        "deep": {"value": None, "n": 3, "none": None},
    }
