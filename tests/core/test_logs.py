"""A run's log: whole JSON lines from every process, no secrets, and no harm from a full disk."""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tutelage.core.errors import StorageError
from tutelage.core.logs import JsonLines, is_shown, marked, read_log

WRITE = """
import logging, sys
from pathlib import Path
from tutelage.core.logs import JsonLines
logger = logging.getLogger("tutelage.x")
logger.addHandler(JsonLines(Path(sys.argv[1]), "r"))
for n in range(200):
    logger.error("%s %d %s", sys.argv[2], n, "x" * 9000)
"""


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("tutelage.test")
    made.setLevel(logging.DEBUG)
    yield made
    for handler in list(made.handlers):
        made.removeHandler(handler)
        handler.close()


def test_an_entry_has_time_level_logger_message_run_and_process(
    logger: logging.Logger, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    logger.addHandler(JsonLines(path, "run-1"))
    logger.info("epoch %d\nis over", 3)
    logger.debug("too small")
    (line,) = path.read_text().splitlines()
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "level": "info",
        "logger": "tutelage.test",
        "message": "epoch 3\nis over",
        "run": "run-1",
        "process": os.getpid(),
    }


def test_no_secret_reaches_the_log_in_message_or_traceback(
    logger: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "open-sesame")
    path = tmp_path / "log.jsonl"
    logger.addHandler(JsonLines(path, "run-1"))
    try:
        raise ValueError("the key open-sesame of http://me:pa55word@host is refused")
    except ValueError:
        logger.exception("with open-sesame", extra=marked("ValueError"))
    text = path.read_text()
    assert "sesame" not in text and "pa55word" not in text
    (entry,) = read_log(path)
    assert entry.event == "ValueError" and "in test_no_secret" in str(entry.traceback)


def test_what_ends_a_run_is_for_the_log_alone(logger: logging.Logger, tmp_path: Path) -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "", None, None)
    assert is_shown(record)
    record.__dict__.update(marked("ValueError"))
    assert not is_shown(record)


def test_processes_that_write_at_once_tear_no_line_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    names = ("a", "b", "c")
    children = [subprocess.Popen([sys.executable, "-c", WRITE, str(path), n]) for n in names]
    assert [child.wait() for child in children] == [0, 0, 0]
    entries = list(read_log(path))
    for name in names:
        mine = [e.message.split()[1] for e in entries if e.message.startswith(name)]
        assert mine == [str(n) for n in range(200)]


def test_a_full_disk_costs_lines_and_nothing_else_and_the_next_line_counts_them(
    logger: logging.Logger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    logger.addHandler(JsonLines(path, "run-1"))
    logger.info("before")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, former[1]))
    try:
        logger.info("torn")
        logger.info("lost")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    logger.info("after")
    assert [entry.message for entry in read_log(path)] == ["before", "after"]
    assert json.loads(path.read_text().splitlines()[-1])["lost"] == 2
    assert capsys.readouterr() == ("", "")


def test_lines_that_are_none_of_ours_are_passed_over(
    logger: logging.Logger, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    assert list(read_log(path)) == []
    path.write_bytes(b'[]\n{"time": 3}\n\xff\n{"time": "x", "message": ""}\n{"mess')
    logger.addHandler(JsonLines(path, None))
    logger.error("glued to half a line")
    logger.error("whole")
    assert [entry.message for entry in read_log(path)] == ["whole"]


def test_a_log_that_can_not_be_made_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no"):
        JsonLines(tmp_path / "no" / "log.jsonl", None)
