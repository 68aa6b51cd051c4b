"""Real seeds of settings: what is typed, files, recipes, search spaces, splits."""

from __future__ import annotations

from pathlib import Path

from fuzzing.seeds_shared import written


def overrides(folder: Path) -> list[bytes]:
    typed = (
        "training.max_epochs=5",
        "model=gat",
        "model={name: gat, hidden: 8}",
        "data.root=x",
        "mode=autoencoder",
        "training.scheduler={name: cosine, restarts: 1}",
        "run.tags.a=b",
        "data.columns.label=x",
        "evaluation.operating_points=[1, 2]",
        "training.learning_rate=1e-3",
        "training.precision=16",
    )
    return [text.encode() for text in typed]


_SETTINGS = """model: {name: gat, hidden: 8, heads: 2}
training:
  max_epochs: 5
  learning_rate: 1e-3
  scheduler: {name: cosine, restarts: 1}
data:
  window: 50
  columns:
    label: attack
run:
  tags: {customer: acme}
"""


def settings_yaml(folder: Path) -> list[bytes]:
    aliased = b"mode: autoencoder\nmodel: vgae\ntraining: {max_epochs: &a 2, seed: *a}\n"
    return [_SETTINGS.encode(), b"training: &a\n  max_epochs: 5\nmodel: gat\n", aliased]


def settings_json(folder: Path) -> list[bytes]:
    from tutelage.tasks.can.config import CANConfig

    return [CANConfig().model_dump_json().encode(), b'{"model": "gat", "training": {"seed": 3}}']


def recipe(folder: Path) -> list[bytes]:
    made = """task: can
summary: Two stages.
common:
  training: {max_epochs: 2}
stages:
  teacher:
    model: {name: gat, hidden: 8}
  student:
    mode: {name: distillation, teacher: teacher}
    grid: {model.hidden: [4, 8], training.seed: [0, 1]}
"""
    return [made.encode(), b"task: ner\nstages:\n  one: {}\n  two: {training: {seed: 1}}\n"]


def space(folder: Path) -> list[bytes]:
    made = """summary: What is varied.
epochs: 3
parameters:
  training.learning_rate: {type: loguniform, min: 1e-4, max: 1e-2}
  model.hidden: {values: [8, 16]}
  model.heads: {type: int, min: 2, max: 8, step: 2, when: {model.hidden: 16}}
"""
    return [made.encode()]


def study_settings(folder: Path) -> list[bytes]:
    made = """hpo:
  trials: 4
  sampler: {name: tpe, startup_trials: 2}
  pruner: asha
  folds: 3
  fold_pruner: {name: wilcoxon, p_value: 0.3}
training: {seed: 1}
"""
    return [made.encode()]


def split(folder: Path) -> list[bytes]:
    from tutelage.core.folds import Split, write_split

    made = Split(
        task="can",
        kind="grouped",
        folds=2,
        repeats=2,
        units=tuple("abcd"),
        groups=tuple("xxyz"),
        fold_of=((0, 0, 1, 1), (1, 1, 0, 1)),
    )
    return [written(folder, "x.json", lambda p: write_split(made, p))]
