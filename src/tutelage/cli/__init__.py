"""The command line: one short file a command; nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command and leave with 0 (done), 1 (the run failed) or 2 (the request was wrong)."""
    try:
        from tutelage.cli.app import run

        run()
    except KeyboardInterrupt:  # at any moment, also while modules are imported
        print("interrupted", file=sys.stderr)
        sys.exit(1)
