"""Shells complete commands, tasks, runs and settings, each by its own words, without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from made_runs import make_run
from tutelage.cli.app import app
from tutelage.core.store import RunStore

BREAKS = "="
"""What ends a word in bash."""


def in_bash(line: str) -> list[str]:
    """What bash offers where a line ends."""
    words = line.replace(BREAKS, f" {BREAKS} ").split()
    place = len(words) - (not line.endswith(" "))
    environment = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(place)}
    return offered("bash", environment)


def in_fish(line: str) -> list[str]:
    """What fish offers where a line ends."""
    environment = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return [item.partition("\t")[0] for item in offered("fish", environment)]


def offered(shell: str, environment: dict[str, str]) -> list[str]:
    environment |= {"_TUTELAGE_COMPLETE": f"complete_{shell}"}
    result = CliRunner().invoke(app, [], env=environment, prog_name="tutelage")
    assert result.exit_code == 0, result.output
    return [line for line in result.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", [in_bash, in_fish])
def test_commands_tasks_and_recipes_are_completed(shell: object) -> None:
    assert callable(shell)
    assert {"train", "tasks"} <= set(shell("tutelage t"))
    assert shell("tutelage train n") == ["ner", "neural"]
    assert shell("tutelage init --task mu") == ["multimodal"]
    assert shell("tutelage models ca") == ["can"]
    assert "can-full" in shell("tutelage pipeline can-")


def test_sections_come_first_then_the_settings_of_one() -> None:
    heads = in_fish("tutelage train can ")
    assert {"training.", "model=", "model.", "data."} <= set(heads) and len(heads) < 20
    of_training = in_fish("tutelage train can training.max")
    assert of_training == ["training.max_epochs=", "training.max_steps=", "training.max_time="]


def test_a_single_setting_comes_with_its_values() -> None:
    assert in_fish("tutelage train can training.opt") == [
        *(f"training.optimizer={name}" for name in ("", "adamw", "adam", "sgd")),
    ]
    assert in_fish("tutelage train can training.optimizer=ada") == [
        *("training.optimizer=adamw", "training.optimizer=adam"),
    ]
    assert "mode=curriculum" in in_fish("tutelage train ner mode=c")
    assert in_fish("tutelage hpo ner hpo.tri")[0].startswith("hpo.trial")
    assert in_fish("tutelage train can data.root=") == []


def test_bash_gets_what_follows_the_equals_sign_alone() -> None:
    assert in_bash("tutelage train can model=v") == ["vgae"]
    assert {"gat", "vgae"} <= set(in_bash("tutelage train can model="))
    assert in_bash("tutelage train can training.epochs=1 training.optimizer=s") == ["sgd"]
    assert "training.max_epochs=" in in_bash("tutelage train can model=gat training.max")


def test_runs_are_completed_and_take_settings_of_data_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTELAGE_HOME", str(tmp_path))
    assert in_fish("tutelage evaluate @") == ["@last"]
    run = make_run(RunStore(tmp_path))
    assert in_fish(f"tutelage runs show {run.id[:9]}") == [run.id]
    heads = in_fish(f"tutelage evaluate {run.id} ")
    assert heads == ["data.", "evaluation."]
    assert in_fish("tutelage evaluate there-is-none ") == []


def test_a_task_that_is_none_has_nothing_to_complete() -> None:
    assert in_fish("tutelage train cam model") == []


def test_completing_imports_nothing_heavy_and_works_in_a_real_bash(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    command = tmp_path / "tutelage"
    note = tmp_path / "imported"
    command.write_text(
        f"#!{sys.executable}\n"
        "import atexit, sys\n"
        f"atexit.register(lambda: open({str(note)!r}, 'a').write(' '.join(sys.modules)))\n"
        "from tutelage.cli import main\nsys.argv[0] = 'tutelage'\nmain()\n"
    )
    command.chmod(0o755)
    script = (
        f"PATH={tmp_path}:$PATH\n"
        'eval "$(_TUTELAGE_COMPLETE=source_bash tutelage)"\n'
        "COMP_WORDS=(tutelage train can model = v); COMP_CWORD=5\n"
        "$(complete -p tutelage | sed 's/.*-F \\([^ ]*\\).*/\\1/') tutelage\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run(
        [bash, "--norc", "-c", script], capture_output=True, text=True, env=environment
    )
    assert (done.stdout, done.stderr) == ("vgae\n", "")
    heavy = {"torch", "lightning", "pyarrow", "optuna"} & set(note.read_text().split())
    assert not heavy
