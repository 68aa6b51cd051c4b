"""What a service takes at most, and the guard that turns larger requests away unread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from tutelage.core.errors import ConfigError, suggest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a service takes.

    Args:
        body_bytes: Bytes of a request.
        characters: Characters of a text.
        texts: Texts of a request, and lines of a file.
        seconds: Until a request's body has come.
    """

    body_bytes: int = 1_000_000
    characters: int = 20_000
    texts: int = 64
    seconds: int = 30

    @classmethod
    def of(cls, given: Mapping[str, int]) -> Self:
        """Return the limits with some of them set.

        Raises:
            ConfigError: There is no such limit, or it is below 1.
        """
        known = [field.name for field in fields(cls)]
        for name, value in given.items():
            if name not in known:
                raise ConfigError(f"there is no limit {name!r}", hint=suggest(name, known))
            if value < 1:
                raise ConfigError(f"the limit {name} is {value}; it must be at least 1")
        return cls(**given)


class BodyGuard:
    """Answers 413 to a request whose body is too large, by its header or as it comes; 408 to one
    whose body does not come.

    Args:
        app: The application behind it.
        limits: The most that a request may ask.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.most, self.seconds = app, limits.body_bytes, limits.seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self.most:
            return await self._refuse(413, scope, receive, send)
        messages: list[Message] = []
        try:
            async with asyncio.timeout(self.seconds):
                whole = await self._take(receive, messages)
        except TimeoutError:
            return await self._refuse(408, scope, receive, send)
        if not whole:
            return await self._refuse(413, scope, receive, send)
        messages.reverse()

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        return await self.app(scope, again, send)

    async def _take(self, receive: Receive, messages: list[Message]) -> bool:
        """Take a body, of which at most a chunk too many is kept; say whether it was small."""
        size, more = 0, True
        while more:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)
            if size > self.most:
                return False
        return True

    async def _refuse(self, status: int, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import JSONResponse

        said = f"the request is larger than {self.most} bytes"
        if status == 408:
            said = f"the request did not come within {self.seconds} seconds"
        headers = {"connection": "close"}
        await JSONResponse({"detail": said}, status, headers)(scope, receive, send)
