"""The command line: one short file a command; nothing heavy is imported before it is needed."""

from __future__ import annotations


def main() -> None:
    """Run the command and leave with 0 (done), 1 (the run failed) or 2 (the request was wrong)."""
    from tutelage.cli.app import run

    run()
