"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["COLUMNS"] = "200"  # tables in full, whatever the terminal that runs the tests
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")  # a busy machine is no fault


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout, when it is there."""
    default = Path(__file__).parents[2] / "shared" / "data"
    root = Path(os.environ.get("TUTELAGE_TEST_DATA", default))
    if not root.is_dir():
        pytest.skip("real data are not on this machine")
    return root


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in the folder of system tests, beside what is marked in others."""
    for item in items:
        if Path(__file__).parent / "system" in item.path.parents:
            item.add_marker("system")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests count for people, whichever process ran them."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "printed":
                terminalreporter.write_line(str(value))
