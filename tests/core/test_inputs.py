"""The files that a run read are known by place and digest, wherever they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.core.errors import StoreError
from tutelage.core.files import digest_file, digested_files, write_json
from tutelage.core.inputs import PACKAGE, Inputs, read_inputs


def test_files_are_told_from_where_they_lie_and_found_again(tmp_path: Path) -> None:
    data, split = tmp_path / "data" / "sub" / "a.csv", tmp_path / "split.json"
    data.parent.mkdir(parents=True)
    data.write_text("1")
    split.write_text("{}")
    with digested_files() as seen:
        digest_file(split)
        digest_file(data)
        digest_file(PACKAGE / "core" / "inputs.py")
    digest_file(tmp_path / "split.json")
    inputs = Inputs.of(seen, tmp_path / "data")
    assert list(inputs.data) == ["sub/a.csv"] and list(inputs.elsewhere) == [str(split)]
    assert list(inputs.package) == ["core/inputs.py"]
    assert dict(inputs.places(tmp_path / "data")) == seen


def test_a_single_file_is_found_in_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("1")
    with digested_files() as seen:
        digest_file(file)
    inputs = Inputs.of(seen, file)
    assert list(inputs.data) == ["a.csv"] and dict(inputs.places(file)) == seen


def test_a_file_on_whose_way_a_step_goes_up_is_known_by_where_it_lies(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "sessions").mkdir(parents=True)
    (data / "raw.h5").write_text("1")
    (tmp_path / "outside.h5").write_text("2")
    with digested_files() as seen:
        digest_file(data / "sessions" / ".." / "raw.h5")
        digest_file(data / "sessions" / ".." / ".." / "outside.h5")
    inputs = Inputs.of(seen, data)
    assert list(inputs.data) == ["raw.h5"]
    assert [Path(name).resolve() for name in inputs.elsewhere] == [tmp_path / "outside.h5"]
    assert dict(inputs.places(data)).keys() >= {data / "raw.h5"}


def test_what_is_digested_elsewhere_is_not_collected(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("1")
    with digested_files() as outer:
        with digested_files() as inner:
            digest_file(file)
        assert list(inner) == [file]
    digest_file(file)
    assert outer == {}


def test_the_list_reads_back_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "inputs.json"
    assert read_inputs(path) is None
    inputs = Inputs(data={"a.csv": "d"}, elsewhere={"/b": "e"})
    write_json(path, inputs.model_dump(mode="json"))
    assert read_inputs(path) == inputs
    path.write_text("{")
    with pytest.raises(StoreError, match=r"inputs\.json"):
        read_inputs(path)
