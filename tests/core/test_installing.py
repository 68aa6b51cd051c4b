"""The command that installs an extra holds a checkout to the versions it was tested with."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from tutelage.core.installing import install_command


def installed_from(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str | None) -> None:
    """Let the package be installed as a file ``direct_url.json`` says."""
    info = folder / "tutelage-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: tutelage\nVersion: 1\n")
    if said is not None:
        (info / "direct_url.json").write_text(said)
    found = metadata.Distribution.at(info)
    monkeypatch.setattr(metadata, "distribution", lambda name: found)


def test_a_checkout_names_its_constraints(tmp_path, monkeypatch):
    checkout = tmp_path / "a clone"
    checkout.mkdir()
    (checkout / "constraints.txt").touch()
    said = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    installed_from(tmp_path, monkeypatch, json.dumps(said))
    path = checkout / "constraints.txt"
    assert install_command("ner") == f"pip install -c '{path}' 'tutelage[ner]'"
    monkeypatch.chdir(checkout)
    assert install_command("ner") == "pip install -c constraints.txt 'tutelage[ner]'"


@pytest.mark.parametrize(
    "said",
    [
        None,
        '{"url": "file:///w.whl", "archive_info": {}}',
        '{"url": "file:///none", "dir_info": {}}',
    ],
)
def test_a_wheel_needs_none(tmp_path, monkeypatch, said):
    installed_from(tmp_path, monkeypatch, said)
    assert install_command("ner") == "pip install 'tutelage[ner]'"
