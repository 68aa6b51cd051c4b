"""Homes for the installed command, and one trained run that tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import EVERY, LONG, SMALL, Shared, Tutelage, wait_for_step

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


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Tutelage:
    """A home with one run of `LONG` that nothing stopped; read, or added to, never changed."""
    folder = tmp_path_factory.mktemp("unbroken")
    tutelage = Tutelage(folder / "home", folder)
    tutelage.done("train", "can", *LONG, "--json")
    return tutelage


@pytest.fixture(scope="session")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Tutelage:
    """A home with one run of `LONG` that was killed in its first epoch, to be copied."""
    folder = tmp_path_factory.mktemp("broken_off")
    tutelage = Tutelage(folder / "home", folder)
    process = tutelage.start("train", "can", *LONG, "--json")
    wait_for_step(tutelage, process, 2 * EVERY)
    process.kill()
    tutelage.finish(process)
    return tutelage


@pytest.fixture
def browser_page() -> Iterator[Any]:
    """A page of a real browser, if there is one on this machine."""
    with opened() as page:
        yield page
