"""Units are dealt into folds that hold out everything once, tear no group, and can be trusted."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.core.config import DataConfig
from tutelage.core.dealing import deal
from tutelage.core.errors import ConfigError, DataError
from tutelage.core.folds import (
    FoldUnits,
    Split,
    held_out_units,
    read_split,
    refuse_leakage,
    write_split,
)


def plain(n: int) -> FoldUnits:
    return FoldUnits(tuple(f"unit {i}" for i in range(n)))


def grouped(n: int, per_group: int) -> FoldUnits:
    ids = tuple(f"unit {i}" for i in range(n))
    return FoldUnits(ids, groups=tuple(f"group {i // per_group}" for i in range(n)))


@st.composite
def any_units(draw: st.DrawFn) -> FoldUnits:
    n = draw(st.integers(4, 40))
    names = st.lists(st.sampled_from("abcdefgh"), min_size=n, max_size=n).map(tuple)
    return FoldUnits(
        tuple(f"unit {i}" for i in range(n)),
        draw(st.none() | names),
        draw(names),
        draw(st.none() | st.lists(st.integers(1, 90), min_size=n, max_size=n).map(tuple)),
    )


@settings(max_examples=60, deadline=None)
@given(any_units(), st.sampled_from(["kfold", "stratified"]), st.integers(2, 4), st.integers(0, 9))
def test_every_unit_is_held_out_once_in_a_fold_that_tears_no_group(units, kind, folds, seed):
    if len(set(units.groups or units.ids)) < folds:
        with pytest.raises(DataError, match="folds are possible"):
            deal(units, kind, folds, seed=seed)
        return
    split = deal(units, kind, folds, seed=seed)
    held = [split.held_out(fold) for fold in range(folds)]
    assert sorted(name for fold in held for name in fold) == sorted(units.ids)
    assert all(held)
    for fold in held:
        refuse_leakage(units, [name in fold for name in units.ids], "here")


def test_a_deal_is_a_function_of_its_seed_and_not_of_the_order_of_the_units():
    units = grouped(60, 2)
    backwards = FoldUnits(units.ids[::-1], units.groups[::-1])
    one, same, other = deal(units, seed=1), deal(backwards, seed=1), deal(units, seed=2)
    assert {one.held_out(k) for k in range(5)} == {same.held_out(k) for k in range(5)}
    assert deal(units, seed=1) == one
    assert {one.held_out(k) for k in range(5)} != {other.held_out(k) for k in range(5)}


def test_repeats_deal_otherwise_each_time_and_are_counted_on():
    split = deal(plain(12), folds=3, repeats=4, seed=5)
    assert split.count == 12
    deals = [frozenset(split.held_out(3 * r + k) for k in range(3)) for r in range(4)]
    assert len(set(deals)) == 4
    with pytest.raises(ConfigError, match="from 0 to 11"):
        split.held_out(12)


def test_as_many_repeats_as_there_are_different_deals_is_all_one_gets():
    with pytest.raises(ConfigError, match="not all different"):
        deal(plain(3), folds=3, repeats=2)


def test_stratified_folds_share_each_stratum_out_evenly():
    strata = ("common",) * 30 + ("rare",) * 5
    units = FoldUnits(plain(35).ids, strata=strata)
    split = deal(units, "stratified", 5, seed=3)
    of = dict(zip(units.ids, strata, strict=True))
    counts = [Counter(of[name] for name in split.held_out(fold)) for fold in range(5)]
    assert counts == [Counter(common=6, rare=1)] * 5


def test_folds_are_alike_in_size_where_units_differ():
    sizes = tuple(1 + i * i for i in range(30))
    units = FoldUnits(plain(30).ids, sizes=sizes)
    split = deal(units, folds=3)
    of = dict(zip(units.ids, sizes, strict=True))
    sums = [sum(of[name] for name in split.held_out(fold)) for fold in range(3)]
    assert max(sums) < 1.1 * min(sums)


def test_groups_limit_how_many_folds_are_possible():
    with pytest.raises(DataError, match="5 folds of 4 groups .*: at most 4 folds are possible"):
        deal(grouped(12, 3), "grouped", 5)


def test_what_the_data_do_not_know_is_not_dealt_by():
    with pytest.raises(ConfigError, match="know no groups"):
        deal(plain(9), "grouped", 3)
    with pytest.raises(ConfigError, match="by which to stratify"):
        deal(plain(9), "stratified", 3)


def test_a_split_file_says_what_was_dealt(tmp_path: Path):
    split = deal(grouped(12, 2), "grouped", 3, repeats=2, seed=7, task="tiny")
    write_split(split, tmp_path / "split.json")
    assert read_split(tmp_path / "split.json") == split
    assert read_split(tmp_path / "split.json").digest == split.digest


def test_a_changed_split_file_is_refused(tmp_path: Path):
    file = tmp_path / "split.json"
    write_split(deal(plain(6), folds=2), file)
    content = json.loads(file.read_text())
    first = content["fold_of"][0]
    content["fold_of"][0] = [1 - fold for fold in first]
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"split.json: the split was changed"):
        read_split(file)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": ""}', '{"digest": 1, "folds": "x"}'])
def test_what_is_no_split_file_is_said_to_be_none(tmp_path: Path, text: str):
    file = tmp_path / "split.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match="is no split file"):
        read_split(file)
    with pytest.raises(ConfigError, match="can't be read"):
        read_split(tmp_path / "none.json")


def test_a_split_that_tears_a_group_can_not_even_be_made():
    with pytest.raises(DataError, match="both sides of the fold: 'a' is held out, 'b'"):
        Split(
            kind="kfold",
            folds=2,
            units=("a", "b", "c"),
            groups=("one", "one", "two"),
            fold_of=((0, 1, 1),),
        )


def test_a_fold_is_held_out_of_the_very_units_it_was_dealt_from(tmp_path: Path):
    units, file = plain(8), tmp_path / "split.json"
    split = deal(units, folds=4)
    write_split(split, file)
    held = held_out_units(units, DataConfig(split_file=file, fold=2))
    chosen = {name for name, out in zip(units.ids, held, strict=True) if out}
    assert chosen == split.held_out(2)
    assert not any(held_out_units(units, DataConfig(split_file=file, fold="all")))
    with pytest.raises(DataError, match="dealt from other data: 1 of its units are not there"):
        held_out_units(plain(7), DataConfig(split_file=file, fold=2))
    with pytest.raises(DataError, match="does not know 1 units"):
        held_out_units(plain(9), DataConfig(split_file=file, fold="all"))


def test_a_fold_leaks_if_the_data_know_groups_that_the_split_did_not(tmp_path: Path):
    file = tmp_path / "split.json"
    write_split(deal(plain(8), folds=4), file)
    alike = FoldUnits(plain(8).ids, groups=("one",) * 8)
    with pytest.raises(DataError, match="1 groups are on both sides"):
        held_out_units(alike, DataConfig(split_file=file, fold=0))


def test_units_of_one_name_are_refused():
    with pytest.raises(DataError, match="1 units share their name, such as 'a'"):
        FoldUnits(("a", "b", "a"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"fold": 1}, "needs data.split_file"), ({"split_file": "split.json"}, "needs data.fold")],
)
def test_a_fold_and_its_file_come_together(settings, said):
    with pytest.raises(ValueError, match=said):
        DataConfig.model_validate(settings)
    assert DataConfig.model_validate({"fold": "all"}).fold == "all"
