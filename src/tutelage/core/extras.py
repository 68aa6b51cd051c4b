"""What this package's extras bring, by its own metadata, and what to do where one is missing."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement

from tutelage.core.errors import RequestError
from tutelage.core.installing import install_command


def extra_of(requirement: Requirement) -> str:
    """Return the extra that a requirement belongs to; empty when it is always needed."""
    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return ""
    return str(marker).partition('extra == "')[2].partition('"')[0]


def require_extra(extra: str) -> None:
    """See that all that an extra brings is installed; a name that is no extra asks for nothing.

    Raises:
        RequestError: A package is absent; the message has the command that installs it.
    """
    if absent := missing(extra):
        hint = f"Install what it needs: {install_command(extra)}."
        raise RequestError(f"not installed: {', '.join(absent)}", where=extra, hint=hint)


def missing(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed; none of a name that is no extra."""
    brought = map(Requirement, metadata.requires("tutelage") or []) if extra else ()
    return [one.name for one in brought if extra_of(one) == extra and not is_installed(one.name)]


def is_installed(package: str) -> bool:
    """Return whether a package is there, by any spelling of its name."""
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True
