"""CSV with a header line, as can-train-and-test has it, or of foreign columns through a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import explain
from tutelage.tasks.can.ingest.assemble import Piece, unlabelled
from tutelage.tasks.can.ingest.blocks import Lines
from tutelage.tasks.can.ingest.delimited import Fields, digit, labels, split_at
from tutelage.tasks.can.ingest.detect import delimiter_of
from tutelage.tasks.can.ingest.fields import Mask, Offsets, decimal, hex_number, hex_payload
from tutelage.tasks.can.ingest.names import ColumnNames, resolve


def header_cells(header: str) -> tuple[str, ...]:
    """The column names of a header line."""
    return tuple(cell.strip(" \t\r\"'") for cell in header.split(delimiter_of(header)))


@dataclass(frozen=True)
class HeaderCSV:
    """The grammar of one CSV file, known from its header.

    Args:
        names: The file's columns.
        delimiter: What stands between two of them.
    """

    names: ColumnNames
    delimiter: str

    @staticmethod
    def from_header(header: str, columns: Mapping[str, str] | None, path: Path) -> HeaderCSV:
        """Read the header line.

        Raises:
            DataError: A column that is needed is absent.
        """
        return HeaderCSV(resolve(header_cells(header), columns, path), delimiter_of(header))

    def parse(self, lines: Lines) -> Piece:
        """Decode one block of lines."""
        table = split_at(lines, self.delimiter)
        bad = table.count != len(self.names.existing)
        time, wrong = decimal(lines.buffer, *self._span(table, self.names.timestamp))
        bad |= wrong
        number, wrong = hex_number(lines.buffer, *self._span(table, self.names.arbitration_id))
        bad |= wrong
        starts, ends = self._span(table, self.names.data_field)
        width = ends - starts
        bad |= (width > 16) | (width & 1 != 0)
        dlc, wrong = self._dlc(table, np.clip(width >> 1, 0, 8))
        bad |= wrong
        payload, wrong = hex_payload(lines.buffer, starts, dlc)
        bad |= wrong
        label = unlabelled(len(lines))
        if self.names.label:
            label, wrong = labels(lines.buffer, *self._span(table, self.names.label))
            bad |= wrong
        frames = Frames(time, number, dlc.astype(np.uint8), payload, label)
        return Piece(frames, lines.numbers, bad, lambda row: self.explain(lines.text(row)))

    def explain(self, line: str) -> str:
        """What is wrong with a line."""
        cells, names = line.split(self.delimiter), self.names
        if len(cells) != len(names.existing):
            return explain.nul(line) or (
                f"{len(cells)} fields where the header has {len(names.existing)} "
                f"(truncated line?): {explain.shown(line)}"
            )
        cell = dict(zip(names.existing, cells, strict=True))
        problem = explain.first(
            explain.nul(line),
            explain.timestamp(cell[names.timestamp]),
            explain.arbitration_id(cell[names.arbitration_id]),
            explain.payload(cell[names.data_field]),
            explain.dlc(cell[names.dlc]) if names.dlc else None,
            explain.label(cell[names.label]) if names.label else None,
        )
        return problem or f"the payload is shorter than its length says: {explain.shown(line)}"

    def _span(self, table: Fields, name: str) -> tuple[Offsets, Offsets]:
        return table.span(self.names.existing.index(name))

    def _dlc(self, table: Fields, written: Offsets) -> tuple[Offsets, Mask]:
        """Payload lengths: as many bytes as are written, or fewer where a length column says so."""
        if not self.names.dlc:
            return written, np.zeros(len(written), np.bool_)
        dlc, bad = digit(table.buffer, *self._span(table, self.names.dlc))
        return np.minimum(dlc, written), bad | (dlc > written)
