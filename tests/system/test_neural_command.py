"""The neural task as a person types it: embedded recordings, own files, and refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as parquet
from command import Tutelage, assert_refused, record

from browser import look_at

sys.path.insert(0, str(Path(__file__).parents[1] / "tasks" / "neural"))
from made_sessions import image_arrays, write  # noqa: E402

EMBEDDED = (
    "data.simulated_sessions=2",
    "data.simulated_seconds=60",
    "data.simulated_units=6",
    "model.frontend={name: conv, lags: 5, channels: 4, kernel: 7, stride: 2}",
    "model.convnet={channels: [8], kernels: [3], pools: [1]}",
    "training.max_epochs=2",
    "evaluation.bootstrap=50",
)


def test_embedded_recordings_train_and_are_scored_beside_the_truth(tutelage: Tutelage) -> None:
    tutelage.done("train", "neural", *EMBEDDED)
    (run,) = tutelage.runs()
    value = record(run)
    assert value["metrics"]["test/corr"] < value["baselines"]["true_rate"]["test/corr"]  # type: ignore[index]
    table = parquet.read_table(run / "units.parquet")
    assert set(table["session"].to_pylist()) == {"anna_01", "bert_01"}
    again = tutelage.done("evaluate", "@last", "--json").json
    assert again["metrics"] == value["metrics"]
    page = (run / "report.html").read_text()
    for words in ("Receptive fields in the model", "Most exciting stimuli", "recorded", "true x"):
        assert words in page, words
    look_at(run / "report.html")


def test_a_folder_of_images_trains_and_is_audited(tutelage: Tutelage) -> None:
    for seed in range(2):
        write(tutelage.folder / "v4", f"s{seed}", image_arrays(seed, images=80, repeats=20))
    small = ("model.convnet={channels: [4], kernels: [3], pools: [1]}", "training.max_epochs=1")
    done = tutelage.done("train", "neural", "data.root=v4", *small, "evaluation.drawn_sessions=0")
    assert "gabor_ridge" in done.out
    audited = tutelage.done("audit", "neural", "data.root=v4").out
    assert "20 stimuli are shown again" in audited


def test_a_bad_file_is_refused_by_session_and_field(tutelage: Tutelage) -> None:
    arrays = image_arrays(3)
    write(tutelage.folder / "v4", "bad", arrays | {"responses": arrays["responses"][:-1]})
    result = tutelage("train", "neural", "data.root=v4")
    assert_refused(result, "session WE_000003: responses: 39 rows", "bad.npz")
