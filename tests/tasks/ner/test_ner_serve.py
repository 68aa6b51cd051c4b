"""The service: the answers of the model itself, its lineage, and clear refusals."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from made_ner_data import SMALL, ner_config, write_texts

from tutelage import api
from tutelage.cli import connections
from tutelage.core.errors import CheckpointError, ConfigError, TutelageError
from tutelage.core.store import Run, RunStore
from tutelage.task import load_task
from tutelage.training.launch import launch

LIMITS = {"body_bytes": 4000, "characters": 200, "texts": 5, "seconds": 2}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = write_texts(tmp_path_factory.mktemp("texts"))
    config = ner_config(root, *SMALL, "training.max_epochs=8", "model.dropout=0")
    return launch(load_task("ner"), config, RunStore(home)).run


@pytest.fixture(scope="module")
def address(run: Run, home: Path) -> Iterator[str]:
    app = api.service(run, limits=LIMITS, home=home)
    bound = socket.create_server(("127.0.0.1", 0))
    server = connections.server(app, LIMITS["seconds"])
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


def test_it_is_well_and_says_where_its_model_comes_from(client: httpx.Client, run: Run) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    info = client.get("/info").json()
    assert info["run"] == run.id and info["labels"] == ["person", "place"]
    assert info["fingerprints"]["run"] == run.record.fingerprints.run
    assert info["metrics"]["test/f1"] == run.record.metrics["test/f1"]
    assert info["limits"] == LIMITS


def _told(answer: Any) -> list[tuple[int, int, str]]:
    return [(e["start"], e["end"], e["label"]) for e in answer["spans"]]


def test_it_answers_as_predict_does(
    client: httpx.Client, run: Run, home: Path, tmp_path: Path
) -> None:
    texts = ["Anna lives in Oslo .", "", "Kurt goes to Rome .", "xyz 😀 likes Paris"]
    (tmp_path / "a.txt").write_text("\n".join(t for t in texts if t) + "\n")
    lines = list(api.predict_lines(run, tmp_path / "a.txt", home=home))
    expected = [_told(line) for line in lines]
    assert expected[0]
    answer = client.post("/predict/batch", json={"texts": texts}).json()["results"]
    found = [_told(one) for one in answer]
    assert found == [expected[0], [], *expected[1:]]
    alone = [client.post("/predict", json={"text": text}).json() for text in texts]
    assert [_told(one) for one in alone] == found
    for text, one in zip(texts, alone, strict=True):
        assert all(text[e["start"] : e["end"]] == e["text"] for e in one["spans"])


def test_a_files_lines_are_answered_line_by_line(client: httpx.Client) -> None:
    answer = client.post("/predict/file", content=b"Anna likes Rome .\n\nnothing")
    rows = [line for line in answer.text.splitlines() if line]
    assert answer.status_code == 200 and len(rows) == 3
    assert answer.headers["content-type"].startswith("application/x-ndjson")


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/predict", {"content": b"{not json"}, 422),
        ("/predict", {"content": b"\xff\xfe"}, 422),
        ("/predict", {"content": b'{"text": "\xff"}'}, 422),
        ("/predict", {"json": {"txt": "Anna"}}, 422),
        ("/predict", {"json": {"text": 5}}, 422),
        ("/predict", {"json": {"text": "a", "more": 1}}, 422),
        ("/predict", {"content": b'{"text": "\\ud800"}'}, 422),
        ("/predict", {"json": {"text": "a" * 201}}, 413),
        ("/predict", {"json": {"text": "a" * 5000}}, 413),
        ("/predict/batch", {"json": {"texts": ["a"] * 6}}, 413),
        ("/predict/batch", {"json": {"texts": "Anna"}}, 422),
        ("/predict/file", {"content": b"a\n" * 6}, 413),
        ("/predict/file", {"content": b"\xff"}, 422),
        ("/nowhere", {"json": {}}, 404),
    ],
)
def test_what_is_wrong_or_too_large_is_refused(
    client: httpx.Client, path: str, sent: dict[str, object], status: int
) -> None:
    answer = client.post(path, **sent)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"txt": "Anna"}'])
def test_a_body_of_another_shape_is_told_the_right_one(client: httpx.Client, body: bytes) -> None:
    sent = {"Content-Type": "application/json"}
    answer = client.post("/predict", content=body, headers=sent)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith('Send {"text": "…"} as application/json.')


def test_a_body_without_a_length_is_cut_off_where_it_is_too_large(client: httpx.Client) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"a" * 1000

    assert client.post("/predict/file", content=endless()).status_code == 413


def test_a_body_that_does_not_come_is_given_up(address: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answer = b"".join(iter(lambda: slow.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408") and b"within 2 seconds" in answer


@pytest.mark.parametrize("whole", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_client_whose_headers_do_not_come_is_cut_off(address: str, whole: bytes) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as slow:
        slow.sendall(whole + b"GET /health HTTP/1.1\r\nHost:")
        answers = b"".join(iter(lambda: slow.recv(4096), b""))
    assert answers.count(b"HTTP/1.1 200") == bool(whole)


@pytest.mark.parametrize(
    "body",
    [b"[" * 3900, b'{"text": ' + b"9" * 3900 + b"}", b"\xff\xfe", b'{"text": "\\ud800"}', b""],
)
def test_a_body_that_is_no_request_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text


def test_many_clients_at_once_get_the_same_answers(address: str) -> None:
    texts = [f"Anna lives in {place} ." for place in ("Oslo", "Rome", "Paris")]

    def ask(number: int) -> list[tuple[int, object]]:
        with httpx.Client(base_url=address, timeout=60) as client:
            answers = [client.post("/predict", json={"text": texts[i % 3]}) for i in range(15)]
        return [(one.status_code, one.json()) for one in answers]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert all(one == found[0] for one in found)
    assert {status for status, _ in found[0]} == {200}


def test_unknown_limits_formats_and_files_of_other_runs_are_refused(
    run: Run, home: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no limit 'text'"):
        api.service(run, limits={"text": 3}, home=home)
    with pytest.raises(TutelageError, match="hf"):
        api.service(run, format="hf", home=home)
    with pytest.raises(CheckpointError, match="card is missing"):
        api.service(run, model=tmp_path / "model.onnx", home=home)
    for name in ("model.onnx", "model.onnx.json"):
        content = (run.path / name).read_text(errors="surrogateescape")
        if name.endswith("json"):
            content = content.replace('"preprocessing_digest": "', '"preprocessing_digest": "x')
        (tmp_path / name).write_text(content, errors="surrogateescape")
    (tmp_path / "model.onnx").write_bytes((run.path / "model.onnx").read_bytes())
    with pytest.raises(CheckpointError, match="of another run"):
        api.service(run, model=tmp_path / "model.onnx", home=home)
