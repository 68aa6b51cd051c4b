"""`out_of_fold`: what a fold's model says of the units that it never saw, as a file to keep."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

from tutelage.core.config import DataConfig, RunConfig
from tutelage.core.records import Table
from tutelage.task import SupportsFolds, SupportsPredictionLines, Task
from tutelage.training.contracts import TaskData, TaskModule

UNIT = "fold_unit"
"""Name of the unit in each row of the file."""
TABLE = "table"
"""Name of the table that a row of the file is of."""


def out_of_fold(
    task: Task[RunConfig], module: TaskModule, data: TaskData, config: DataConfig
) -> Mapping[str, bytes]:
    """Return the file of predictions on the held-out units by its name; none without a fold.

    Args:
        task: The domain.
        module: The trained model.
        data: Its data, set up.
        config: Says which fold is held out, if one is.

    Returns:
        ``out_of_fold.jsonl``, a line a prediction, where the task predicts lines; else
        ``out_of_fold.parquet`` with the rows of all its tables. Each row begins with its unit.
    """
    if not isinstance(config.fold, int):
        return {}
    assert isinstance(task, SupportsFolds)
    units = tuple(task.predicted_units(data))
    if isinstance(task, SupportsPredictionLines):
        found = zip(units, task.predict_lines(module, data), strict=True)
        lines = (json.dumps({UNIT: unit, **line}, ensure_ascii=False) for unit, line in found)
        return {"out_of_fold.jsonl": "".join(f"{line}\n" for line in lines).encode()}
    return {"out_of_fold.parquet": _parquet(units, task.predict(module, data))}


def _parquet(units: tuple[str, ...], tables: tuple[Table, ...]) -> bytes:
    """Return the rows of all tables as one, with null where a table lacks a column of another."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = [
        pa.table(
            {TABLE: pa.array([table.title] * len(table.rows), pa.string())}
            | {
                name: pa.array([row[n] for row in table.rows])
                for n, name in enumerate(table.columns)
            }
        )
        for table in tables
    ]
    together = pa.concat_tables(parts, promote_options="permissive")
    together = together.add_column(0, UNIT, pa.array(units, pa.string()))
    file = io.BytesIO()
    pq.write_table(together, file, compression="zstd")
    return file.getvalue()
