"""A run on small texts of one's own, from training to predictions with places in the text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tutelage import api
from tutelage.core.errors import DataError
from tutelage.core.store import Run

NAMES = ["Ada", "Bob", "Cleo", "Dan", "Eve", "Finn"]
WORDS = ["met", "saw", "the", "old", "dog", "of", "at", "night", "and", "ran", "home", "then"]


def texts(count: int, seed: int) -> list[dict[str, object]]:
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = generator.choice(WORDS, 8).tolist()
        words[2] = str(generator.choice(NAMES))
        start = len(" ".join(words[:2])) + 1
        found.append({"text": " ".join(words), "label": [[start, start + len(words[2]), "name"]]})
    return found


def write(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ner")


@pytest.fixture(scope="module")
def run(home: Path) -> Run:
    root = write(home / "letters.jsonl", texts(150, 0))
    overrides = (f"data.root={root}", "training.max_epochs=8", "training.learning_rate=0.01")
    small = ("model.hidden=16", "evaluation.bootstrap=50", "training.batch_size=16")
    return api.train("ner", *overrides, *small, home=home / "runs")


def test_a_small_run_learns_names_and_its_record_has_scores_baselines_and_tables(run):
    record = run.record
    assert record.metrics["test/f1"] > 0.9
    assert set(record.baselines) == {"gazetteer", "frequent_tag"}
    assert "Entities of test by type" in [table.title for table in record.tables]
    assert record.audit is not None and record.audit.verdict == "clean"


def test_evaluating_again_gives_the_same_scores(run, home):
    again = api.evaluate(run, home=home / "runs")
    assert again.evaluation.metrics == pytest.approx(dict(run.record.metrics))


def test_plain_text_is_predicted_line_by_line_with_places(run, home):
    source = home / "in.txt"
    source.write_text("then the Bob ran home\n\nof the old dog\n")
    lines = list(api.predict_lines(run, source, home=home / "runs"))
    assert [line["id"] for line in lines] == ["1", "3"]
    assert json.loads(json.dumps(lines)) == lines
    first = lines[0]["spans"]
    assert isinstance(first, list) and [span["text"] for span in first] == ["Bob"]
    (table,) = api.predict(run, source, home=home / "runs")
    assert table.rows[0][:5] == ("1", 9, 12, "name", "Bob")


def test_predictions_can_be_read_again_as_labelled_texts(run, home):
    source = write(home / "new.jsonl", [{"text": one["text"]} for one in texts(20, 9)])
    lines = list(api.predict_lines(run, source, home=home / "runs"))
    again = write(home / "again.jsonl", [dict(line) for line in lines])
    assert api.evaluate(run, f"data.root={again}", home=home / "runs").evaluation.metrics[
        "test/f1"
    ] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b'{"text": "a dog", "label": [[0, 99, "name"]]}\n', r"bad.jsonl:1: .*outside their text"),
        (b'{"text": "a dog", "label": [[0, 5, "dog"]]}\n', r"bad.jsonl:1: .*never saw"),
        (b'{"text": "a dog\xff", "label": []}\n', r"bad.jsonl:1: .*not UTF-8"),
        (b'{"text": "", "label": []}\n', r"bad.jsonl:1: .*without a word"),
        (b"a\tO\ndog\tB-name\textra\n", r"bad.jsonl:2: .*3 columns instead of 2"),
        (b'{"text": "a dog"}\n', "no text is labelled"),
    ],
)
def test_bad_texts_are_refused_with_file_and_line(run, home, content, said):
    path = home / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        api.evaluate(run, f"data.root={path}", home=home / "runs")


def test_texts_of_other_types_can_be_predicted_though_not_scored(run, home):
    source = write(home / "other.jsonl", [{"text": "then Ada ran", "label": [[0, 4, "time"]]}])
    (line,) = api.predict_lines(run, source, home=home / "runs")
    assert line["text"] == "then Ada ran"
