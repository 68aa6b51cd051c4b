"""`ClassificationTask`: a whole task but for its examples, its networks and its name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from tutelage.classification.config import ClassificationConfig
from tutelage.classification.examples import Examples
from tutelage.core.errors import DataError, RequestError
from tutelage.core.files import digest_file
from tutelage.core.records import Evaluation, Table
from tutelage.task import (
    Audit,
    Json,
    SupportsCurriculum,
    SupportsDistillation,
    SupportsExport,
    SupportsFolds,
    Task,
)

if TYPE_CHECKING:
    from torch import nn

    from tutelage.classification.data import ClassificationDataModule
    from tutelage.classification.module import ClassifierModule
    from tutelage.core.folds import FoldUnits
    from tutelage.training.contracts import TaskData, TaskModule
    from tutelage.training.curriculum import CurriculumData
    from tutelage.training.export.form import Exportable

A = TypeVar("A", bound=ClassificationConfig)
CLASSIFIER_MODES = ("normal", "curriculum", "distillation")
"""The modes that train every model of such a task."""


class ClassificationTask(
    Task[A],
    SupportsCurriculum[A],
    SupportsDistillation,
    SupportsExport,
    SupportsFolds[A],
):
    """Tell classes of arrays. A subclass needs names, `examples` and `body`, and no more.

    Its runs have the modes of `CLASSIFIER_MODES`, folds, studies, an audit and exports.
    """

    headline: ClassVar[str] = "accuracy"
    beside_headline: ClassVar[Mapping[str, str]] = {
        "macro_f1": "mean F1\nof classes",
        "log_loss": "log loss",
    }
    group_name: ClassVar[str] = "class"
    warm_modules: ClassVar[tuple[str, ...]] = ("tutelage.classification.evaluation",)
    exported_models: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **named: object) -> None:
        """Every model can be exported."""
        super().__init_subclass__(**named)
        cls.exported_models = tuple(getattr(cls, "models", ()))

    @abstractmethod
    def examples(self, config: A) -> Examples:
        """Return all examples that ``config.data`` names; without ``data.root``, some that ship.

        Raises:
            DataError: There are none, or they are malformed.
        """

    @abstractmethod
    def body(self, config: A, shape: Sequence[int]) -> nn.Module:
        """Return a fresh network of the model that ``config.model`` names.

        It takes standardised arrays (B, *shape) and returns features (B, F), whatever F is; the
        layer behind it, which tells the classes, is not part of it.
        """

    # ---- everything else

    def _read(self, config: A) -> Examples:
        """Return `examples`; what is wrong with them is told with the place of the data."""
        try:
            found: object = self.examples(config)
        except DataError as error:
            if error.where or config.data.root is None:
                raise
            raise DataError(error.problem, where=config.data.root, hint=error.hint) from error
        if not isinstance(found, Examples):
            said = f"`examples` gave a {type(found).__name__}, no Examples"
            hint = "Return Examples(x, y, classes) from tutelage.classification."
            raise RequestError(
                said, where=f"{type(self).__module__}.{type(self).__name__}", hint=hint
            )
        return found

    def spaces(self) -> Iterator[tuple[str, Json]]:
        """The spaces in the task's folder; without a `default` among them, one of the optimiser."""
        found = dict(super().spaces())
        varied = {
            "training.learning_rate": {"type": "loguniform", "min": 3e-4, "max": 3e-2},
            "training.weight_decay": {"type": "loguniform", "min": 1e-6, "max": 1e-2},
            "training.batch_size": {"type": "choice", "values": [16, 32, 64, 128]},
        }
        summary = "Learning rate, weight decay and batch size."
        yield from {"default": {"summary": summary, "parameters": varied}, **found}.items()

    def data_fingerprint(self, config: A) -> str:
        """Digest the examples."""
        root = config.data.root
        if root is not None and root.is_file():
            digest_file(root)  # so that the record lists the file
        return self._read(config).digest

    def datamodule(
        self, config: A, cache: Path, preprocessing: Mapping[str, Any] | None = None
    ) -> ClassificationDataModule:
        """Return the examples, split."""
        from tutelage.classification.data import ClassificationDataModule, Learned

        learned = None if preprocessing is None else Learned.from_json(preprocessing)
        return ClassificationDataModule(config, self._read(config), learned)

    def curriculum_data(self, config: A, cache: Path) -> CurriculumData:
        """Return the examples as a curriculum draws them."""
        from tutelage.classification.data import ClassificationCurriculumData

        return ClassificationCurriculumData(config, self._read(config))

    def build(self, config: A, preprocessing: Mapping[str, Any]) -> ClassifierModule:
        """Return the body that the task gives, with its scaler and the layer behind it."""
        from tutelage.classification.data import Learned
        from tutelage.classification.module import Classifier, ClassifierModule

        learned = Learned.from_json(preprocessing)
        body = self.body(config, learned.shape)
        network = Classifier(body, learned.shape, len(learned.classes))
        return ClassifierModule(config.training, network)

    def evaluate(self, config: A, module: TaskModule, data: TaskData) -> Evaluation:
        """Score the test examples."""
        from tutelage.classification.evaluation import evaluate

        return evaluate(*_own(module, data))

    def predict(self, module: TaskModule, data: TaskData) -> tuple[Table, ...]:
        """Return a row for each test example."""
        from tutelage.classification.evaluation import prediction_table

        return (prediction_table(*_own(module, data)),)

    def exportable(self, module: TaskModule, data: TaskData) -> Exportable:
        """Return the network, with test examples to check it by."""
        from tutelage.classification.evaluation import exportable

        return exportable(*_own(module, data))

    def audit(self, config: A, cache: Path) -> Audit:
        """Count the classes of each part; look for equal examples of two classes."""
        from tutelage.classification.split import audit_tables

        stamp, table = audit_tables(self._read(config), config.data)
        return Audit(stamp, (table,))

    def continues(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
        """Refuse other classes and other arrays."""
        from tutelage.classification.data import Learned

        return Learned.from_json(old).apart(Learned.from_json(new))

    def inputs_differ(self, teacher: Mapping[str, Any], student: Mapping[str, Any]) -> str | None:
        """Compare classes and arrays."""
        return self.continues(teacher, student)

    def fold_units(self, config: A, cache: Path) -> FoldUnits:
        """Return what trains or validates; what is the same, or of one group, is one unit."""
        from tutelage.classification.split import pool_units

        return pool_units(self._read(config), config.data)[0]

    def predicted_units(self, data: TaskData) -> tuple[str, ...]:
        """Return the unit of each held-out example."""
        from tutelage.classification.data import ClassificationDataModule

        assert isinstance(data, ClassificationDataModule)
        return tuple(data.examples.units(data.test_rows))


def _own(module: TaskModule, data: TaskData) -> tuple[ClassifierModule, ClassificationDataModule]:
    from tutelage.classification.data import ClassificationDataModule
    from tutelage.classification.module import ClassifierModule

    assert isinstance(module, ClassifierModule) and isinstance(data, ClassificationDataModule)
    return module, data
