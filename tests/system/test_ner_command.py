"""The ner task as a person types it: own texts, an older set, predictions, refusals."""

from __future__ import annotations

import json
import random
from pathlib import Path

from command import Tutelage, assert_refused

from browser import look_at

WORDS = ("met", "saw", "the", "old", "dog", "of", "at", "night", "and", "ran", "then")
SMALL = (
    "model.hidden=16",
    "training.max_epochs=8",
    "training.learning_rate=0.01",
    "training.accelerator=cpu",
    "evaluation.bootstrap=50",
)


def letters(path: Path, count: int, seed: int, kind: str = "name") -> Path:
    chance = random.Random(seed)
    lines = []
    for _ in range(count):
        before = " ".join(chance.choices(WORDS, k=6))
        name = chance.choice(["Ada", "Bob", "Cleo", "Dan", "Eve", "Finn"])
        span = [len(before) + 1, len(before) + 1 + len(name), kind]
        lines.append(json.dumps({"text": f"{before} {name} came home", "label": [span]}))
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_one_s_own_texts_train_and_new_ones_are_predicted_with_places(tutelage: Tutelage) -> None:
    letters(tutelage.folder / "new" / "a.jsonl", 120, 0, "Name")
    letters(tutelage.folder / "old" / "b.jsonl", 60, 1)
    both = ("data.combine.name=append", "data.combine.root=old")
    shown = tutelage.done("train", "ner", "data.root=new", *both, *SMALL).out
    assert "Entities of test by type" in shown and "gazetteer" in shown
    (run,) = tutelage.runs()
    assert "What combining changed" in tutelage.done("runs", "show", "@last").out
    (tutelage.folder / "in.txt").write_text("then the dog Bob came home\n")
    (line,) = map(json.loads, tutelage.done("predict", "@last", "in.txt").out.splitlines())
    assert [(one["start"], one["end"], one["label"]) for one in line["spans"]] == [(13, 16, "name")]
    with (tutelage.folder / "in.txt").open() as said:
        piped = tutelage.finish(tutelage.start("predict", "@last", "-", stdin=said.fileno()))
    assert [json.loads(text) for text in piped.out.splitlines()] == [line], piped.err
    (tutelage.folder / "old" / "b.jsonl").write_text('{"text": "Bob", "label": [[0, 9, "name"]]}\n')
    refused = tutelage("evaluate", "@last", "data.root=old")
    assert_refused(refused, "b.jsonl:1", "outside their text", "data.bad_share")
    look_at(run / "report.html")


def test_the_audit_of_one_s_own_texts_says_what_is_in_two_parts(tutelage: Tutelage) -> None:
    train = letters(tutelage.folder / "set" / "train.jsonl", 20, 0)
    (tutelage.folder / "set" / "test.jsonl").write_text(
        "\n".join(train.read_text().split("\n")[:3])
    )
    found = tutelage.done("audit", "ner", "data.root=set", "--json").json
    assert found["verdict"] == "leaking"
