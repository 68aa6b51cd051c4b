"""Predicted responses as tables: a row for each test frame, a column for each unit."""

from __future__ import annotations

from tutelage.core.records import Table
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.split import TEST
from tutelage.tasks.neural.evaluation.predictions import predict
from tutelage.tasks.neural.rates import RateModel


def prediction_tables(module: RateModel, data: MultiDatasetDM) -> tuple[Table, ...]:
    """Return a table for each session: the frame, and what each unit is expected to answer."""
    module.eval()
    tables = []
    for place, session in enumerate(data.sessions):
        found = predict(data, TEST, place, module.rates, module.device)
        rows = tuple(
            (row, *rates)
            for row, rates in zip(found.rows.tolist(), found.rates.tolist(), strict=True)
        )
        columns = ("frame", *session.unit_ids)
        tables.append(Table(title=session.id, columns=columns, rows=rows))
    return tuple(tables)
