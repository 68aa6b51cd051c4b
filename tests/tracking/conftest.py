"""MLflow's database is made once, which takes seconds, and copied for each test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from mlflow_store import Store  # noqa: E402


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow's."""
    home = tmp_path_factory.mktemp("blank")
    store = Store(home)
    store.client.search_experiments()
    store.client._tracking_client.store.engine.dispose()
    return home / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where runs live."""
    return tmp_path / "home"


@pytest.fixture
def store(home: Path, blank: Path) -> Store:
    """What MLflow has; nothing yet."""
    return Store(home, blank)
