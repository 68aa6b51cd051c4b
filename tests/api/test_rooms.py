"""The interface's rooms: each public name is there, and brings no more than it uses."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import tutelage
from made_runs import make_run
from tutelage import api
from tutelage.core.errors import StoreError
from tutelage.core.store import RunStore

ROOMS = Path(api.__file__).parent
HOMES: dict[str, str] = vars(api)["_HOMES"]


def names_for_checkers() -> dict[str, str]:
    """Name to room, as type checkers read them."""
    tree = ast.parse(Path(api.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    homes = [node for node in imports if (node.module or "").startswith("tutelage.api.")]
    return {name.name: str(of.module).rpartition(".")[2] for of in homes for name in of.names}


def test_what_type_checkers_see_is_what_is_there() -> None:
    assert names_for_checkers() == HOMES
    assert [getattr(api, name).__name__ for name in HOMES] == list(HOMES)
    assert {getattr(api, name).__module__ for name in HOMES} == {
        f"tutelage.api.{room}" for room in HOMES.values()
    }


def test_every_room_has_a_public_name_and_none_hides_one() -> None:
    rooms = {path.stem for path in ROOMS.glob("*.py")} - {"__init__"}
    assert set(HOMES.values()) == rooms
    assert not rooms & set(HOMES)


@pytest.mark.parametrize("module", [tutelage, api], ids=["tutelage", "tutelage.api"])
def test_a_name_that_is_not_there_is_refused(module: object) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        module.trian  # type: ignore[attr-defined]  # noqa: B018


def test_every_public_name_of_the_package_is_in_its_interface() -> None:
    homes = {"Run": import_module("tutelage.core.store")}
    for name in tutelage.__all__:
        assert getattr(tutelage, name) is getattr(homes.get(name, api), name)


def test_a_name_brings_no_more_than_its_room() -> None:
    code = (
        "import sys, tutelage; tutelage.deal_folds; tutelage.remove; "
        "print(*[name for name in ('torch', 'tutelage.api.training') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_store_is_found_where_a_caller_says_or_where_the_environment_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path / "default"))
    assert RunStore.at(None).home == tmp_path / "default"
    assert RunStore.at(tmp_path).home == RunStore.at(str(tmp_path)).home == tmp_path


def test_a_run_that_was_found_is_not_looked_for_again(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    run = make_run(store)
    assert store.find(run) is run
    assert store.find(run.id).path == run.path
    with pytest.raises(StoreError, match="no run 'other'"):
        store.find("other")
