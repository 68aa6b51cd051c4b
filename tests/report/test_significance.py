"""Which differences of runs may be chance: over seeds, folds or items, or why nobody can say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from made_runs import KNOWN, SCORES, finish_run
from tutelage.core.blocks import blocks_of, pack_blocks
from tutelage.core.chance import paired_test
from tutelage.core.folds import Split, write_split
from tutelage.core.store import Run, RunStore
from tutelage.report.compare import compare
from tutelage.report.page import render_page

F1 = f"{KNOWN}/f1"


def finished(store: RunStore, f1: float, *settings: str) -> Run:
    return finish_run(store, *settings, scores={**SCORES, F1: f1}, fingerprint=f"{f1}{settings}")


def scored(store: RunStore, right: Sequence[float], *settings: str, items: bytes = b"same") -> Run:
    """A run that kept what it scored on each of some blocks of windows."""
    run = finished(store, float(np.mean(right)), *settings)
    blocks = blocks_of(F1, "blocks of 50 windows", right, np.ones(len(right)), [items])
    ((name, content),) = pack_blocks(blocks).items()
    (run.path / name).write_bytes(content)
    run.update(artifacts={name: run.artifact(run.path / name)})
    return run


GOOD = np.random.default_rng(0).uniform(0.85, 1.0, 80)


def test_runs_of_two_settings_are_tested_over_their_seeds(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    ours, theirs = (0.97, 0.98, 0.975), (0.95, 0.955, 0.957)
    runs = [finished(store, f1, f"training.seed={n}", "model.heads=2")
            for n, f1 in enumerate(theirs)]  # fmt: skip
    runs += [finished(store, f1, f"training.seed={n}") for n, f1 in enumerate(ours)]
    (one,) = compare(runs).tests
    assert one.over == "3 seeds" and one.said == "higher"
    assert one.found == paired_test(ours, theirs) and one.side.endswith("and 2 more")
    low = compare([runs[3], runs[4], runs[0]]).tests[0]
    assert low.found is None and "no scores of single test items" in low.said


def test_runs_in_folds_are_tested_with_the_corrected_variance(tmp_path: Path) -> None:
    store, path = RunStore(tmp_path / "home"), tmp_path / "split.json"
    units = tuple("abcdef")
    split = Split(kind="kfold", folds=3, units=units, fold_of=((0, 1, 2, 0, 1, 2),))
    write_split(split, path)
    f1s, runs = ((0.9, 0.8, 0.85), (0.88, 0.79, 0.84)), []
    for heads, scores in enumerate(f1s, 1):
        for fold, f1 in enumerate(scores):
            run = finished(store, f1, f"model.heads={heads}", f"data.split_file={path}",
                           f"data.fold={fold}")  # fmt: skip
            prints = run.record.fingerprints.model_copy(update={"split": split.digest})
            run.update(fingerprints=prints)
            runs.append(run)
    (one,) = compare(runs).tests
    assert one.over == "3 folds" and one.found == paired_test(f1s[1], f1s[0], 3)
    path.unlink()
    (one,) = compare(runs).tests
    assert one.found is None and "their file is gone" in one.said


def test_two_runs_are_tested_on_the_items_that_both_were_scored_on(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    first, other = scored(store, GOOD), scored(store, GOOD - 0.05, "model.heads=2")
    found = compare([first, other])
    (one,) = found.tests
    assert one.over == "80 blocks of 50 windows" and one.said == "lower"
    assert one.found is not None and one.found.difference.mean == pytest.approx(-0.05)
    low, high = found.found[0].found.low, found.found[0].found.high
    assert low is not None and high is not None and low < GOOD.mean() < high
    page = render_page([first, other])
    for words in ("Is it chance?", "another seed may move a score as much", "lower", "Headline"):
        assert words in page, words


def test_several_tests_are_adjusted_for_their_number(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    noise = np.random.default_rng(1).normal(0, 0.05, (2, 80))
    near = [scored(store, GOOD + each, f"model.heads={n}") for n, each in enumerate(noise, 2)]
    found = compare([scored(store, GOOD), *near]).tests
    for one in found:
        assert one.found is not None and one.found.p_value is not None and one.adjusted is not None
        assert one.adjusted >= one.found.p_value
    assert any(one.said == "may be chance" for one in found)
    assert "adjusted for 2 tests" in compare([scored(store, GOOD), *near]).headline[1].note


@pytest.mark.parametrize(("items", "said"), [(b"other", "on other test items")])
def test_what_can_not_be_paired_is_not_tested(tmp_path: Path, items: bytes, said: str) -> None:
    store = RunStore(tmp_path)
    runs = [scored(store, GOOD), scored(store, GOOD - 0.05, "model.heads=2", items=items)]
    (one,) = compare(runs).tests
    assert one.found is None and said in one.said
    assert one.as_json()["p_value"] is None and one.as_json()["said"] == one.said


def test_seeds_of_one_configuration_have_nothing_to_be_tested_against(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    runs = [finished(store, f1, f"training.seed={n}") for n, f1 in enumerate((0.9, 0.91))]
    found = compare(runs)
    assert found.tests == () and not found.tested
    assert found.found[0].of == "2 seeds"
    assert "nothing to test against" in render_page(runs)
