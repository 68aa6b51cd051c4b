"""`tutelage serve`: a finished run answers over HTTP."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli.console import err, showing_log
from tutelage.cli.options import Overrides, RunName
from tutelage.core.errors import RequestError

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="serve")(serve)


def serve(
    run: RunName,
    overrides: Overrides = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8000,
    format: Annotated[
        str, typer.Option(help="The file that answers: onnx or onnx-int8, made if it is missing.")
    ] = "onnx",
    model: Annotated[
        Path | None, typer.Option(help="A file exported before, wherever it lies.")
    ] = None,
    max_bytes: Annotated[int, typer.Option(min=1, help="Of a request.")] = 1_000_000,
    max_characters: Annotated[int, typer.Option(min=1, help="Of a text.")] = 20_000,
    max_texts: Annotated[int, typer.Option(min=1, help="Of a request.")] = 64,
    max_seconds: Annotated[
        int, typer.Option(min=1, help="Until a request's headers have come, and then its body.")
    ] = 30,
) -> None:
    """Answer over HTTP by a finished run's exported model, until Ctrl-C.

    GET /health, GET /info (the model's lineage), POST /predict {"text": …},
    POST /predict/batch {"texts": […]}, POST /predict/file (text, a line each); /openapi.json.
    There is no password: put it behind something that asks for one.

    Example:

        tutelage serve @last --format onnx-int8 --port 8080
    """
    from tutelage import api

    limits = {
        "body_bytes": max_bytes,
        "characters": max_characters,
        "texts": max_texts,
        "seconds": max_seconds,
    }
    with showing_log(quiet=False):
        app = api.service(run, *(overrides or ()), format=format, model=model, limits=limits)
    listen(app, host, port, max_seconds)


def listen(app: ASGIApp, host: str, port: int, seconds: float) -> None:
    """Answer on an address until the process is told to stop.

    Args:
        app: What answers.
        host: Address to listen on.
        port: 0 takes any free one.
        seconds: Until a request's headers have come.

    Raises:
        RequestError: The address can't be listened on.
    """
    from tutelage.cli.connections import server

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        said = error.strerror or str(error)
        raise RequestError(
            f"can't listen there: {said}",
            where=f"{host}:{port}",
            hint="Name another --port, or --host.",
        ) from error
    place = f"[{host}]" if ":" in host else host
    err.print(f"listening on http://{place}:{bound.getsockname()[1]} (Ctrl-C ends)", markup=False)
    with suppress(KeyboardInterrupt):  # which is how it is to end
        server(app, seconds).run(sockets=[bound])
