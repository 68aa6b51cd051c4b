"""JSON from a stranger: of no more bytes, depth and kinds of text than what is written can have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tutelage.core.files import open_regular

LARGEST: Final = 1 << 26
"""Bytes of a file that tells of a run: records with drawings have a few million at most."""
DEEPEST: Final = 100
"""Levels of a document."""
TOO_DEEP: Final = "it is nested too deeply"
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")
Pairs = list[tuple[str, object]]


def load_json(text: str | bytes, pairs: Callable[[Pairs], object] | None = None) -> object:
    """Read one JSON document.

    Args:
        text: The document, in UTF-8 if it is bytes.
        pairs: Makes an object of its keys and values; by default a dict.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or has half of a character in a text.
    """
    text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    try:
        value: object = json.loads(text, object_pairs_hook=pairs)
        if _HALF.search(text):
            require_whole_text(value)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if text.count("[") + text.count("{") > DEEPEST:
        _require_shallow(value)
    return value


def _require_shallow(value: object) -> None:
    """Refuse a value of more than `DEEPEST` levels."""
    level = [value]
    for _ in range(DEEPEST):
        lists = (list(v.values()) if isinstance(v, dict) else v for v in level)
        level = [part for found in lists if isinstance(found, list) for part in found]
        if not level:
            return
    raise ValueError(TOO_DEEP)


def read_json(path: Path, most: int = LARGEST) -> object:
    """Read a file that is one JSON document.

    Raises:
        OSError: It can't be read, or is no regular file.
        ValueError: It has more than ``most`` bytes, or is what `load_json` refuses.
    """
    return load_json(read_limited(path, most))


def read_object(path: Path, most: int = LARGEST) -> dict[str, object]:
    """Read a file that is one JSON object.

    Raises:
        OSError: It can't be read, or is no regular file.
        ValueError: It is no object, or is what `read_json` refuses.
    """
    value = read_json(path, most)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def read_limited(path: Path, most: int) -> bytes:
    """Return the content of a file that is to be small.

    Raises:
        OSError: It can't be read, or is no regular file.
        ValueError: It has more than ``most`` bytes.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most} bytes")
    return content


def require_whole_text(value: object) -> None:
    """Refuse a value that can't be written again, for half of a character in one of its texts.

    Raises:
        ValueError: A text holds a lone surrogate.
    """
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a character (a lone surrogate)") from None
