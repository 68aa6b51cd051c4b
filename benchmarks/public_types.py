"""How much of the public interface has a type that every checker reads alike, by pyright.

Public is what ``import tutelage`` gives, what the reference documents, and `tutelage.losses`, with
all members. Needs pyright (``pip install pyright``) and the package installed where it runs.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from targets import Target, conclude

ROOT = Path(__file__).parents[1]


def documented() -> set[str]:
    """The names that pages of the documentation take from docstrings."""
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")]
    return set(re.findall(r"^::: (\S+)", "\n".join(pages), re.MULTILINE))


def is_public(name: str, documented: set[str]) -> bool:
    """Whether a symbol is of the public interface."""
    of_package = name.count(".") == 1 or re.fullmatch(r"tutelage\.losses\.\w+", name) is not None
    return of_package or any(name == one or name.startswith(f"{one}.") for one in documented)


def verified() -> dict[str, bool]:
    """Each symbol of the package, and whether its type is known without inference."""
    command = shutil.which("pyright") or sys.exit("pyright is not installed: pip install pyright")
    options = ["--pythonpath", sys.executable, "--verifytypes", "tutelage"]
    done = subprocess.run(
        [command, *options, "--ignoreexternal", "--outputjson"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    return {one["name"]: one["isTypeKnown"] and not one["isTypeAmbiguous"] for one in symbols}


def main() -> None:
    """Print both shares; fail unless all that is public has a type."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    given = parser.parse_args()
    symbols, names = verified(), documented()
    public = {name: known for name, known in symbols.items() if is_public(name, names)}
    print(f"public interface: {sum(public.values())} of {len(public)} symbols")
    print(f"every module, also those of the tasks: {sum(symbols.values())} of {len(symbols)}")
    unknown = sorted(name for name, known in public.items() if not known)
    for name in unknown:
        print(f"not known without inference: {name}")
    counts = {"public": len(public), "unknown": unknown, "symbols": len(symbols)}
    asked = [
        Target("public symbols", len(public), ">", 0),
        Target("public symbols without a type", len(unknown), "=", 0),
    ]
    conclude(counts, asked, given.json)


if __name__ == "__main__":
    main()
