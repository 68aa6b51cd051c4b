"""What must not be written down: values of secret variables, passwords in addresses, keys."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

SECRET: Final = (
    *("*TOKEN*", "*SECRET*", "*PASSWORD*", "*PASSWD*", "*_PWD", "*_KEY", "*APIKEY*"),
    "*CREDENTIAL*",
)
"""Patterns of the names of environment variables that hold secrets."""
HIDDEN: Final = "***"
"""What stands in a secret's place."""
_SHORTEST: Final = 5
_WORDS: Final = ("false", "never", "always", "disable", "disabled", "enable", "enabled")
"""Values, such as that of TOKENIZERS_PARALLELISM, that are no secrets whatever the name is."""
_ADDRESS: Final = re.compile(r"(?<=://)([^\s/:@\"'<>]{0,256}:)[^\s\"'<>]{1,1024}@")
_NAMED: Final = re.compile(
    r"((?:password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|credentials?"
    r"|\btoken|[_-]token)[\"']?\s*=\s*[\"']?)[^\s\"',;&]+",
    re.IGNORECASE,
)
_HEADER: Final = re.compile(
    r"\b((?:bearer|authorization\W{1,3}basic) +)[\w.~+/=-]{8,}", re.IGNORECASE
)


def is_secret(name: str) -> bool:
    """Whether an environment variable of that name holds a secret."""
    return any(fnmatchcase(name.upper(), pattern) for pattern in SECRET)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text with every secret in it hidden.

    Hidden are the values of secret variables, the passwords of addresses, what follows
    ``password=`` and the like, and what follows ``Bearer`` in a header.

    Args:
        text: Any text.
        environment: Where secrets are looked for; null for this process's own.
    """
    names = os.environ if environment is None else environment
    values = {value for name, value in names.items() if is_secret(name) and _is_value(value)}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    text = _ADDRESS.sub(rf"\1{HIDDEN}@", text)
    return _HEADER.sub(rf"\1{HIDDEN}", _NAMED.sub(rf"\1{HIDDEN}", text))


def _is_value(value: str) -> bool:
    return len(value) >= _SHORTEST and value.lower() not in _WORDS
