"""What an error's words tell of its cause, where nothing else does."""

from __future__ import annotations

from typing import Final

_OUT_OF_MEMORY: Final = (
    "out of memory",
    "outofmemory",
    "memoryerror",
    "not enough memory",
    "cannot allocate memory",
    "can't allocate memory",
    "unable to allocate",
)


def is_out_of_memory(text: str) -> bool:
    """Whether an error, by its class and message, says that memory ran out."""
    return any(words in text.lower() for words in _OUT_OF_MEMORY)
