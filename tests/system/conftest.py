"""Homes for the installed command, and one trained run that tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import SMALL, Shared, Tutelage

from browser import opened


@pytest.fixture
def tutelage(tmp_path: Path) -> Tutelage:
    """The command with a fresh home."""
    folder = tmp_path / "here"
    folder.mkdir()
    return Tutelage(tmp_path / "home", folder)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """One run trained on embedded data, with a temporary folder of its own."""
    folder = tmp_path_factory.mktemp("shared")
    temporary = folder / "temporary"
    temporary.mkdir()
    tutelage = Tutelage(folder / "home", folder)
    settings = (*SMALL, "training.max_epochs=1", "--json")
    result = tutelage("train", "can", *settings, environment={"TMPDIR": str(temporary)})
    assert result.code == 0, result.err
    return Shared(tutelage, result, temporary)


@pytest.fixture
def browser_page() -> Iterator[Any]:
    """A page of a real browser, if there is one on this machine."""
    with opened() as page:
        yield page
