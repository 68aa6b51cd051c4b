"""Claim: what is installed is what was tested: whole, consistent, no release known as bad.

Run: python benchmarks/dependency_audit.py [--json FILE] [--pip-audit COMMAND]

Each line is a question that is asked of every installed package, and how many answered it well:
its version is the one in constraints.txt; its files have the digests that its own RECORD states; it
has the packages that it needs, in versions that it takes; it is no release that `tutelage doctor`
knows as malicious; and pip-audit knows no vulnerability of it. The last one asks a service on the
network: where that can not be reached, or knows nothing of a package, that counts as not asked,
never as well. All other lines need no network.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tried import Row, write
from tutelage.cli.checks import check_malicious

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
OURS = "tutelage"


@cache
def installed() -> dict[str, metadata.Distribution]:
    """Every installed package but this one, by its canonical name."""
    found = {canonicalize_name(d.metadata["Name"]): d for d in metadata.distributions()}
    return {name: found[name] for name in sorted(found) if name != OURS}


@cache
def pins() -> dict[str, str]:
    """The tested version of each package."""
    lines = (line.partition("#")[0].strip() for line in CONSTRAINTS.read_text().splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, version in pairs}


def is_pinned(name: str, package: metadata.Distribution) -> str | None:
    wanted = pins().get(name)
    own = package.version.partition("+")[0]  # a build of the same release
    return None if own == wanted else f"{package.version}, tested is {wanted or 'none'}"


def is_whole(name: str, package: metadata.Distribution) -> str | None:
    for file in package.files or ():
        if file.hash is None:
            continue
        path = Path(str(file.locate()))
        if not path.exists():
            return f"{file} is gone"
        digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            return f"{file} was changed since it was installed"
    return None


def is_consistent(name: str, package: metadata.Distribution) -> str | None:
    there = installed()
    for line in package.requires or ():
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        found = there.get(canonicalize_name(needed.name))
        if found is None:
            return f"needs {needed}, which is not installed"
        if not needed.specifier.contains(found.version, prereleases=True):
            return f"needs {needed}, there is {found.version}"
    return None


def is_benign(name: str, package: metadata.Distribution) -> str | None:
    bad = {check.name: check.found for check in check_malicious()}
    return bad.get(name)


Question = Callable[[str, metadata.Distribution], str | None]
QUESTIONS: dict[str, Question] = {
    "is the version that was tested": is_pinned,
    "has what it needs": is_consistent,
    "is no release known as malicious": is_benign,
    "has the files that were installed": is_whole,
}


def ask(what: str, question: Question) -> Row:
    """Ask a question of every package, and print who answers it badly."""
    began, packages = time.monotonic(), installed()
    told = {name: question(name, package) for name, package in packages.items()}
    for name, said in told.items():
        if said is not None:
            print(f"  {name}: {said}")
    held = sum(said is None for said in told.values())
    return Row(what, len(told), held, round(time.monotonic() - began, 1))


def ask_pip_audit(command: str) -> Row:
    """Ask pip-audit about the tested versions; who it can't ask about is not counted."""
    began = time.monotonic()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{name}=={version}\n" for name, version in pins().items()))
        file.flush()
        options = ("--no-deps", "--disable-pip", "--format", "json", "--timeout", "15")
        asked = [command, *options, "-r", file.name]
        answer = subprocess.run(asked, capture_output=True, text=True)
    told = json.loads(answer.stdout)["dependencies"] if answer.stdout.startswith("{") else []
    known = [one for one in told if "vulns" in one]
    for one, vulnerability in _vulnerabilities(known):
        print(f"  {one}: {vulnerability}")
    if len(known) < len(pins()):
        print(f"  {len(pins()) - len(known)} of {len(pins())} could not be asked about")
    held = sum(not one["vulns"] for one in known)
    seconds = round(time.monotonic() - began, 1)
    return Row("has no vulnerability known to pip-audit", len(known), held, seconds)


def _vulnerabilities(
    known: list[dict[str, str | list[dict[str, str]]]],
) -> Iterator[tuple[str, str]]:
    for one in known:
        for vulnerability in one["vulns"]:
            assert isinstance(vulnerability, dict)
            yield f"{one['name']} {one['version']}", vulnerability["id"]


def main() -> int:
    """Print the table and write it as JSON; fail if a package answered badly."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pip-audit", help="path of pip-audit, to ask a service on the network")
    options = parser.parse_args()
    rows = [ask(what, question) for what, question in QUESTIONS.items()]
    if options.pip_audit:
        rows.append(ask_pip_audit(options.pip_audit))
    for row in rows:
        print(f"{row.what:<42} {row.tried:>5} {row.held:>5} {row.seconds:>7.1f} s")
    write(rows, options.json)
    return 0 if all(row.held == row.tried for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
