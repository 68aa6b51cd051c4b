"""A study's settings are typed, read and refused as a run's are."""

from pathlib import Path

import pytest

from tutelage.core.errors import ConfigError
from tutelage.hpo.config import HpoConfig, read_hpo_config, split_overrides


def test_every_setting_is_explained() -> None:
    def unexplained(section: type) -> list[str]:
        return [name for name, field in section.model_fields.items() if not field.description]  # type: ignore[attr-defined]

    sections = [HpoConfig, *(type(getattr(HpoConfig(), n)) for n in ("sampler", "pruner"))]
    assert [unexplained(section) for section in sections] == [[], [], []]


def test_a_word_is_the_name_of_a_sampler_whose_settings_stand_beside_it() -> None:
    settings = read_hpo_config(
        ["hpo.sampler.startup_trials=3", "hpo.sampler=gp", "hpo.pruner=asha", "hpo.trials=5"]
    )
    assert (settings.sampler.name, settings.sampler.startup_trials) == ("gp", 3)
    assert (settings.pruner.name, settings.trials) == ("asha", 5)


def test_a_studys_settings_are_told_from_a_runs() -> None:
    typed = ["hpo.trials=5", "training.max_epochs=2", "model=gat", "hpo.folds=3", "hpoo.x=1"]
    own, runs = split_overrides(typed)
    assert own == ("hpo.trials=5", "hpo.folds=3")
    assert runs == ("training.max_epochs=2", "model=gat", "hpoo.x=1")


def test_what_is_typed_lies_on_the_file(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("hpo: {trials: 7, pruner: {name: asha, reduction: 4}}\nmodel: gat\n")
    settings = read_hpo_config(["hpo.trials=9"], file)
    assert (settings.trials, settings.pruner.name, settings.pruner.reduction) == (9, "asha", 4)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("hpo.trils=3", "Did you mean 'trials'"),
        ("hpo.sampler=tpee", "'tpe', 'gp', 'cmaes', 'qmc', 'random' or 'grid'"),
        ("hpo.pruner=medianx", "'median', 'percentile', 'asha', 'hyperband'"),
        ("hpo.fold_pruner.name=t-test", "'none', 'median' or 'wilcoxon'"),
        ("hpo.pruner.reductoin=3", "Did you mean 'reduction'"),
        ("hpo.trials=0", "greater than or equal to 1"),
        (f"hpo.folds=1{'0' * 400}", "less than or equal to 10000"),
        ("hpo.repeats=2", "hpo.folds to 2 or more"),
    ],
)
def test_a_misspelt_name_or_value_is_refused_with_what_there_is(typed: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        read_hpo_config([typed])


def test_a_wilcoxon_test_that_could_never_give_up_a_trial_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"smallest p-value before the last of 3 folds is 0\.25"):
        read_hpo_config(["hpo.folds=3", "hpo.fold_pruner=wilcoxon"])
    settings = read_hpo_config(
        ["hpo.folds=3", "hpo.fold_pruner=wilcoxon", "hpo.fold_pruner.p_value=0.3"]
    )
    assert settings.fold_pruner.p_value == 0.3
    assert read_hpo_config(["hpo.folds=5", "hpo.repeats=2", "hpo.fold_pruner=wilcoxon"])
