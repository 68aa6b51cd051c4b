"""The multimodal task as a person types it: own folder, retrieval, embeddings, and refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from command import Tutelage, assert_refused, record

from browser import look_at

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks" / "multimodal"))
from made_pairs import SMALL, make_folder, write_rows  # noqa: E402


def test_one_s_own_folder_trains_at_once_and_the_run_is_used(tutelage: Tutelage) -> None:
    folder = make_folder(tutelage.folder / "mine")
    (folder / "red-circle-small-0.png").write_bytes(b"no picture")
    tutelage.done("train", "multimodal", "data.root=mine", *SMALL, "training.max_epochs=3")
    (run,) = tutelage.runs()
    value = record(run)
    assert value["baselines"]["chance"]["test/recall@10"] > 0  # type: ignore[index]
    assert "1 of 144 pictures" in tutelage.done("runs", "show", "@last").out
    tutelage.done("predict", "@last", "mine", "--output", "all.parquet")
    table = parquet.read_table(tutelage.folder / "all.parquet")
    assert table.num_rows == 2 * 143 and "e15" in table.column_names
    found = tutelage.done("predict", "@last", "--query", "a large blue circle").out.splitlines()
    assert len(found) == 6 and found[1].startswith("a large blue circle,1,")
    assert "data:image/png" in (run / "report.html").read_text()
    evaluated = tutelage.done("evaluate", "@last", "--json").json
    assert evaluated["metrics"]["test/recall@10"] == pytest.approx(  # type: ignore[index]
        value["metrics"]["test/recall@10"],
        abs=1e-6,  # type: ignore[index]
    )
    look_at(run / "report.html")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["image", "words"], ["a.png", "x"]], ("no column of captions", "data.columns.caption")),
        ([["image", "caption"], ["a.png", " "]], ("has no caption", "1 of 1")),
        ([["image", "caption"], ["gone.png", "x"]], ("gone.png there is no such file",)),
        ([["image", "caption"], ["red-circle-small-0.png", "x"]], ("1 different captions",)),
    ],
)
def test_bad_captions_are_refused_with_the_way_out(
    tutelage: Tutelage, rows: list[list[str]], words: tuple[str, ...]
) -> None:
    folder = make_folder(tutelage.folder / "mine", copies=1)
    (folder / "a.png").write_bytes((folder / "red-circle-small-0.png").read_bytes())
    write_rows(folder / "captions.csv", rows)
    assert_refused(tutelage("train", "multimodal", "data.root=mine", *SMALL), *words)
    assert not tutelage.runs()


def test_equal_captions_everywhere_are_refused(tutelage: Tutelage) -> None:
    folder = make_folder(tutelage.folder / "mine", copies=1)
    names = sorted(p.name for p in folder.glob("*.png"))
    write_rows(folder / "captions.csv", [["image", "caption"], *([n, "same"] for n in names)])
    result = tutelage("train", "multimodal", "data.root=mine", *SMALL)
    assert_refused(result, "72 pictures with 1 different captions")
