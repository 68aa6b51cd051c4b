"""Every unit's scores as one Parquet file, by session and unit id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tutelage.tasks.neural.evaluation.scores import UnitScores


def unit_parquet(scores: Mapping[str, Sequence[UnitScores]]) -> bytes:
    """Return a Parquet file: a row for each model, session and unit.

    Columns: ``predictor, session, animal, unit`` and one for each metric; null where undefined.

    Args:
        scores: Scores of each session, by who predicted.
    """
    every = [(name, each) for name, sessions in scores.items() for each in sessions]
    metrics = dict.fromkeys(metric for _, each in every for metric in each.columns)
    columns: dict[str, pa.Array] = {
        "predictor": pa.array([name for name, each in every for _ in each.unit_ids]),
        "session": pa.array([each.session for _, each in every for _ in each.unit_ids]),
        "animal": pa.array([each.animal for _, each in every for _ in each.unit_ids]),
        "unit": pa.array([unit for _, each in every for unit in each.unit_ids]),
    }
    for metric in metrics:
        values = np.concatenate(
            [each.columns.get(metric, np.full(len(each.unit_ids), np.nan)) for _, each in every]
        )
        columns[metric] = pa.array(values, mask=~np.isfinite(values))
    file = BytesIO()
    pq.write_table(pa.table(columns), file, compression="zstd")
    return file.getvalue()
