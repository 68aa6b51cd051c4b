"""`tutelage watch` on logs and standard input, to the end, to a signal, and with bad requests."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
from pathlib import Path

import pytest
from command import Shared, assert_refused

from tutelage.tasks.can.simulator import simulate_capture, write_candump


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "drive.log"
    write_candump(simulate_capture("hatchback", seed=5, seconds=8, attack="dos").frames, path)
    return path


def test_a_log_gets_the_verdicts_of_predict_and_a_summary(shared: Shared, log: Path) -> None:
    result = shared.tutelage.done("watch", "@last", "--input", log, "--json", "--all")
    *verdicts, last = map(json.loads, result.out.splitlines())
    predicted = shared.tutelage.done("predict", "@last", log).out
    rows = list(csv.DictReader(io.StringIO(predicted)))
    for name in ("window", "first_frame", "start_time", "end_time", "score", "alarm"):
        assert [v[name] for v in verdicts] == [float(row[name]) for row in rows]
    counts = last["summary"]
    assert counts["windows"] == len(rows)
    assert counts["alarms"] == sum(int(row["alarm"]) for row in rows)
    assert (counts["malformed"], counts["dropped"]) == (0, 0)


def test_a_calibrated_watch_gets_the_verdicts_and_reasons_of_predict(
    shared: Shared, log: Path
) -> None:
    calibrated = ("evaluation.calibration=prefix", "evaluation.calibration_seconds=3")
    result = shared.tutelage.done("watch", "@last", "-i", log, "--json", "--all", *calibrated)
    *verdicts, last = map(json.loads, result.out.splitlines())
    rows = list(
        csv.DictReader(io.StringIO(shared.tutelage.done("predict", "@last", log, *calibrated).out))
    )
    assert [v["score"] for v in verdicts] == [float(row["score"]) for row in rows]
    assert [(str(v["alarm"]), v["reason"]) for v in verdicts] == [
        (row["alarm"], row["reason"]) for row in rows
    ]
    assert any(v["alarm"] and v["reason"].startswith(v["evidence"]["id"]) for v in verdicts)
    assert last["summary"]["calibrated_on"] == "beginning"
    assert result.err.count("taken for normal and not judged") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_summary_and_success(
    shared: Shared, log: Path, number: signal.Signals
) -> None:
    arguments = ("watch", "@last", "--json", "--all")
    process = shared.tutelage.start(*arguments, stdin=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    lines = log.read_text().splitlines(keepends=True)
    process.stdin.write("".join(lines[:250]) + "broken\n")
    process.stdin.flush()
    said = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.send_signal(number)
    rest, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    (summary,) = map(json.loads, rest.splitlines())
    assert [verdict["window"] for verdict in said] == [0, 1]
    counts = summary["summary"]
    assert (counts["frames"], counts["windows"], counts["malformed"]) == (250, 2, 1)
    assert "first number 251" in err


def test_alarms_are_lines_for_people_and_counts_go_to_standard_error(
    shared: Shared, log: Path
) -> None:
    result = shared.tutelage.done("watch", "@last", "--input", log)
    assert all("ALARM" in line and "0x" in line for line in result.out.splitlines())
    assert "frames per second" in result.err and "malformed" in result.err


def test_what_is_no_source_is_refused(shared: Shared) -> None:
    refused = shared.tutelage("watch", "@last", "--input", "sockercan:can0")
    assert_refused(refused, "unknown bus interface")
    assert_refused(shared.tutelage("watch", "@last", "--engine", "tpu"), "unknown engine 'tpu'")
