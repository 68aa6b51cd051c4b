"""The command and the environment of a training process: one builder each, and no secrets."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tutelage.execution import build_training_command, setup_training_environment
from tutelage.execution.environment import ALLOWED


def test_the_command_trains_from_a_file_in_its_own_process(tmp_path: Path) -> None:
    command = build_training_command(
        tmp_path / "config.json",
        ("training.max_epochs=1",),
        task="can",
        result=tmp_path / "result.json",
        python="python",
    )
    assert command[:5] == ("python", "-m", "tutelage", "train", "can")
    assert command[command.index("--config") + 1] == str(tmp_path / "config.json")
    assert command[command.index("--result") + 1] == str(tmp_path / "result.json")
    assert command[-2:] == ("training.max_epochs=1", "execution.name=in-process")


PARENT = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "OMP_NUM_THREADS": "1",
    "WANDB_API_KEY": "abc",
    "AWS_SECRET_ACCESS_KEY": "def",
    "TUTELAGE_HOME": "runs",
    "TUTELAGE_TOKEN": "ghi",
    "MY_SETTING": "1",
}


def test_secrets_and_what_nobody_listed_stay_behind() -> None:
    kept = setup_training_environment(source=PARENT)
    assert kept.keys() == {"PATH", "HOME", "OMP_NUM_THREADS", "TUTELAGE_HOME"}


def test_a_secret_passes_by_its_own_name_and_by_no_pattern() -> None:
    by_pattern = setup_training_environment(("WANDB_*", "MY_*"), source=PARENT)
    assert "WANDB_API_KEY" not in by_pattern and by_pattern["MY_SETTING"] == "1"
    by_name = setup_training_environment(("WANDB_API_KEY",), source=PARENT)
    assert by_name["WANDB_API_KEY"] == "abc" and "AWS_SECRET_ACCESS_KEY" not in by_name


def test_what_is_set_wins_over_what_was_there() -> None:
    kept = setup_training_environment(extra={"TUTELAGE_HOME": "x", "NEW": "y"}, source=PARENT)
    assert (kept["TUTELAGE_HOME"], kept["NEW"]) == ("x", "y")


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1))
def test_no_name_that_says_secret_passes_unasked(name: str) -> None:
    for secret in (f"{name}_TOKEN", f"{name}_PASSWORD", f"SECRET{name}", f"TUTELAGE_{name}_KEY"):
        assert secret not in setup_training_environment(ALLOWED, source={secret: "x"})
