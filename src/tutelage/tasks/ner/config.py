"""Settings of the token-classification task: its data, its scores, and the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tutelage.core.config import DataConfig, RunConfig, Section, as_word
from tutelage.tasks.ner.models.config import (
    BiLSTMConfig,
    NERModel,
    NERTraining,
    Pretraining,
    Teaching,
)

Combination = Literal["new_only", "combined", "append"]


class Columns(Section):
    """Where a file keeps what, if that can't be seen from the file."""

    token: int | None = None
    """CoNLL column of the token, counted from 0; negative from the end."""
    tag: int | None = None
    """CoNLL column of the tag, counted from 0; negative from the end."""
    text: str | None = None
    """Field of the text (JSONL, CSV, Arrow)."""
    spans: str | None = None
    """Field of the entities (JSONL, CSV, Arrow)."""
    tokens: str | None = None
    """Field of the tokens (JSONL, CSV, Arrow)."""
    tags: str | None = None
    """Field of the tokens' tags (JSONL, CSV, Arrow)."""
    group: str | None = None
    """Field of what a text belongs to (JSONL, CSV, Arrow)."""


class Combine(Section):
    """An older set of texts that the new one is put together with."""

    name: Combination = "new_only"
    """`new_only`: the older set is not read; `combined`: each set is split as it would be alone,
    and their parts are put together; `append`: the older set's tests stay the tests, and the new
    texts train or are held out, but for those of files named test, which are the split
    `test_new`."""
    root: Annotated[Path | None, BeforeValidator(as_word)] = None
    """File or folder of the older set."""

    @field_validator("root")
    @classmethod
    def _absolute(cls, root: Path | None) -> Path | None:
        """Keep the path true when the run is read from another folder."""
        return None if root is None else root.expanduser().absolute()

    @model_validator(mode="after")
    def _both(self) -> Self:
        if self.name != "new_only" and self.root is None:
            raise ValueError(f"{self.name} needs data.combine.root, the older set")
        return self


class NERData(DataConfig):
    """Texts with entities, and how they are checked, combined and split."""

    formats: ClassVar[Mapping[str, str]] = {
        "conll": "CoNLL, IOB, IOB2, BIOES: a token and its tag a line, a blank line between texts",
        "doccano": "JSONL: text, label (or labels): [[start, end, type], …], or entities",
        "label-studio": "JSON or JSONL: data.text, annotations[].result[].value",
        "prodigy": "JSONL: text, spans: [{start, end, label}, …]",
        "dataturks": "JSONL: content, annotation: [{label, points: [{start, end}]}, …]",
        "tokens": "JSONL: tokens: [Ada, …], ner_tags: [B-person, …]",
        "csv": "CSV with a header: text, and label: [[start, end, type], …] where it is known",
        "arrow": "a folder that Hugging Face datasets saved (save_to_disk), or Parquet files",
        "text": "plain text, a text a line (no entities; to be predicted)",
        "predicted": "JSONL that `tutelage predict` wrote, corrected by hand",
    }
    layout: ClassVar[str] = """\
A file or a folder with train, dev or test in its name is that part; what no name says is split,
texts that are alike on one side. Every entity is held against its text; `tutelage audit ner` lists
what is off.

    data/train.jsonl            {"text": "Ada lives in Bonn", "label": [[0, 3, "person"]]}
    data/test.conll             Ada B-person
                                lives O"""
    embedded: Literal["wnut17", "resumes"] = "wnut17"
    """The set that is taken without `root`: WNUT-17, or résumés that are made up."""
    resumes: int = Field(default=600, ge=10)
    """Résumés that are made up."""
    resume_seed: int = Field(default=0, ge=0)
    """Seed of the résumés."""
    columns: Columns = Columns()
    """Where foreign files keep what."""
    scheme: Literal["iob2", "bioes"] = "iob2"
    """Tags that the model learns, whatever the files' own."""
    rename: Mapping[str, str] = {}
    """New names of types of entities: `{PER: person}`; an empty name drops the type."""
    validation_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Share of the training texts held out, where no file is named dev or validation."""
    test_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Share of all texts that tests, where no file is named test."""
    split_seed: int = Field(default=0, ge=0)
    """Seed of the split."""
    near_duplicate: float = Field(default=0.8, gt=0, le=1)
    """Texts that share this much of their three-word runs (Jaccard) never straddle a split."""
    cross_split: Literal["drop", "keep"] = "drop"
    """What becomes of training texts that are also in files named dev or test: left out of
    training, or kept and reported."""
    bad_share: float = Field(default=0.01, ge=0, le=1)
    """Share of entities (or texts) that may be wrong and left out before it is an error."""
    combine: Combine = Combine()
    """An older set that these texts are put together with."""


class NEREvaluation(Section):
    """How entities are read from a model's probabilities, and how they are scored."""

    decoding: Literal["legal", "argmax"] = "legal"
    """`legal`: the most probable tags of those that follow each other rightly; `argmax`: each
    word's most probable tag."""
    bootstrap: int = Field(default=1000, ge=0)
    """Draws of texts from which the interval of the entity F1 comes; 0 leaves it out."""
    errors: int = Field(default=20, ge=0)
    """Wrong entities of each test that are listed with their text."""


class NERConfig(RunConfig):
    """A whole token-classification run."""

    task: Literal["ner"] = "ner"
    """The domain."""
    model: NERModel = BiLSTMConfig()
    """The network."""
    data: NERData = NERData()
    """Texts with entities, and how they are checked, combined and split."""
    training: NERTraining = NERTraining()
    """The optimiser, the loop and the device."""
    pretraining: Pretraining = Pretraining()
    """Masked words that a network learns to tell before it learns tags (mode=autoencoder)."""
    teaching: Teaching = Teaching()
    """Texts without tags that a teacher says the tags of (mode=distillation)."""
    evaluation: NEREvaluation = NEREvaluation()
    """How entities are read from a model's probabilities, and how they are scored."""

    @property
    def own_texts(self) -> Path | None:
        """File or folder of texts without tags, besides those of the data."""
        return self.pretraining.root or self.teaching.root

    @model_validator(mode="after")
    def _acts(self) -> Self:
        for name, mode in (("pretraining", "autoencoder"), ("teaching", "distillation")):
            section = getattr(self, name)
            moved = [n for n, value in section if value != getattr(type(section)(), n)]
            if moved and self.mode.name != mode:
                raise ValueError(
                    f"{name}.{moved[0]} does nothing in mode={self.mode.name}: it is for "
                    f"mode={mode}"
                )
        return self
