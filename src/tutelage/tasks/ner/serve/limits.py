"""What a service takes at most, and the guard that turns larger requests away unread."""

from __future__ import annotations

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
    """

    body_bytes: int = 1_000_000
    characters: int = 20_000
    texts: int = 64

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
    """Answers 413 to a request whose body is too large, by its header or as it comes.

    Args:
        app: The application behind it.
        most: Bytes that a body may have.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self.most:
            return await self._refuse(scope, receive, send)
        messages: list[Message] = []
        size, more = 0, True
        while more:  # bounded: at most `most` bytes are kept
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)
            if size > self.most:
                return await self._refuse(scope, receive, send)
        messages.reverse()

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        return await self.app(scope, again, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import JSONResponse

        said = f"the request is larger than {self.most} bytes"
        headers = {"connection": "close"}
        await JSONResponse({"detail": said}, 413, headers)(scope, receive, send)
