"""`TaskConformance`: what Tutelage promises of every task, tried on one that its author names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Final
from unittest import SkipTest

from tutelage import api
from tutelage.core.config import Mode, RunConfig
from tutelage.core.errors import RequestError
from tutelage.core.explain import sections, tags_of
from tutelage.core.overrides import build_config
from tutelage.core.store import Run, RunStore
from tutelage.hpo.space import check_space, parse_space
from tutelage.report.page import render_page
from tutelage.task import (
    SupportsExport,
    SupportsFolds,
    SupportsPredictionLines,
    Task,
    fold_split,
)
from tutelage.testing.offering import offered
from tutelage.testing.resuming import ResumeConformance, trained_modes
from tutelage.training.export.runtime import require_exporter
from tutelage.training.launch import launch

HEAVY: Final = ("torch", "lightning", "pyarrow", "transformers")
Cells = dict[str, tuple[str, ...]]


class TaskConformance(ResumeConformance):
    """A task keeps what Tutelage promises of every one.

    This takes two lines in a file of tests, with the task or its class::

        class TestMyTask(TaskConformance):
            task = MyTask()

    Without `cells` there is one for each mode, of the first model that the mode trains, and donors
    that these need. A task whose data are large, or whose curriculum needs a measure, says how its
    runs are made small, as for `ResumeConformance`.
    """

    small: ClassVar[Sequence[str]] = ("training.max_epochs=2", "training.accelerator=cpu")
    donors: ClassVar[Mapping[str, Sequence[str]]] = {}
    cells: ClassVar[Mapping[str, Sequence[str]]]
    _offer: ClassVar[ExitStack]

    def __init_subclass__(cls, **named: Any) -> None:
        """Give a suite that names none a cell for each mode."""
        super().__init_subclass__(**named)
        if isinstance(given := cls.__dict__.get("task"), type):
            cls.task = given()
        if hasattr(cls, "task") and not hasattr(cls, "cells"):
            cls.donors, cls.cells = cells_of(cls.task)

    @classmethod
    def setup_class(cls) -> None:
        """Make a home for runs, and let the task be found by its name."""
        super().setup_class()
        cls._offer = ExitStack()
        cls._offer.enter_context(offered(cls.task))

    @classmethod
    def teardown_class(cls) -> None:
        """Undo both."""
        cls._offer.close()
        super().teardown_class()

    # ---- what it says of itself

    def test_it_is_named_before_anything_heavy_is_imported(self) -> None:
        """`tutelage tasks` and `tutelage config` answer at once, whatever is installed."""
        code = f"import sys, {type(self.task).__module__}; print(*sys.modules)"
        path = os.pathsep.join(filter(None, sys.path))
        found = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert not found.returncode, found.stderr
        heavy = [name for name in HEAVY if name in found.stdout.split()]
        assert not heavy, f"importing its module imports {', '.join(heavy)}: do so in its methods"

    def test_every_model_takes_the_modes_that_it_names_and_no_other(self) -> None:
        """Its table of models is true: what it lists is accepted, all else refused before work."""
        for model, entry in self.task.models.items():
            for name, mode in modes().items():
                several = {"experts": "[one, other]"}
                runs = [f"mode.{field}={several.get(field, 'one')}" for field in mode.parents]
                accepts = self._accepts(f"model={model}", f"mode={name}", *runs)
                known = name in entry.modes
                assert accepts is known, f"{model} in mode {name}: listed {known}, else {accepts}"

    def test_its_presets_spaces_and_recipes_can_be_used(self) -> None:
        """Each file that ships with it is valid under its configuration."""
        assert self._config((), {}).task == self.task.name, "its configuration says another `task`"
        for _, settings in self.task.presets():
            self.task.check(build_config(self.task.config_type, [settings], []))
        for name, content in self.task.spaces():
            check_space(parse_space(name, content), self.task, self._config((), {}))
        assert all(recipe.stages for recipe in self.task.recipes())

    # ---- what it does with data

    def test_its_data_are_told_apart_audited_and_dealt_into_folds(self, tmp_path: Path) -> None:
        """The same data have the same digest; an audit gives a verdict; folds deal every unit."""
        config = self._config((), {})
        first, second = (self.task.data_fingerprint(config) for _ in range(2))
        assert first and first == second
        assert self.task.audit(config, tmp_path).stamp.verdict in ("clean", "warnings")
        if isinstance(self.task, SupportsFolds):
            split = fold_split(self.task, config, tmp_path, folds=2)
            assert split.held_out(0) | split.held_out(1) == set(split.units)

    def test_what_can_not_be_is_refused_and_nothing_is_left(self, tmp_path: Path) -> None:
        """Absent, empty and foreign data are wrong requests (exit code 2), and leave no run."""
        folder, empty, foreign = (tmp_path / name for name in ("folder", "empty", "foreign"))
        folder.mkdir()
        empty.touch()
        foreign.write_bytes(bytes(range(256)) * 8)
        home = tmp_path / "home"
        for root in (tmp_path / "absent", folder, empty, foreign):
            refused = f"data.root={root.name} is not refused as a wrong request"
            config = self._config((f"data.root={root}",), {})
            try:
                launch(self.task, config, RunStore(home))
            except RequestError as error:
                assert error.exit_code == 2 and error.problem
            else:
                raise AssertionError(refused)
            assert not list(home.glob("*/record.json")), f"data.root={root.name} leaves a run"
        assert not self._accepts("model.there_is_no_such_setting=1")
        assert not self._accepts("model=there-is-no-such-model")

    # ---- what its runs have

    def test_a_run_is_scored_beside_baselines_and_reported(self) -> None:
        """Its headline stands beside a baseline's; the page needs nothing from elsewhere."""
        run = self._finished()
        record, headline = run.record, f"/{self.task.headline}"
        assert any(key.endswith(headline) for key in record.metrics), f"no {headline} is scored"
        beside = [n for n, s in record.baselines.items() if any(k.endswith(headline) for k in s)]
        assert beside, f"no baseline has a {headline}: a score alone says little"
        assert record.audit is not None
        page = render_page([run])
        assert run.id in page and not re.search(r'(src|href)="(https?:)?//', page)

    def test_a_run_says_the_same_when_its_files_are_read(self) -> None:
        """Weights and card rebuild the model: it scores what it scored, and predicts."""
        run, home = self._finished(), self._home.name
        again = api.evaluate(run, home=home).evaluation
        assert again.metrics == run.record.metrics
        if isinstance(self.task, SupportsPredictionLines):
            assert next(api.predict_lines(run, None, home=home))
        else:
            assert any(table.rows for table in api.predict(run, None, home=home))

    def test_a_run_is_exported_to_a_file_that_says_the_same(self, tmp_path: Path) -> None:
        """In onnxruntime it repeats what the trained model says of test samples."""
        if not isinstance(self.task, SupportsExport):
            raise SkipTest(f"{self.task.name!r} exports no models")
        try:
            require_exporter()
        except RequestError as error:
            raise SkipTest(str(error)) from error
        run = self._finished(self.task.exported_models)
        exported = api.export(run, out=tmp_path / "model.onnx", home=self._home.name)
        assert exported.path.is_file() and exported.card.parity.samples > 0

    # ---- helpers

    def _accepts(self, *settings: str) -> bool:
        try:
            self.task.check(self._config(settings, {}))
        except RequestError:
            return False
        return True

    def _finished(self, models: Sequence[str] | None = None) -> Run:
        """Return a finished run, of one of some models if any are named; trained once."""
        for settings in (*self.donors.values(), *self.cells.values()):
            calls = any(f"{{{donor}}}" in text for donor in self.donors for text in settings)
            config = self._config(settings, dict.fromkeys(self.donors, "one"))
            if not calls and (models is None or config.model.name in models):
                return launch(self.task, config, RunStore(Path(self._home.name))).run
        raise AssertionError(f"no donor and no cell trains {', '.join(models or ()) or 'a model'}")


def modes() -> Mapping[str, type[Mode]]:
    """Every way of training, by its name."""
    found = (mode for mode in sections(RunConfig.model_fields["mode"]))
    return {tags_of(mode)[0]: mode for mode in found if issubclass(mode, Mode)}


def cells_of(task: Task[Any]) -> tuple[Cells, Cells]:
    """Return donors, and a cell for each mode that trains a model of a task."""
    donors: Cells = {}
    cells: Cells = {}
    for name in trained_modes(task):
        model = next(m for m, entry in task.models.items() if name in entry.modes)
        settings = [f"mode={name}", f"model={model}"]
        for field in modes()[name].parents:
            own = dict(_donors(task, name, field))
            donors |= own
            called = [f"{{{donor}}}" for donor in own]
            if called:
                several = f"[{','.join(called)}]" if field == "experts" else called[0]
                settings.append(f"mode.{field}={several}")
        cells[name] = tuple(settings)
    return donors, cells


def _donors(task: Task[Any], mode: str, field: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Runs that a setting of a mode may name: two experts, else one; none if no model can be it."""
    for model, entry in task.models.items():
        plain = [name for name in ("normal", "autoencoder") if name in entry.modes]
        able = {"guide": entry.guides, "teacher": mode in entry.modes, "experts": True}
        if plain and able[field]:
            for seed in (1, 2) if field == "experts" else (1,):
                settings = (f"mode={plain[0]}", f"model={model}", f"training.seed={seed}")
                yield f"{field}_{seed}", settings
            return
