"""Claim: a burst of 10,000 requests from 16 clients is answered without an error.

Starts `tutelage serve RUN` as a process of its own, and asks it over loopback for the entities of
WNUT-17's test texts, from 16 clients that each keep a connection and wait for an answer before the
next question. The same text must get the same answer each time. Then come requests that are too
large or malformed: each must get its 4xx, and what it costs the service in CPU time is told, beside
a question that is answered.

    TUTELAGE_HOME=… python benchmarks/ner_service.py RUN [--format onnx-int8] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import onnxruntime
import psutil

from targets import Target, conclude
from tutelage.tasks.ner.config import NERData
from tutelage.tasks.ner.corpus import load_corpus

TIMES = 100  # of each wrong request
LONG = 20_001  # characters of a text that is too long
LARGE = 1_000_001  # bytes of a body that is too large
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Wrong:
    """A request that is to be refused.

    Args:
        name: What is wrong with it.
        path: Where it goes.
        body: What is sent; none sends the header of a large body alone.
        status: The answer that is right.
    """

    name: str
    path: str
    body: bytes | None
    status: int


WRONG = (
    Wrong("no JSON", "/predict", b"{not json", 422),
    Wrong("no UTF-8", "/predict", b'{"text": "\xff"}', 422),
    Wrong("another field", "/predict", b'{"txt": "Anna"}', 422),
    Wrong("a number for a text", "/predict", b'{"text": 5}', 422),
    Wrong("half a character", "/predict", b'{"text": "\\ud800"}', 422),
    Wrong("too long a text", "/predict", json.dumps({"text": "a" * LONG}).encode(), 413),
    Wrong("too many texts", "/predict/batch", json.dumps({"texts": ["a"] * 65}).encode(), 413),
    Wrong("too many lines", "/predict/file", b"a\n" * 65, 413),
    Wrong("too large, by its header", "/predict", None, 413),
)


@contextmanager
def serving(run: str, form: str) -> Iterator[tuple[int, psutil.Process]]:
    """Serve a run while the block lasts; yields the port and the process."""
    command = [sys.executable, "-m", "tutelage", "serve", run, "--format", form, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
            break
    else:
        raise SystemExit(f"it does not serve:\n{said}")
    try:
        yield int(found[1]), psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def ask(port: int, texts: Sequence[str]) -> list[tuple[float, int, bytes]]:
    """One client: seconds, status and answer of each question in turn."""
    connection, found = HTTPConnection("127.0.0.1", port, timeout=120), []
    for text in texts:
        body, began = json.dumps({"text": text}), time.perf_counter()
        try:
            connection.request("POST", "/predict", body, JSON)
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
        except OSError as error:
            status, content = 0, str(error).encode()
            connection.close()
        found.append((time.perf_counter() - began, status, content))
    connection.close()
    return found


def burst(port: int, texts: Sequence[str], requests: int, clients: int) -> dict[str, object]:
    """Let all clients ask at once."""
    asked = [[texts[i % len(texts)] for i in range(c, requests, clients)] for c in range(clients)]
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(lambda own: ask(port, own), asked))
    seconds = time.perf_counter() - began
    answers: dict[str, set[bytes]] = {}
    for own, told in zip(asked, found, strict=True):
        for text, (_, _, content) in zip(own, told, strict=True):
            answers.setdefault(text, set()).add(content)
    flat = [one for told in found for one in told]
    times = np.quantile([one[0] for one in flat], (0.5, 0.95, 0.99)) * 1e3
    statuses = Counter(str(status) for _, status, _ in flat)
    return {
        "requests": len(flat),
        "statuses": dict(statuses),
        "errors": len(flat) - statuses["200"],
        "texts_with_two_answers": sum(len(told) > 1 for told in answers.values()),
        "requests_a_second": len(flat) / seconds,
        "p50_ms": times[0],
        "p95_ms": times[1],
        "p99_ms": times[2],
    }


def refused(port: int, server: psutil.Process, wrong: Wrong) -> dict[str, object]:
    """Send a wrong request many times; what it costs the service."""
    before, statuses = cpu(server), Counter[int]()
    for _ in range(TIMES):
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        connection.putrequest("POST", wrong.path)
        size = LARGE if wrong.body is None else len(wrong.body)
        for name, value in (*JSON.items(), ("content-length", str(size))):
            connection.putheader(name, value)
        connection.endheaders(wrong.body)
        statuses[connection.getresponse().status] += 1
        connection.close()
    spent = (cpu(server) - before) / TIMES * 1e3
    right = statuses == {wrong.status: TIMES}
    return {"wrong": wrong.name, "status": dict(statuses), "right": right, "cpu_ms": spent}


def cpu(process: psutil.Process) -> float:
    """CPU seconds that a process has taken."""
    times = process.cpu_times()
    return float(times.user + times.system)


def get(port: int, path: str) -> dict[str, object]:
    """Answer of a GET, as JSON."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    found: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def main() -> None:
    """Print what the burst and the wrong requests came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--format", default="onnx-int8")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    texts = [document.text for document in load_corpus(NERData()).tests["test"]]
    load = os.getloadavg()[0]
    with serving(options.run, options.format) as (port, server):
        ask(port, texts[:50])  # warm
        info, memory, before = get(port, "/info"), server.memory_info().rss, cpu(server)
        found = burst(port, texts, options.requests, options.clients)
        found["cpu_ms"] = (cpu(server) - before) / options.requests * 1e3
        found["memory_grew_mib"] = (server.memory_info().rss - memory) / 2**20
        rows = [refused(port, server, wrong) for wrong in WRONG]
        well = get(port, "/health")
    lineage = {name: info[name] for name in ("run", "model", "mode", "parents", "fingerprints")}
    machine = {"cpu": platform.machine(), "cores": os.cpu_count(), "load": load}
    machine |= {"onnxruntime": onnxruntime.__version__, "format": options.format}
    print("  ".join(f"{key} {value}" for key, value in (lineage | machine).items()))
    shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items())
    print("  ".join(shown))
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    print(f"afterwards {well}")
    wrong = sum(not row["right"] for row in rows)
    asked = [
        Target("questions answered with an error", found["errors"], "=", 0),
        Target("texts with two answers", found["texts_with_two_answers"], "=", 0),
        Target("kinds of wrong request not refused as they should", wrong, "=", 0),
    ]
    kept = {"machine": machine, "lineage": lineage, "burst": found, "refused": rows}
    conclude(kept, asked, options.json)


if __name__ == "__main__":
    main()
