"""The tiny tasks, installed as plug-ins are, and a folder of data."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parents[1] / "training"), str(Path(__file__).parent)]


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny tasks, offered by a package as any plug-in's."""
    info = tmp_path / "site" / "tiny_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugin\nVersion: 1.0\n")
    points = ("[tutelage.tasks]", "tiny = tiny_task:TinyTask", "filed = filed_task:FiledTask")
    (info / "entry_points.txt").write_text("\n".join(points) + "\n")
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where runs live."""
    return tmp_path / "home"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with two files of forty lines."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("".join(f"{n}\n" for n in range(40)))
    return folder
