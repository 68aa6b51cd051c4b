"""The command line: one short file a command; nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command and leave with 0 (done), 1 (the run failed) or 2 (the request was wrong)."""
    if (parent := os.environ.pop("TUTELAGE_PARENT", None)) is not None:
        from tutelage.core.processes import die_with_parent

        die_with_parent(int(parent))
    try:
        from tutelage.cli.app import run

        run()
    except KeyboardInterrupt:  # at any moment, also while modules are imported
        print("interrupted", file=sys.stderr)
        sys.exit(1)
