"""Tasks are found by name, refuse what they can't train, and offer presets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent / "training"))
from tiny_task import TinyTask, tiny  # noqa: E402

from tutelage.cli.app import app  # noqa: E402
from tutelage.core.config import RunConfig  # noqa: E402
from tutelage.core.errors import ConfigError, RequestError, UnknownNameError  # noqa: E402
from tutelage.core.explain import sections, tags_of  # noqa: E402
from tutelage.core.overrides import build_config  # noqa: E402
from tutelage.task import load_task, task_names  # noqa: E402


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, target: str) -> None:
    """Make a package that offers a task importable, as pip would."""
    info = folder / f"{name}_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tutelage.tasks]\n{name} = {target}\n")
    monkeypatch.syspath_prepend(folder)


def test_an_installed_package_offers_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "tiny" not in task_names()
    install(tmp_path, monkeypatch, "tiny", "tiny_task:TinyTask")
    assert {"can", "tiny"} <= set(task_names())
    assert isinstance(load_task("tiny"), TinyTask)


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown task 'cam'.*\n.*Did you mean 'can'"):
        load_task("cam")


def test_a_task_whose_package_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs_much.py").write_text("import a_package_that_is_not_there\n")
    install(tmp_path, monkeypatch, "needy", "needs_much:Task")
    with pytest.raises(RequestError, match="pip install 'needy-plugin'") as caught:
        load_task("needy")
    assert "a_package_that_is_not_there" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("tiny_task:TinyTsak", "no attribute 'TinyTsak'"),
        ("tutelage.task:Task", "abstract"),
        ("tiny_task:TinyTask", "a task that calls itself 'tiny'"),
        ("tiny_task:TinyConfig.model_construct", "no task"),
    ],
)
def test_a_package_that_offers_no_such_task_is_told_with_what_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, said: str
) -> None:
    install(tmp_path, monkeypatch, "other", target)
    with pytest.raises(RequestError, match=said) as caught:
        load_task("other")
    assert f"The package other-plugin offers it as '{target}'" in str(caught.value)


def test_a_fault_in_a_package_is_its_own_and_leaves_the_other_tasks_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_written.py").write_text("class Task:\n    radius =\n")
    install(tmp_path, monkeypatch, "half", "half_written:Task")
    with pytest.raises(RequestError, match=r"SyntaxError: .*half_written.py") as caught:
        load_task("half")
    assert "mend it there" in str(caught.value)
    told = CliRunner().invoke(app, ["tasks"])
    assert told.exit_code == 0 and "can" in told.stdout
    assert "left out: half" in told.stderr


def test_a_mode_and_model_that_do_not_go_together_are_refused_with_those_that_do() -> None:
    task = TinyTask()
    task.check(tiny("mode=autoencoder", "model=reconstructor"))
    said = "It trains model=classifier; 'reconstructor' takes mode=autoencoder"
    with pytest.raises(ConfigError, match=said):
        task.check(tiny("model=reconstructor"))
    with pytest.raises(
        ConfigError, match="mode 'curriculum' can't train the model 'reconstructor'"
    ):
        task.check(tiny("model=reconstructor", "mode=curriculum", "mode.measure=length"))


PARENTS = {tags_of(mode)[0]: mode.parents for mode in sections(RunConfig.model_fields["mode"])}  # type: ignore[attr-defined]


def test_every_task_names_models_that_its_configuration_takes() -> None:
    for name in task_names():
        task = load_task(name)
        assert task.name == name
        for model, entry in task.models.items():
            for mode in entry.modes:
                several = {"experts": "[one, other]"}
                runs = [f"mode.{field}={several.get(field, '@last')}" for field in PARENTS[mode]]
                names = [f"model={model}", f"mode={mode}", *runs]
                config = build_config(task.config_type, [], names)
                task.check(config)
                assert (config.model.name, config.mode.name) == (model, mode)


def test_every_preset_is_a_valid_configuration() -> None:
    for name in task_names():
        task = load_task(name)
        for preset, settings in task.presets():
            assert task.preset(preset) == settings
            task.check(build_config(task.config_type, [settings], []))


class WithPresets(TinyTask):
    """A task with presets of its own."""

    def presets(self):  # type: ignore[no-untyped-def]
        quick: Mapping[str, object] = {"training": {"max_epochs": 1}}
        yield "quick", quick


def test_a_preset_is_found_by_name_or_refused() -> None:
    task = WithPresets()
    assert task.preset("quick") == {"training": {"max_epochs": 1}}
    with pytest.raises(UnknownNameError, match="unknown preset 'quik'.*\n.*Did you mean 'quick'"):
        task.preset("quik")


def test_looking_at_tasks_imports_nothing_heavy() -> None:
    code = (
        "import sys, tutelage.task as t; [t.load_task(n) for n in t.task_names()];"
        "print([m for m in ('torch', 'lightning', 'polars', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
