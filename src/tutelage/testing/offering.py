"""`offered`: let a task be found by its name, as if its package were installed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

from tutelage.task import GROUP, Task, task_names


@contextmanager
def offered(task: Task[Any]) -> Iterator[Path | None]:
    """Let this process find a task by its name, which commands and `tutelage.evaluate` need.

    Yields:
        A folder with what pip would write of an installed package, which is on `sys.path`
        meanwhile; null where an installed package offers the task already.
    """
    if task.name in task_names():
        yield None
        return
    kind = type(task)
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / f"offers_{task.name}-1.0.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.1\nName: offers-{task.name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(about, encoding="utf-8")
        entry = f"[{GROUP}]\n{task.name} = {kind.__module__}:{kind.__qualname__}\n"
        (info / "entry_points.txt").write_text(entry, encoding="utf-8")
        sys.path.insert(0, folder)
        invalidate_caches()
        try:
            yield Path(folder)
        finally:
            sys.path.remove(folder)
            invalidate_caches()
