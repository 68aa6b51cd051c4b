"""Neural responses: many recordings, one core, a readout for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tutelage.core.records import Evaluation, Table
from tutelage.task import (
    Audit,
    SupportsAutoencoder,
    SupportsBlending,
    SupportsCurriculum,
    SupportsDistillation,
    SupportsFolds,
    Task,
)
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.models.config import MODELS, MultiDatasetConfig

if TYPE_CHECKING:
    from tutelage.core.folds import FoldUnits
    from tutelage.training.blending.opinions import Opinions
    from tutelage.training.contracts import Objective, TaskData, TaskModule
    from tutelage.training.curriculum import CurriculumData
    from tutelage.training.fusion.expert import Expert


class NeuralTask(
    Task[NeuralConfig],
    SupportsAutoencoder[NeuralConfig],
    SupportsCurriculum[NeuralConfig],
    SupportsDistillation,
    SupportsBlending,
    SupportsFolds[NeuralConfig],
):
    """Predict what neurons answer to images and movies."""

    name: ClassVar = "neural"
    summary: ClassVar = "neural responses to images and movies, many recordings on one core"
    data_summary: ClassVar = "simulated recordings of two animals' visual systems, with the truth"
    models: ClassVar = MODELS
    warm_modules = (
        "tutelage.tasks.neural.data.datamodule",
        "tutelage.tasks.neural.modules",
        "tutelage.tasks.neural.evaluation",
        "tutelage.tasks.neural.simulator",
    )
    headline: ClassVar = "corr"
    beside_headline: ClassVar = {
        "corr_block_demeaned": "corr, blocks\ndemeaned",
        "bps": "bits per\nspike",
        "feve": "FEVE",
        "cc_norm": "CCnorm",
    }
    config_type = NeuralConfig

    def data_fingerprint(self, config: NeuralConfig) -> str:
        """Digest the recordings' content."""
        from tutelage.tasks.neural.sessions.read import sessions_fingerprint

        return sessions_fingerprint(config.data)

    def datamodule(
        self, config: NeuralConfig, cache: Path, preprocessing: Mapping[str, Any] | None = None
    ) -> TaskData:
        """Return the recordings as stretches, split."""
        from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
        from tutelage.tasks.neural.preprocessing import Preprocessing

        learned = None if preprocessing is None else Preprocessing.from_json(preprocessing)
        return MultiDatasetDM(config, cache, learned)

    def continues(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
        """Refuse other sessions or units: the readouts' rows would stand for others."""
        from tutelage.tasks.neural.preprocessing import Preprocessing

        before, now = (Preprocessing.from_json(each).sessions for each in (old, new))
        if list(before) != list(now):
            return f"the sessions differ ({', '.join(before)} then, {', '.join(now)} now)"
        for name, card in before.items():
            if card.unit_ids != now[name].unit_ids:
                return f"the units of session {name} differ"
        return None

    def build(self, config: NeuralConfig, preprocessing: Mapping[str, Any]) -> TaskModule:
        """Return the model, with a readout for each session of ``preprocessing``."""
        from tutelage.tasks.neural.modules import build_module
        from tutelage.tasks.neural.preprocessing import Preprocessing

        if not isinstance(config.model, MultiDatasetConfig):
            from tutelage.tasks.neural.blending import build_blend

            return build_blend(config.model, config.training, preprocessing)
        learned = Preprocessing.from_json(preprocessing)
        return build_module(config.model, config.training, learned)

    def evaluate(self, config: NeuralConfig, module: TaskModule, data: TaskData) -> Evaluation:
        """Score every unit on the test frames, beside ceilings and baselines."""
        from tutelage.tasks.neural.blending import NeuralBlend
        from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
        from tutelage.tasks.neural.evaluation.evaluate import evaluate
        from tutelage.tasks.neural.modules import NeuralModule

        assert isinstance(module, NeuralModule | NeuralBlend) and isinstance(data, MultiDatasetDM)
        return evaluate(module, data)

    def predict(self, module: TaskModule, data: TaskData) -> tuple[Table, ...]:
        """Return a row for each frame that tests and a column for each unit; a table a session."""
        from tutelage.tasks.neural.blending import NeuralBlend
        from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
        from tutelage.tasks.neural.evaluation.tables import prediction_tables
        from tutelage.tasks.neural.modules import NeuralModule

        assert isinstance(module, NeuralModule | NeuralBlend) and isinstance(data, MultiDatasetDM)
        return prediction_tables(module, data)

    def audit(self, config: NeuralConfig, cache: Path) -> Audit:
        """Look for repeated stimuli, slow drifts, silent units and unbalanced parts."""
        from tutelage.tasks.neural.audit import audit

        return audit(config, cache)

    def fold_units(self, config: NeuralConfig, cache: Path) -> FoldUnits:
        """Return the images, trials or stretches of time that would train or validate."""
        from tutelage.tasks.neural.data.folds import session_units
        from tutelage.tasks.neural.sessions.read import chosen, read_sessions, require_responses

        sessions = read_sessions(config.data, cache)
        require_responses(sessions, config.data)
        return session_units(sessions, chosen(sessions, config.data), config.data)

    def predicted_units(self, data: TaskData) -> tuple[str, ...]:
        """Return the image, trial or stretch of each held-out row."""
        from tutelage.tasks.neural.data.datamodule import MultiDatasetDM

        assert isinstance(data, MultiDatasetDM)
        return data.predicted_units()

    def pretraining(
        self, config: NeuralConfig, module: TaskModule, data: TaskData
    ) -> Objective | None:
        """Let the core learn from the stimuli alone: hidden patches, or the next frame."""
        from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
        from tutelage.tasks.neural.modules import NeuralModule
        from tutelage.tasks.neural.objectives import StimulusPretraining

        assert isinstance(module, NeuralModule) and isinstance(data, MultiDatasetDM)
        assert isinstance(config.model, MultiDatasetConfig)
        return StimulusPretraining(config.model.pretraining, module.feature_width, data.static)

    def curriculum_data(self, config: NeuralConfig, cache: Path) -> CurriculumData:
        """Return the recordings as stretches that can be drawn in any order."""
        from tutelage.tasks.neural.data.curriculum import NeuralCurriculumData

        return NeuralCurriculumData(config, cache)

    def inputs_differ(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> str | None:
        """Compare the sessions and their units."""
        from tutelage.tasks.neural.data.curriculum import units_differ
        from tutelage.tasks.neural.preprocessing import Preprocessing

        return units_differ(*(Preprocessing.from_json(each) for each in (teacher, student)))

    def opinions(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> Opinions:
        """Return what experts say of each response in the validation frames."""
        from tutelage.tasks.neural.blending import opinions_of
        from tutelage.tasks.neural.data.datamodule import MultiDatasetDM

        assert isinstance(data, MultiDatasetDM)
        return opinions_of(data, experts, cache)
