"""`HpoConfig`: how a study searches, each setting explained beneath it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tutelage.core.folds import SplitKind
from tutelage.core.overrides import build_config, read_settings
from tutelage.core.sections import Section

Direction = Literal["maximize", "minimize"]
SamplerName = Literal["tpe", "gp", "cmaes", "qmc", "random", "grid"]
PrunerName = Literal["none", "median", "percentile", "asha", "hyperband", "patient"]
PREFIX: Final = "hpo"
"""What stands before a study's settings where they are typed with a run's: ``hpo.trials=12``."""


class Choosing(Section):
    """A way of doing something, with its settings; a word alone is its name."""

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


class Sampler(Choosing):
    """How the next trial's parameters are chosen."""

    name: SamplerName = "tpe"
    """`tpe`: tree-structured Parzen estimator; `gp`: Gaussian process, which loads torch; `cmaes`:
    CMA-ES, for numbers alone; `qmc`: scrambled Sobol points; `random`; `grid`: every combination
    once, in a drawn order, for choices and steps alone."""
    startup_trials: int = Field(default=8, ge=1)
    """Finished trials before what they say is used; until then parameters are random (tpe, gp)."""
    candidates: int = Field(default=24, ge=1)
    """Points among which the most promising one is taken (tpe)."""
    spread: float = Field(default=0.25, gt=0, le=1)
    """Standard deviation of the first generation, as a share of each range (cmaes)."""


class Pruner(Choosing):
    """When a trial is given up within a fold, by its epochs."""

    name: PrunerName = "median"
    """`median`: its best epoch so far is worse than the median of what finished trials said at this
    epoch; `percentile`: as median, with another share; `patient`: as median, and it has not
    improved for some epochs; `asha`: at epochs `rung`, `rung`·η, `rung`·η², … the best 1/η of all
    that came so far goes on; `hyperband`: the same, with first rungs that differ from trial to
    trial; `none`: never."""
    startup_trials: int = Field(default=4, ge=1)
    """Finished trials before any is given up (median, percentile, patient)."""
    warmup_epochs: int = Field(default=1, ge=0)
    """Epochs of a trial before it may be given up (median, percentile, patient)."""
    percentile: float = Field(default=25.0, gt=0, lt=100)
    """Share of the finished trials, the best, that goes on, in percent (percentile)."""
    rung: int = Field(default=1, ge=1)
    """First epoch after which trials are compared (asha, hyperband)."""
    reduction: int = Field(default=3, ge=2)
    """η: one trial of so many goes on from a rung to the next (asha, hyperband)."""
    patience: int = Field(default=3, ge=1)
    """Epochs without improvement (patient)."""
    min_delta: float = Field(default=0.0, ge=0)
    """Smallest change that counts as an improvement (patient)."""
    folds: Literal["first", "each"] = "first"
    """Folds in which a trial may be given up by its epochs: a trial that came through one of them
    would else have to pass the same sieve again in each."""


class FoldPruner(Choosing):
    """When a trial is given up between folds, by the scores of those that are done."""

    name: Literal["none", "median", "wilcoxon"] = "median"
    """`median`: the mean of its folds is worse than the median of the finished trials' means over
    the same folds; `wilcoxon`: a signed-rank test says that it is worse than the best trial."""
    startup_trials: int = Field(default=4, ge=1)
    """Finished trials before any is given up (median)."""
    p_value: float = Field(default=0.1, gt=0, lt=1)
    """A trial is given up below this one-sided p-value (wilcoxon). The test is made after each
    fold, so that more than this share of trials as good as the best may be given up."""


class HpoConfig(Section):
    """A study: how many trials, where and how they are judged, and what becomes of the best."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,47}$")
    """A word of your own in the study's id; the same word goes on with the same study."""
    space: str = Field(default="default", min_length=1)
    """What is searched: a YAML or JSON file, or the name of a space that ships with the task."""
    trials: int = Field(default=20, ge=1)
    """Settings that are tried, pruned and failed ones included; a grid has no more than it has."""
    folds: int = Field(default=1, ge=1, le=10_000)
    """Parts of the training pool, each held out in turn; 1 takes the task's own validation data."""
    repeats: int = Field(default=1, ge=1, le=10_000)
    """How often the folds are dealt, each time otherwise."""
    split: SplitKind | None = None
    """`kfold`: folds of like size; `stratified`: and with as much of each class; `grouped`: as
    kfold, and refused where the data know no groups; null: stratified where the data know classes,
    else kfold. Groups always stay together."""
    workers: int = Field(default=1, ge=1)
    """Trials that run at once."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the sampler and of the folds; that of training is `training.seed`."""
    deterministic: bool = False
    """Make the study the same each time with several workers too: trial *n* is chosen knowing the
    trials 0 to *n* − workers and no others, and waits for them. With one worker it always is."""
    sampler: Sampler = Sampler()
    """How the next trial's parameters are chosen."""
    pruner: Pruner = Pruner()
    """When a trial is given up by its epochs."""
    fold_pruner: FoldPruner = FoldPruner()
    """When a trial is given up by its folds."""
    metric: str | None = Field(default=None, min_length=1)
    """What trials are compared by, such as `f1`: a metric that is told of the held-out data, and of
    validation data after each epoch; null: the task's first one, or with `folds=1`
    `training.monitor`, if that is set."""
    direction: Direction | None = None
    """Whether more of it is better; null: less of what ends in loss, more of anything else."""
    max_epochs: int | None = Field(default=None, ge=1)
    """Epochs of each trial and of the refit, in place of `training.max_epochs`; null leaves that,
    or takes the space's where `training.max_epochs` is not set."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds after which no further trial begins; null for no limit."""
    trial_timeout: float | None = Field(default=None, gt=0)
    """Seconds after which one fold of a trial is ended and has failed; null for no limit."""
    retries: int = Field(default=1, ge=0)
    """How often a fold or a refit is begun again that was killed, crashed or timed out; one that
    ran out of memory or into NaN would again."""
    storage: str | None = Field(default=None, min_length=1)
    """Where Optuna keeps the trials: null for SQLite in the study's folder, the URL of a database
    for workers on several machines, or `journal` for a file that may lie on NFS."""
    selection: Literal["objective", "one-standard-error", "pareto"] = "objective"
    """`objective`: the best mean; `one-standard-error`: the cheapest trial whose mean is within one
    standard error of the best one's; `pareto`: of the trials that none beats in score, latency and
    size at once, the one nearest to the best of all three."""
    refit: Literal["all", "split", "none"] = "all"
    """What the chosen settings are trained on, to be tested once: `all` the training pool, for the
    epochs that the folds found best; `split`: the task's own training data, with its validation
    data to stop by; or `none`."""
    refit_seeds: int = Field(default=3, ge=1)
    """Models that are refitted, by `training.seed`, `training.seed` + 1, …"""
    log_artifacts: bool = False
    """Keep the weights of every trial's folds; else the chosen one's alone."""

    @property
    def total_folds(self) -> int:
        """Runs that a whole trial takes."""
        return self.folds * self.repeats

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if self.folds == 1 and (self.repeats > 1 or self.split is not None):
            raise ValueError("repeats and split are of several folds: set hpo.folds to 2 or more")
        if self.folds == 1 and self.selection == "one-standard-error":
            raise ValueError("selection=one-standard-error takes several folds: set hpo.folds")
        least = 0.5 ** (self.total_folds - 1)
        if self.fold_pruner.name == "wilcoxon" and least >= self.fold_pruner.p_value:
            raise ValueError(
                f"the smallest p-value before the last of {self.total_folds} folds is {least:g}: "
                f"wilcoxon below {self.fold_pruner.p_value:g} would never give up a trial; "
                "take more folds or repeats, or a larger hpo.fold_pruner.p_value"
            )
        return self


class StudySettings(BaseModel):
    """A study's settings as they stand among a run's: under `hpo`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    hpo: HpoConfig = HpoConfig()


def split_overrides(overrides: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the study's own settings and those of its runs, as typed, each in order."""
    given = tuple(overrides)
    own = tuple(text for text in given if text.split("=")[0].split(".")[0] == PREFIX)
    return own, tuple(text for text in given if text not in own)


def read_hpo_config(
    overrides: Iterable[str] = (), file: Path | None = None, settings: object = None
) -> HpoConfig:
    """Return a study's settings from a file with a section `hpo`, and from what was typed.

    Args:
        overrides: Settings as typed: ``hpo.trials=12``.
        file: YAML or JSON; its other sections are a run's and are not looked at.
        settings: Settings as a mapping, over those of the file; null for none.

    Raises:
        ConfigError: A setting is unknown or wrong.
    """
    layers: list[dict[str, object]] = []
    if file is not None:
        content = read_settings(file)
        layers = [{PREFIX: content[PREFIX]}] if PREFIX in content else []
    if settings is not None:
        layers.append({PREFIX: settings})
    return build_config(StudySettings, layers, overrides, file).hpo
