"""MLflow's own page, run lean and for this machine alone, and the page of Optuna's studies."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tutelage.core.errors import RequestError
from tutelage.execution.guard import guarded
from tutelage.tracking.environment import require, setup_mlflow_tracking_env

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.2
_LEAN: Final = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def free_port(port: int) -> int:
    """Return the port, or any free one for 0.

    Raises:
        RequestError: Something listens there.
    """
    try:
        with socket.create_server((HOST, port)) as bound:
            return int(bound.getsockname()[1])
    except OSError as error:
        said = error.strerror or str(error)
        hint = "Name another --port; 0 takes any free one."
        raise RequestError(
            f"can't listen there: {said}", where=f"{HOST}:{port}", hint=hint
        ) from error


def server_command(port: int, files: Path) -> tuple[str, ...]:
    """The command that runs MLflow's page, for this machine alone.

    Args:
        port: Where it listens.
        files: Where it keeps the files that it is sent.
    """
    return (
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)),
        *("--workers", "1", "--artifacts-destination", files.absolute().as_uri()),
    )


@contextmanager
def mlflow_page(uri: str, port: int, files: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run MLflow's page for the block, beginning when it answers; it ends with its whole tree.

    Args:
        uri: The database that it shows.
        port: Where it listens.
        files: Where it keeps the files that it is sent.
        log: File for what it says.

    Raises:
        RequestError: It can't be started.
        ConfigError: MLflow is not installed.
    """
    require("mlflow")
    environment = setup_mlflow_tracking_env(uri) | _LEAN | {"MLFLOW_BACKEND_STORE_URI": uri}
    with log.open("wb") as said, _started(server_command(port, files), environment, said) as server:
        _await(server, f"http://{HOST}:{port}/health", log)
        yield server


@contextmanager
def _started(
    command: tuple[str, ...], environment: Mapping[str, str], said: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        guarded(command), stdin=subprocess.PIPE, stdout=said, stderr=said, env=dict(environment),
        start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()


def _await(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Wait until a server answers.

    Raises:
        RequestError: It ended, or does not answer in time.
    """
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_SECONDS)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = lines[-1] if lines else "no answer"
    raise RequestError(f"MLflow's page can't be shown: {said}", where=log)
