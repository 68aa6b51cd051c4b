"""The split keeps together what belongs together; data, network and scores are what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, log_loss
from torch import nn

from tutelage.classification import ClassificationConfig, ClassificationData, Examples
from tutelage.classification.data import (
    ClassificationCurriculumData,
    ClassificationDataModule,
    Learned,
)
from tutelage.classification.evaluation import evaluate, probabilities
from tutelage.classification.module import Classifier, ClassifierModule
from tutelage.classification.split import PARTS, TEST, TRAIN, audit_tables, split_examples
from tutelage.core.config import ModelConfig
from tutelage.core.errors import DataError

NAMES = ("a", "b", "c")


def drawn(count: int = 300, seed: int = 0) -> Examples:
    """Three classes of unequal size, whose means lie apart, each array twice."""
    generator = np.random.default_rng(seed)
    y = np.repeat(generator.choice(3, count // 2, p=[0.6, 0.3, 0.1]), 2)
    x = np.repeat(generator.normal(size=(count // 2, 4)), 2, axis=0) + y[:, None]
    return Examples(x, y, NAMES)


def config(**data: object) -> ClassificationConfig:
    return ClassificationConfig(
        task="drawn", model=ModelConfig(name="linear"), data=ClassificationData(**data)
    )


def module(data: ClassificationDataModule) -> ClassifierModule:
    torch.manual_seed(0)
    made = ClassifierModule(data.config.training, Classifier(nn.Flatten(), (4,), 3))
    data.fit_module(made)
    return made.eval()


def test_parts_hold_their_share_of_each_class_and_never_share_an_array() -> None:
    examples = drawn()
    part = split_examples(examples, ClassificationData(validation_share=0.1, test_share=0.3))
    assert np.array_equal(part[::2], part[1::2])
    for name in range(3):
        own = part[examples.labels == name][::2]
        for number, share in enumerate((0.6, 0.1, 0.3)):
            assert abs((own == number).sum() - share * len(own)) <= 2
    again = split_examples(examples, ClassificationData(split_seed=1))
    assert not np.array_equal(again, split_examples(examples, ClassificationData()))


def test_examples_too_few_for_three_parts_are_refused() -> None:
    with pytest.raises(DataError, match="4 examples, 2 of them different, leave none for"):
        split_examples(Examples(np.array([[1], [1], [2], [2]]), np.zeros(4), NAMES), config().data)


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(ValueError, match=r"test_share=0\.5 leave nothing to train on"):
        ClassificationData(validation_share=0.5, test_share=0.5)


def test_only_training_examples_are_learned_from() -> None:
    examples = drawn()
    data = ClassificationDataModule(config(), examples)
    train = data.rows(TRAIN)
    learned = Learned.from_json(data.preprocessing)
    assert learned == data.learned and sum(learned.counts) == len(train) == data.train_size
    first = examples.x[train][examples.labels[train] == 0].mean(0)
    assert learned.means[0] == pytest.approx(first.tolist(), rel=1e-5)
    scaled = module(data).network
    assert scaled.mean.numpy() == pytest.approx(examples.x[train].mean(0), rel=1e-5)
    assert scaled.deviation.numpy() == pytest.approx(examples.x[train].std(0), rel=1e-5)


def test_pictures_are_scaled_by_channel_and_what_never_varies_is_left() -> None:
    pictures = torch.randn(50, 2, 3, 3) * torch.tensor([5.0, 0.0])[:, None, None] + 1
    network = Classifier(nn.Flatten(), (2, 3, 3), 2)
    network.fit_scaler(pictures)
    assert network.deviation.flatten().tolist() == pytest.approx(
        [float(pictures[:, 0].std()), 1], rel=1e-2
    )
    assert network.mean.shape == (2, 1, 1)


def test_a_body_that_makes_no_features_is_refused_with_what_it_made() -> None:
    with pytest.raises(ValueError, match=r"makes \(2, 3, 3\) of two arrays of shape \(3, 3\)"):
        Classifier(nn.Identity(), (3, 3), 2)


def test_scores_are_those_of_the_test_examples() -> None:
    data = ClassificationDataModule(config(), drawn())
    made = module(data)
    truth = data.examples.labels[data.rows(TEST)]
    said = probabilities(made, data)
    found = evaluate(made, data)
    guess = said.argmax(1)
    assert found.metrics["test/accuracy"] == pytest.approx((guess == truth).mean())
    assert found.metrics["test/macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found.metrics["test/log_loss"] == pytest.approx(log_loss(truth, said), rel=1e-6)
    common = found.baselines["most common class"]
    assert common["test/accuracy"] == pytest.approx((truth == 0).mean())
    assert common["test/a/accuracy"] == 1 and "test/b/precision" not in common
    assert found.baselines["nearest class mean"]["test/accuracy"] > common["test/accuracy"]
    (table,) = found.tables
    assert sum(cell for row in table.rows for cell in row[1:] if isinstance(cell, int)) == len(
        truth
    )


def test_other_examples_than_the_runs_own_all_test_and_are_doubted() -> None:
    own = ClassificationDataModule(config(), drawn())
    same = ClassificationDataModule(config(), drawn(), own.learned)
    other = ClassificationDataModule(config(), drawn(seed=1), own.learned)
    assert np.array_equal(same.part, own.part) and same.audit.verdict == "clean"
    assert (other.part == TEST).all() and other.learned == own.learned
    assert other.audit.verdict == "warnings"
    torn = ClassificationDataModule(config(split_seed=1), drawn(), own.learned)
    assert torn.audit.verdict == "leaking" and "another split" in torn.audit.findings[0]
    unlabelled = Examples(drawn(seed=2).x, None, NAMES)
    assert (
        len(probabilities(module(own), ClassificationDataModule(config(), unlabelled, own.learned)))
        == 300
    )


def test_the_distance_of_an_example_grows_with_that_from_the_mean_of_its_class() -> None:
    data = ClassificationCurriculumData(config(), drawn())
    away = data.measures["distance"]()
    rows = data.rows(TRAIN)
    assert away.shape == (len(rows),)
    centre = np.asarray(data.learned.means)[data.examples.labels[rows]]
    plain = np.linalg.norm(data.examples.x[rows] - centre, axis=1)
    assert np.corrcoef(away.numpy(), plain)[0, 1] > 0.95


def test_an_audit_counts_classes_and_names_what_contradicts_itself() -> None:
    examples = drawn()
    stamp, table = audit_tables(examples, config().data)
    assert stamp.verdict == "clean"
    assert [row[0] for row in table.rows] == [*NAMES]
    assert sum(cell for row in table.rows for cell in row[1:] if isinstance(cell, int)) == 300
    y = examples.labels.copy()
    y[y == 2] = 1
    y[0] = (y[0] + 1) % 2
    stamp, _ = audit_tables(Examples(examples.x, y, NAMES), config().data)
    assert stamp.verdict == "warnings"
    assert stamp.findings == (
        "2 examples are the same as one of another class",
        "no example is of class c",
    )


def test_an_audit_names_parts_with_few_examples_or_none_of_a_class() -> None:
    examples = drawn()
    kept = ((0, 9), (1, 9), (2, 1))
    rows = np.concatenate([np.flatnonzero(examples.labels == k)[:count] for k, count in kept])
    few = Examples(examples.x[rows], examples.labels[rows], NAMES)
    stamp, table = audit_tables(few, config().data)
    counts = {name: [row[at + 1] for row in table.rows] for at, name in enumerate(PARTS)}
    for name, found in counts.items():
        assert f"{name} has {sum(found)} of 19 examples: too few to tell much" in stamp.findings
        assert (f"{name} has none of class c" in stamp.findings) == (found[2] == 0)


def test_a_perfect_network_has_a_log_loss_of_nothing() -> None:
    data = ClassificationDataModule(
        config(),
        Examples(
            np.eye(3)[np.arange(30) % 3] * 9 + np.arange(30)[:, None] * 1e-3,
            np.arange(30) % 3,
            NAMES,
        ),
    )
    torch.manual_seed(0)
    made = ClassifierModule(data.config.training, Classifier(nn.Flatten(), (3,), 3))
    made.network.head.weight.data = 50 * torch.eye(3)
    found = evaluate(made, data)
    assert found.metrics["test/accuracy"] == 1
    assert math.isclose(found.metrics["test/log_loss"], 0, abs_tol=1e-6)
