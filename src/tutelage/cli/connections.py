"""Connections of `tutelage serve`: one on which no request begins whole in time is closed."""

from __future__ import annotations

import asyncio
import logging
from typing import ClassVar, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

_CONNECTIONS: Final = 256
"""Open at once; one more is answered 503."""


class TimedProtocol(H11Protocol):
    """Gives a client so long for the headers of each request, however slowly they drip.

    uvicorn limits the time between requests only, and a byte of the next one ends that.
    """

    seconds: ClassVar[float]

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request's headers; once they have come, the application waits."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._wait_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.seconds, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def server(app: ASGIApp, seconds: float) -> uvicorn.Server:
    """The server of an application.

    Args:
        app: What answers.
        seconds: Until a request's headers have come.
    """
    protocol = type("Protocol", (TimedProtocol,), {"seconds": seconds})
    config = uvicorn.Config(
        app,
        http=protocol,
        log_level=logging.WARNING,
        access_log=False,
        limit_concurrency=_CONNECTIONS,
    )
    return uvicorn.Server(config)
