"""`install_command`: what a person types to install an extra of this package."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit


def install_command(extra: str) -> str:
    """Return the command that installs an extra: of a checkout, at the versions tested with it."""
    constraints = f"-c {shlex.quote(str(path))} " if (path := _constraints()) else ""
    return f"pip install {constraints}'tutelage[{extra}]'"


def _constraints() -> Path | None:
    """The ``constraints.txt`` of the checkout that this package is installed from, if it is."""
    said = metadata.distribution("tutelage").read_text("direct_url.json")
    found = json.loads(said) if said else {}
    if "dir_info" not in found:
        return None
    path = Path(unquote(urlsplit(found["url"]).path), "constraints.txt")
    if not path.is_file():
        return None
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
