"""What a command prints where it writes a job's specification instead of running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from tutelage.cli.console import err, out, print_json

if TYPE_CHECKING:
    from tutelage.execution.backends.azure import JobSpec


def show_spec(spec: JobSpec, json: bool) -> None:
    """Print where a specification is, what its job runs, and how to send it."""
    if json:
        print_json({"spec": str(spec.path), "command": spec.command, "send": spec.send})
        return
    err.print("Written and checked here; nothing was sent. After `az login`:", soft_wrap=True)
    out.print(f"spec  {escape(str(spec.path))}", soft_wrap=True)
    out.print(f"send  {escape(spec.send)}", soft_wrap=True)
