"""Real seeds of every reader, and what several of them share: files written, tables."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any


def frames(count: int = 12) -> Any:
    from tutelage.tasks.can.simulator import simulate_capture

    return simulate_capture("hatchback", seed=0, seconds=2, attack=None).frames[:count]


def written(folder: Path, name: str, write: Callable[[Path], object]) -> bytes:
    path = folder / name
    write(path)
    data = path.read_bytes()
    path.unlink()
    return data


def table(columns: dict[str, Any], metadata: dict[bytes, bytes] | None = None) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), out)
    return out.getvalue()
