"""`execute_final_training`: train the model to ship, export it, judge it, and say so in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tutelage.capabilities import SupportsTransformersExport
from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError
from tutelage.core.files import write_json
from tutelage.core.fingerprint import fingerprint
from tutelage.core.folds import split_digest
from tutelage.core.overrides import build_config
from tutelage.core.store import Run, RunStore
from tutelage.final.ancestry import ancestry
from tutelage.final.config import FinalConfig, Format
from tutelage.final.gates import check_gate, failed, judge
from tutelage.final.manifest import (
    FINAL,
    ExportedFile,
    Manifest,
    ParentOf,
    read_manifest,
)
from tutelage.final.policy import Step, next_step, run_policy, state_of
from tutelage.final.reproduction import Train
from tutelage.final.source import Origin, newest_shipped, on_all_data
from tutelage.task import SupportsCombining, SupportsExport
from tutelage.training.export.require import which_can
from tutelage.training.parents import named_parents, parent_fingerprints

Export = Callable[[Run, Format], ExportedFile]
"""Exports a run's model and checks the file; given, as `Train` is."""
_TAG: Final = "gate"


@dataclass(frozen=True, slots=True)
class FinalRun:
    """A model to ship, or one that failed its gates.

    Args:
        run: Its run.
        manifest: What `final.json` says of it.
        step: What was done now.
    """

    run: Run
    manifest: Manifest
    step: Step

    def summary(self) -> dict[str, object]:
        """The object that ``--json`` prints: the run's, and the manifest."""
        manifest = self.manifest.model_dump(mode="json", exclude={"run", "metrics"})
        whole = self.run.record.summary(self.run.path)
        return whole | {"step": self.step.value} | manifest


def plan_final(
    origin: Origin, settings: FinalConfig, overrides: Sequence[str], store: RunStore
) -> RunConfig:
    """Return the configuration of a final training, checked before any work.

    Args:
        origin: What its settings come from.
        settings: How it is trained, judged and exported.
        overrides: Settings of the run, as typed, over those of the origin.
        store: Where earlier models are.

    Raises:
        RequestError: Something is asked that the task, the mode or the data can't do.
    """
    _check_exports(origin, settings)
    if not isinstance(origin.config.data.fold, int):  # a fold knows no tests
        check_gate(settings.gate, origin.run.record)
    tags = {"purpose": "final"}
    if "study" in origin.names:
        tags |= {"study": origin.names["study"], "trial": origin.names["trial"]}
    options = {"policy": "reuse_if_exists", "name": None, "initial_weights": None, "tags": tags}
    plain = origin.config.model_dump(mode="json") | {"run": options}
    config = build_config(origin.task.config_type, [plain], overrides)
    if settings.combine is not None:
        config = _combined(origin, config, settings.combine)
    if settings.on == "all":
        config = on_all_data(origin, config)
    first = None
    if settings.begins_with_shipped:
        first = newest_shipped(config, store)
    elif settings.source == "best_selected":
        first = origin.run
    if first is None:
        return config
    run = config.run.model_copy(update={"initial_weights": first.id})
    return config.model_copy(update={"run": run})


def execute_final_training(
    origin: Origin,
    settings: FinalConfig,
    config: RunConfig,
    store: RunStore,
    train: Train,
    export: Export,
) -> FinalRun:
    """Train, or find, the model to ship; export it, judge it, write ``final.json``.

    Args:
        origin: What its settings come from.
        settings: How it is trained, judged and exported.
        config: Its configuration, by `plan_final`.
        store: Where runs live.
        train: Makes a run.
        export: Exports a run.

    Raises:
        RequestError: The request is wrong.
        RunFailedError: Training failed, or an exported file says something else than the model.
    """
    asked = settings.model_dump(mode="json", include={"export", "gate"})
    state, run = state_of(_same(origin, config, store), asked)
    step = next_step(settings.policy, state)
    if step in (Step.TRAIN, Step.RESUME):
        options = config.run.model_copy(update={"policy": run_policy(step)})
        run = train(origin.task, config.model_copy(update={"run": options}))
    assert run is not None
    manifest = read_manifest(run) if step is Step.REUSE else None
    if manifest is None:
        manifest = _ship(run, origin, settings, store, export)
    return FinalRun(run, manifest, step)


def _same(origin: Origin, config: RunConfig, store: RunStore) -> list[Run]:
    """The runs that compute the same thing as a configuration, oldest first."""
    task = origin.task
    parents = parent_fingerprints(named_parents(config, store))
    if config.run.initial_weights is not None:
        parents.append(store.find(config.run.initial_weights).record.fingerprints.run)
    data, weights = task.data_fingerprint(config), task.weights_fingerprint(config)
    prints = fingerprint(config, data, parents, weights, split_digest(config.data))
    return store.with_fingerprint(prints.run)


def _ship(
    run: Run, origin: Origin, settings: FinalConfig, store: RunStore, export: Export
) -> Manifest:
    """Export a finished run, judge it, and write what it came to."""
    exports = tuple(export(run, name) for name in settings.export)
    gates = judge(run, settings.gate, exports)
    record = run.record
    said = tuple(failed(gates))
    warnings = tuple(w for w in record.warnings if not w.startswith("gate: "))
    tags = {**record.tags, _TAG: "failed" if said else "passed"}
    record = run.update(warnings=(*warnings, *said), tags=tags)
    whole = ancestry(run, store)
    known = {name: found.record for name, found in whole.runs.items()}
    lineage = tuple(
        ParentOf(
            run=link.parent,
            child=link.child,
            role=link.role,
            fingerprint=parent.fingerprints.run if (parent := known[link.parent]) else None,
        )
        for link in whole.links
    )
    manifest = Manifest(
        run=run.id,
        task=record.task,
        model=record.model,
        mode=record.mode,
        source=origin.names,
        asked=settings.model_dump(mode="json", include={"export", "gate"}),
        settings=settings.model_dump(mode="json"),
        lineage=lineage,
        hashes=record.named_hashes(),
        environment=record.environment,
        metrics=record.metrics,
        gates=gates,
        exports=exports,
        passed=not said,
    )
    write_json(run.path / FINAL, manifest.model_dump(mode="json"))
    return manifest


def _combined(origin: Origin, config: RunConfig, how: str) -> RunConfig:
    """Put the data of a configuration together with those of the origin.

    Raises:
        ConfigError: The task can't, or the data are the same.
    """
    if not isinstance(origin.task, SupportsCombining):
        hint = "Leave final.combine out, and put the files together yourself."
        said = "this task can't combine two sets of data"
        raise ConfigError(said, where=origin.task.name, hint=hint)
    if config.data.root is None or config.data.root == origin.config.data.root:
        hint = "Name new data by data.root, to be put together with those that the run had."
        raise ConfigError("there are no new data to combine", where="final.combine", hint=hint)
    combined: RunConfig = origin.task.combined(config, origin.config, how)
    return combined


def _check_exports(origin: Origin, settings: FinalConfig) -> None:
    """Refuse, before any work, formats that the model does not go into.

    Raises:
        ConfigError: It does not.
    """
    task, model = origin.task, origin.config.model.name
    able = task.exported_models if isinstance(task, SupportsExport) else ()
    for name in settings.export:
        if name == "hf" and not isinstance(task, SupportsTransformersExport):
            said = f"the models of {task.name!r} are none that transformers has"
            raise ConfigError(said, where="final.export", hint="Take onnx or onnx-int8.")
        if model not in able:
            said = f"the model {model!r} can't be exported"
            raise ConfigError(said, where="final.export", hint=which_can(task.name, able))
