"""CAN-bus intrusion detection: captures, graphs of windows, detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tutelage.capabilities import SupportsWatch, Watch
from tutelage.core.errors import ConfigError
from tutelage.core.folds import FoldUnits
from tutelage.core.records import Evaluation, Table
from tutelage.task import (
    Audit,
    ModelEntry,
    SupportsAutoencoder,
    SupportsCurriculum,
    SupportsDistillation,
    SupportsExport,
    SupportsFolds,
    SupportsFusion,
    Task,
)
from tutelage.tasks.can.config import CANConfig, GATConfig, VGAEConfig
from tutelage.tasks.can.fusion.config import FusionConfig

if TYPE_CHECKING:
    from torch import Tensor

    from tutelage.tasks.can.datamodule import CANGraphDataModule
    from tutelage.tasks.can.modules import BaseCANGraphModule
    from tutelage.tasks.can.window_verdicts import Detector
    from tutelage.training.contracts import TaskData, TaskModule
    from tutelage.training.curriculum import CurriculumData
    from tutelage.training.export.form import Exportable
    from tutelage.training.fusion.expert import Expert
    from tutelage.training.fusion.states import States


class CANTask(
    Task[CANConfig],
    SupportsAutoencoder[CANConfig],
    SupportsCurriculum[CANConfig],
    SupportsDistillation,
    SupportsFusion,
    SupportsFolds[CANConfig],
    SupportsExport,
    SupportsWatch[CANConfig],
):
    """Find intrusions on a CAN bus from windows of frames."""

    name: ClassVar = "can"
    summary: ClassVar = "CAN-bus intrusion detection on graphs of frame windows"
    data_summary: ClassVar = "simulated traffic of three vehicles with eight kinds of attack"
    models: ClassVar = {
        "gat": ModelEntry(
            "graph attention classifier with jumping knowledge",
            ("normal", "curriculum", "distillation"),
        ),
        "vgae": ModelEntry(
            "variational graph autoencoder, an anomaly scorer", ("autoencoder",), guides=True
        ),
        "mean": ModelEntry("mean of experts' calibrated probabilities", ("fusion",)),
        "logistic": ModelEntry("calibrated logistic regression on experts and rules", ("fusion",)),
        "mlp": ModelEntry("perceptron on experts and rules", ("fusion",)),
        "gated": ModelEntry("mixture of experts, weighed window by window by a gate", ("fusion",)),
        "bandit": ModelEntry("contextual bandit that chooses the experts' weights", ("fusion",)),
        "dqn": ModelEntry("double DQN that chooses the experts' weights", ("fusion",)),
        "best": ModelEntry("the best expert, or the combiner that beats it", ("fusion",)),
    }
    exported_models: ClassVar = ("gat", "vgae")
    warm_modules = (
        "tutelage.tasks.can.datamodule",
        "tutelage.tasks.can.modules",
        "tutelage.tasks.can.evaluation",
        "tutelage.tasks.can.calibration",
        "tutelage.tasks.can.simulator",
    )
    headline: ClassVar = "f1"
    group_name: ClassVar = "attack or vehicle"
    beside_headline: ClassVar = {
        "precision": "precision",
        "recall": "recall",
        "false_alarms_per_hour": "false\nalarms/h",
        "event_recall": "attacks\nfound",
        "time_to_detection": "seconds\nto find",
    }
    config_type = CANConfig
    preprocessing_migrations: ClassVar = (
        "its network reads fewer features of each id than there are now; train it again",
        "it says nothing of the vehicles that it was trained on; train it again",
    )

    def data_fingerprint(self, config: CANConfig) -> str:
        """Digest the captures' content."""
        from tutelage.tasks.can.captures import captures_fingerprint

        return captures_fingerprint(config.data)

    def datamodule(
        self, config: CANConfig, cache: Path, preprocessing: Mapping[str, Any] | None = None
    ) -> TaskData:
        """Return the captures as windows, split and encoded."""
        from tutelage.tasks.can.datamodule import CANGraphDataModule
        from tutelage.tasks.can.preprocessing import Preprocessing

        learned = None if preprocessing is None else Preprocessing.from_json(preprocessing)
        return CANGraphDataModule(config, cache, learned)

    def continues(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
        """Refuse another vocabulary: the embedding's rows would stand for other ids."""
        from tutelage.tasks.can.preprocessing import Preprocessing

        before, now = (set(Preprocessing.from_json(p).profile.ids.tolist()) for p in (old, new))
        if before == now:
            return None
        apart = f"{len(now - before)} new ids, {len(before - now)} missing"
        return f"the vocabulary of CAN ids differs ({apart})"

    def build(self, config: CANConfig, preprocessing: Mapping[str, Any]) -> TaskModule:
        """Return a GAT or VGAE over the vocabulary of ``preprocessing``, or a fusion of such."""
        if isinstance(config.model, FusionConfig):
            from tutelage.tasks.can.fusion.module import build_fusion

            return build_fusion(config, preprocessing, self._detector)
        return self._detector(config, preprocessing)

    def _detector(self, config: CANConfig, preprocessing: Mapping[str, Any]) -> BaseCANGraphModule:
        from tutelage.tasks.can.modules import GATModule, VGAEModule
        from tutelage.tasks.can.preprocessing import Preprocessing

        num_ids = len(Preprocessing.from_json(preprocessing).profile)
        if isinstance(config.model, GATConfig):
            return GATModule(config.model, config.training, num_ids)
        assert isinstance(config.model, VGAEConfig)
        return VGAEModule(config.model, config.training, num_ids)

    def evaluate(self, config: CANConfig, module: TaskModule, data: TaskData) -> Evaluation:
        """Score the windows of every test split beside the training-free rules."""
        from tutelage.tasks.can.datamodule import CANGraphDataModule
        from tutelage.tasks.can.evaluation import evaluate

        assert isinstance(data, CANGraphDataModule)
        return evaluate(_judging(module, data), data)

    def predict(self, module: TaskModule, data: TaskData) -> tuple[Table, ...]:
        """Return a row for each window: its time, score and alarm; a table for each capture."""
        from tutelage.tasks.can.datamodule import CANGraphDataModule
        from tutelage.tasks.can.window_verdicts import window_tables

        assert isinstance(data, CANGraphDataModule)
        return window_tables(_judging(module, data), data)

    def require_stream(self, source: str, engine: str) -> None:
        """Refuse a log that is none, and an engine that is not there."""
        from tutelage.tasks.can.live.request import require_stream

        require_stream(source, engine)

    def watch(
        self,
        config: CANConfig,
        module: TaskModule,
        preprocessing: Mapping[str, Any],
        source: str,
        cache: Path,
        *,
        engine: str = "torch",
        batch: int | None = None,
        every: bool = False,
    ) -> Watch:
        """Open a log, standard input or a bus, whose windows are judged as they fill."""
        from tutelage.tasks.can.live.opening import open_watch
        from tutelage.tasks.can.preprocessing import Preprocessing

        learned = Preprocessing.from_json(preprocessing)
        return open_watch(config, module, learned, source, cache, engine, batch, every)

    def audit(self, config: CANConfig, cache: Path) -> Audit:
        """Look for repeats, leakage, missing labels and suspicious captures."""
        from tutelage.tasks.can.audit import audit

        return audit(config, cache)

    def normal_data(self, data: TaskData) -> TaskData:
        """Reduce training and validation to benign windows."""
        from tutelage.tasks.can.datamodule import CANGraphDataModule

        assert isinstance(data, CANGraphDataModule)
        data.keep_normal()
        return data

    def curriculum_data(self, config: CANConfig, cache: Path) -> CurriculumData:
        """Return the captures as windows that can be mixed at will."""
        from tutelage.tasks.can.curriculum import EnhancedCANGraphDataModule

        return EnhancedCANGraphDataModule(config, cache)

    def inputs_differ(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> str | None:
        """Compare the traffic profiles, from which windows become graphs."""
        from tutelage.tasks.can.preprocessing import Preprocessing

        profiles = (Preprocessing.from_json(p).profile.to_json() for p in (teacher, student))
        theirs, ours = profiles
        apart = [name for name in ours if theirs[name] != ours[name]]
        return f"{', '.join(apart)} of the traffic profile differ" if apart else None

    def fusion_states(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> States:
        """Return the held-out windows: what experts and rules say of them, and statistics."""
        from tutelage.tasks.can.datamodule import CANGraphDataModule
        from tutelage.tasks.can.fusion.held_out import held_out_states

        assert isinstance(data, CANGraphDataModule)
        for expert in experts:
            if apart := self.inputs_differ(expert.preprocessing, data.preprocessing):
                raise ConfigError(
                    f"this run's model sees other inputs: {apart}",
                    where=f"mode.experts={expert.run}",
                    hint="Combine runs that were trained on the same data, with these settings.",
                )
        return held_out_states(data, experts, cache)

    def keep_held_out(self, data: TaskData, rows: Tensor) -> None:
        """Let operating points be chosen on held-out windows that no combiner was fitted on."""
        from tutelage.tasks.can.datamodule import CANGraphDataModule
        from tutelage.tasks.can.fusion.held_out import keep_held_out

        assert isinstance(data, CANGraphDataModule)
        keep_held_out(data, rows)

    def fold_units(self, config: CANConfig, cache: Path) -> FoldUnits:
        """Return the training captures' time in pieces, with the vehicle and attack of each."""
        from tutelage.tasks.can.folds import pool_units
        from tutelage.tasks.can.pool import read_pool

        return pool_units(read_pool(config.data, cache))

    def predicted_units(self, data: TaskData) -> Sequence[str]:
        """Return the piece of each window that is held out and judged."""
        from tutelage.tasks.can.datamodule import CANGraphDataModule
        from tutelage.tasks.can.folds import units_of_windows
        from tutelage.tasks.can.pool import read_pool
        from tutelage.tasks.can.window_verdicts import judged_windows

        assert isinstance(data, CANGraphDataModule)
        return units_of_windows(read_pool(data.config.data, data.cache), judged_windows(data))

    def exportable(self, module: TaskModule, data: TaskData) -> Exportable:
        """Return the network for one window at a time, and windows that test."""
        from tutelage.tasks.can.datamodule import CANGraphDataModule
        from tutelage.tasks.can.export import exportable
        from tutelage.tasks.can.modules import BaseCANGraphModule

        assert isinstance(module, BaseCANGraphModule) and isinstance(data, CANGraphDataModule)
        return exportable(module, data)


def _judging(module: TaskModule, data: CANGraphDataModule) -> Detector:
    """Return ``module`` as one that judges windows; what a fusion's experts say is kept."""
    from tutelage.tasks.can.fusion.module import FusionModule
    from tutelage.tasks.can.modules import BaseCANGraphModule

    assert isinstance(module, BaseCANGraphModule | FusionModule)
    if isinstance(module, FusionModule):
        module.keep_predictions(data.cache)
    return module
