"""Fusion of taggers: each reads its own tokens, and their words' probabilities are averaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from made_encoders import save_encoder
from made_ner_data import SMALL, ner_config, write_texts

from tutelage import api
from tutelage.core.errors import ConfigError
from tutelage.core.store import Run, RunStore
from tutelage.task import load_task
from tutelage.tasks.ner.datamodule import NERDataModule
from tutelage.training.launch import launch
from tutelage.training.model_card import read_preprocessing
from tutelage.training.restore import restore_module

FEW = ("training.max_epochs=3", "mode.folds=2", "evaluation.bootstrap=0")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


def run(home: Path, root: Path, *overrides: str) -> Run:
    return launch(load_task("ner"), ner_config(root, *overrides), RunStore(home)).run


@pytest.fixture(scope="module")
def experts(home: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = save_encoder(tmp_path_factory.mktemp("encoder"))
    encoder = ("model=encoder", f"model.path={folder}", "model.max_length=16")
    made = [
        run(home, root, *SMALL, "training.max_epochs=4"),
        run(home, root, *encoder, "training.max_epochs=1", "evaluation.bootstrap=0"),
    ]
    shutil.rmtree(folder)
    return made


def fused(home: Path, root: Path, experts: list[Run], *overrides: str) -> Run:
    named = f"mode.experts=[{', '.join(expert.id for expert in experts)}]"
    return run(home, root, "mode=fusion", named, *FEW, *overrides)


def test_a_mean_is_that_of_the_experts_word_by_word(
    home: Path, root: Path, experts: list[Run], tmp_path: Path
) -> None:
    made = fused(home, root, experts, "model=mean")
    task = load_task("ner")
    said = []
    for one in [made, *experts]:
        config = ner_config(root)
        data = NERDataModule(config, tmp_path, read_preprocessing(one.path, task))
        data.setup("test")
        tagger = data.tagger(restore_module(task, one))
        said.append(tagger(data.corpus.tests["test"]).probabilities)
    assert np.allclose(said[0], (said[1] + said[2]) / 2, atol=1e-5)


@pytest.mark.parametrize("model", ["weighted", "gated"])
def test_weights_are_fitted_on_held_out_words_and_compared(
    home: Path, root: Path, experts: list[Run], model: str
) -> None:
    made = fused(home, root, experts, f"model={model}")
    assert [parent.run for parent in made.record.parents] == [expert.id for expert in experts]
    assert any("weighted" in str(table.rows) for table in made.record.tables)
    lines = list(api.predict_lines(made, root / "test.conll", home=home))
    assert lines and all("spans" in line for line in lines)


def test_a_fusion_is_not_exported(home: Path, root: Path, experts: list[Run]) -> None:
    made = fused(home, root, experts, "model=mean")
    with pytest.raises(ConfigError, match="can't be exported"):
        api.export(made, home=home)


def test_experts_of_other_tags_are_refused(home: Path, root: Path, experts: list[Run]) -> None:
    with pytest.raises(ConfigError):
        fused(home, root, experts, "model=mean", "data.scheme=bioes")
