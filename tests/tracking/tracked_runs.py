"""A study with its trials, folds, refit and final model, and a run of its own: real tiny runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tiny_task import train

from tutelage.core.records import now
from tutelage.core.store import Run
from tutelage.hpo.config import HpoConfig
from tutelage.hpo.results import FoldResult, StudyFolder, StudyRecord, TrialResult

STUDY = "20260101-000000-000-tiny-search"
FAST = ("training.accelerator=cpu", "training.max_epochs=2", "training.log_every_n_steps=3")
WIDTHS = (4, 6)
FOLDS = 2


def made(home: Path, *overrides: str, **tags: object) -> Run:
    """Train a tiny run with some tags."""
    typed = (f"run.tags.{name}={value}" for name, value in tags.items())
    return train(home, *FAST, "run.policy=force_new", *overrides, *typed).run


def fold_run(home: Path, trial: int, fold: int) -> Run:
    """Train a fold of a trial."""
    width = f"model.hidden={WIDTHS[trial]}"
    tags = {"study": STUDY, "purpose": "trial-fold", "trial": trial, "fold": fold}
    return made(home, width, f"training.seed={fold}", **tags)


def make_study(home: Path) -> dict[str, Run]:
    """Make the whole study, and a run of its own, in a store; return the runs by what they are."""
    runs = {f"{t}/{f}": fold_run(home, t, f) for t in range(len(WIDTHS)) for f in range(FOLDS)}
    runs["refit"] = made(home, study=STUDY, purpose="refit", trial=1, seed=7)
    runs["final"] = made(home, study=STUDY, purpose="final")
    runs["alone"] = made(home)
    write_study(home, runs)
    return runs


def write_study(home: Path, runs: dict[str, Run]) -> StudyFolder:
    """Write what a finished study says of itself: its second trial is the chosen one."""
    path = home / "studies" / STUDY
    path.mkdir(parents=True)
    folder, moment = StudyFolder(path), now()
    folder.write(
        StudyRecord(
            id=STUDY,
            task="tiny",
            status="finished",
            created=moment - timedelta(minutes=2),
            finished=moment,
            fingerprint="f",
            study_name=STUDY,
            hpo=HpoConfig(trials=len(WIDTHS), folds=FOLDS).model_dump(mode="json"),
            base={},
            space={},
            data="tiny-70",
            metric="accuracy",
            direction="maximize",
            chosen=1,
        )
    )
    folder.write_trials(
        tuple(
            TrialResult(
                number=trial,
                status="complete",
                params={"model.hidden": width},
                value=0.5 + trial / 4,
                folds=tuple(
                    FoldResult(fold=fold, run=runs[f"{trial}/{fold}"].id, value=0.5)
                    for fold in range(FOLDS)
                ),
                started=moment - timedelta(minutes=1),
                finished=moment,
            )
            for trial, width in enumerate(WIDTHS)
        )
    )
    return folder
