"""What an installation weighs: torch with what it needs, the core beside it, and each extra.

Counts the files of the packages that are installed where it runs, so install the extra `all` first.
"""

from __future__ import annotations

import argparse
import marshal
import platform
import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from targets import Target, conclude

MOST = 150_000_000
"""Bytes that the core may weigh beside torch."""
NO_EXTRAS = ("all", "dev", "docs", "fuzz")


def wanted(lines: Iterable[str], extra: str = "") -> Iterator[tuple[str, str]]:
    """Name and extra of each package that metadata ask for, here and with that extra."""
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield from ((requirement.name, one) for one in ("", *requirement.extras))


def needed(name: str, extra: str = "") -> dict[str, metadata.Distribution]:
    """A package and all that it needs, by name; one that isn't installed is said and left out."""
    found: dict[str, metadata.Distribution] = {}
    waiting, seen = [(name, extra)], set()
    while waiting:
        this, of = waiting.pop()
        this = canonicalize_name(this)
        if (this, of) in seen:
            continue
        seen.add((this, of))
        try:
            found[this] = metadata.distribution(this)
        except metadata.PackageNotFoundError:
            print(f"not installed, so not counted: {this}", file=sys.stderr)
            continue
        waiting += wanted(found[this].requires or [], of)
    return found


def weight(packages: dict[str, metadata.Distribution], bytecode: bool = False) -> int:
    """Bytes of the files of packages as they come, or with the bytecode that Python makes."""
    files = [Path(str(file.locate())) for one in packages.values() for file in one.files or ()]
    kept = [path for path in files if path.is_file() and path.suffix != ".pyc"]
    made = sum(compiled(path) for path in kept if path.suffix == ".py") if bytecode else 0
    return made + sum(path.stat().st_size for path in kept)


@cache
def compiled(path: Path) -> int:
    """Bytes of a file's bytecode, whether it was written or not; 0 of what is no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return 16 + len(marshal.dumps(compile(path.read_bytes(), path, "exec")))
        except (SyntaxError, ValueError):
            return 0


def extras() -> list[str]:
    """The extras that a person may install."""
    named = metadata.metadata("tutelage").get_all("Provides-Extra") or []
    return [name for name in named if name not in NO_EXTRAS]


def main() -> None:
    """Print a table; fail where the core weighs too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    given = parser.parse_args()
    torch = needed("torch")
    core = {name: one for name, one in needed("tutelage").items() if name not in torch}
    groups = {"torch": torch, "core": core}
    for extra in extras():
        more = needed("tutelage", extra)
        groups[extra] = {n: d for n, d in more.items() if n not in torch and n not in core}
    sizes = {name: weight(packages) for name, packages in groups.items()}
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}\n")
    print("| what | packages | MB | with bytecode | the largest |\n|---|---|---|---|---|")
    for name, packages in groups.items():
        each = sorted(packages, key=lambda one: -weight({one: packages[one]}))
        more = weight(packages, bytecode=True)
        row = f"{name} | {len(packages)} | {sizes[name] / 1e6:.0f} | {more / 1e6:.0f}"
        print(f"| {row} | {', '.join(each[:3])} |", flush=True)
    asked = Target("core beside torch's own requirements, MB", sizes["core"] / 1e6, "≤", MOST / 1e6)
    conclude({"bytes": sizes}, [asked], given.json)


if __name__ == "__main__":
    main()
