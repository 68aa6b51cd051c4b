"""Text logs without a header: HCRL's comma lines, OTIDS's spelled-out lines, candump's log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest import explain
from tutelage.tasks.can.ingest.assemble import MAX_ID, Piece, unlabelled
from tutelage.tasks.can.ingest.blocks import Lines
from tutelage.tasks.can.ingest.delimited import digit, labels, split_at, split_at_blanks
from tutelage.tasks.can.ingest.detect import delimiter_of
from tutelage.tasks.can.ingest.fields import (
    Bytes,
    Mask,
    Offsets,
    decimal,
    gather,
    hex_number,
    hex_payload,
    hex_payload_separated,
)

_ERROR_FLAG = 0x20000000
"""SocketCAN's bit for error frames, above the 29 bits of the identifier."""


@dataclass(frozen=True)
class HCRL:
    """``timestamp,id,dlc,byte,…,byte,label``; as many byte fields as the dlc says.

    Car-Hacking writes the label as R or T (T: injected), Survival Analysis as 0 or 1.

    Args:
        labelled: Whether lines end in a label.
        delimiter: What stands between two fields.
    """

    labelled: bool
    delimiter: str

    @staticmethod
    def from_line(line: str) -> HCRL:
        """Tell from the first line whether there are labels."""
        delimiter = delimiter_of(line)
        cells = line.split(delimiter)
        dlc = cells[2].strip() if len(cells) > 2 else ""
        return HCRL(not (re.fullmatch(r"[0-8]", dlc) and len(cells) == 3 + int(dlc)), delimiter)

    def parse(self, lines: Lines) -> Piece:
        """Decode one block of lines."""
        table = split_at(lines, self.delimiter)
        time, bad = decimal(lines.buffer, *table.span(0))
        number, wrong = hex_number(lines.buffer, *table.span(1))
        bad |= wrong
        dlc, wrong = digit(lines.buffer, *table.span(2))
        bad |= wrong | (table.count != 3 + dlc + self.labelled)
        payload, wrong = _byte_run(lines.buffer, *table.span(3), dlc)
        bad |= wrong
        label = unlabelled(len(lines))
        if self.labelled:
            label, wrong = labels(lines.buffer, *table.span(table.count - 1))
            bad |= wrong
        frames = Frames(time, number, dlc.astype(np.uint8), payload, label)
        return Piece(frames, lines.numbers, bad, lambda row: self.explain(lines.text(row)))

    def explain(self, line: str) -> str:
        """What is wrong with a line."""
        cells = line.split(self.delimiter)
        if len(cells) < 3:
            return explain.nul(line) or f"truncated line: {explain.shown(line)}"
        wanted = f"{', '.join(cells[:3])}"
        problem = explain.first(
            explain.nul(line),
            explain.timestamp(cells[0]),
            explain.arbitration_id(cells[1]),
            explain.dlc(cells[2]),
        )
        if problem:
            return problem
        dlc = int(cells[2])
        if len(cells) != 3 + dlc + self.labelled:
            label = " and a label" if self.labelled else ""
            return (
                f"{len(cells) - 3} fields after {wanted!r}, where the length {dlc} asks for "
                f"{dlc} bytes{label} (truncated line?)"
            )
        problem = explain.first(
            explain.byte_fields(cells[3 : 3 + dlc]),
            explain.label(cells[-1]) if self.labelled else None,
        )
        return problem or f"malformed line: {explain.shown(line)}"


class OTIDS:
    """``Timestamp: T    ID: 0350    000    DLC: 8    05 28 …``, as python-can 1.x printed messages.

    The three flags are remote, extended and error, as its ``Message.__str__`` joined them.
    """

    _shape = re.compile(r"\s*Timestamp:\s+(\S+)\s+ID:\s+(\S+)\s+([01]{3})\s+DLC:\s+(\S+)(.*)")

    def parse(self, lines: Lines) -> Piece:
        """Decode one block of lines."""
        buffer = lines.buffer
        table = split_at_blanks(lines)
        bad = _unlike(buffer, table.span(0), b"Timestamp:") | _unlike(buffer, table.span(2), b"ID:")
        bad |= _unlike(buffer, table.span(5), b"DLC:")
        time, wrong = decimal(buffer, *table.span(1))
        bad |= wrong
        number, wrong = hex_number(buffer, *table.span(3))
        bad |= wrong
        flags, ends = table.span(4)
        set_ = [buffer[flags + k] == ord("1") for k in range(3)]
        bad |= (ends - flags != 3) | ~np.isin(gather(buffer, flags, 3), (48, 49)).all(axis=1)
        skipped = {"remote": set_[0] & ~bad, "error": set_[2] & ~set_[0] & ~bad}
        dlc, wrong = digit(buffer, *table.span(6))
        bad |= wrong | (table.count != 7 + dlc)
        payload, wrong = _byte_run(buffer, *table.span(7), dlc)
        bad |= wrong
        frames = Frames(time, number, dlc.astype(np.uint8), payload, unlabelled(len(lines)))
        return Piece(frames, lines.numbers, bad, lambda row: self.explain(lines.text(row)), skipped)

    def explain(self, line: str) -> str:
        """What is wrong with a line."""
        found = self._shape.fullmatch(line)
        if explain.nul(line) or not found:
            return explain.nul(line) or (
                "not of the form 'Timestamp: T ID: X 000 DLC: N …' (truncated line?): "
                f"{explain.shown(line)}"
            )
        time, number, _, dlc, rest = found.groups()
        problem = explain.first(
            explain.timestamp(time), explain.arbitration_id(number), explain.dlc(dlc)
        )
        if problem:
            return problem
        written = rest.split()
        if len(written) != int(dlc):
            return f"{len(written)} payload bytes where DLC says {dlc} (truncated line?)"
        return explain.byte_fields(written) or f"malformed line: {explain.shown(line)}"


class Candump:
    """``(timestamp) interface id#payload``, the log of can-utils' candump; classic CAN only."""

    _shape = re.compile(r"\s*\((\S*)\)\s+(\S+)\s+([^#\s]*)#(\S*)(\s+[RT])?\s*")

    def parse(self, lines: Lines) -> Piece:
        """Decode one block of lines."""
        buffer = lines.buffer
        table = split_at_blanks(lines)
        start, end = table.span(0)
        bad = (buffer[start] != ord("(")) | (buffer[end - 1] != ord(")"))
        bad |= (table.count < 3) | (table.count > 4)
        time, wrong = decimal(buffer, start + 1, np.maximum(end - 1, start + 1))
        bad |= wrong
        start, end = table.span(2)
        mark, wrong = _hash_marks(buffer, start, end)
        bad |= wrong
        number, wrong = hex_number(buffer, start, mark)
        bad |= wrong
        remote = ((buffer[mark + 1] | 32) == ord("r")) & ~bad
        error = ((number & ~np.uint32(MAX_ID)) == _ERROR_FLAG) & ~bad & ~remote
        width = end - mark - 1
        dlc = np.clip(np.where(remote, 0, width >> 1), 0, 8)
        payload, wrong = hex_payload(buffer, mark + 1, dlc)
        bad |= wrong | (((width > 16) | (width & 1 != 0)) & ~remote)
        frames = Frames(time, number, dlc.astype(np.uint8), payload, unlabelled(len(lines)))
        skipped: Mapping[str, Mask] = {"remote": remote, "error": error}
        return Piece(frames, lines.numbers, bad, lambda row: self.explain(lines.text(row)), skipped)

    def explain(self, line: str) -> str:
        """What is wrong with a line."""
        found = self._shape.fullmatch(line)
        if explain.nul(line) or not found:
            return explain.nul(line) or (
                "not of the form '(time) interface id#data' (truncated line?): "
                f"{explain.shown(line)}"
            )
        time, _, number, data, _ = found.groups()
        if data.startswith("#"):
            return "a CAN FD frame ('##'); only classic CAN is supported"
        problem = explain.first(
            explain.timestamp(time), explain.arbitration_id(number), explain.payload(data)
        )
        return problem or f"malformed line: {explain.shown(line)}"


def _byte_run(buffer: Bytes, starts: Offsets, ends: Offsets, dlc: Offsets) -> tuple[Bytes, Mask]:
    """Payload bytes that stand one separator apart, from the first of them on."""
    payload, bad = hex_payload_separated(buffer, starts, dlc)
    return payload, bad | ((dlc > 0) & (ends - starts != 2))


def _unlike(buffer: Bytes, span: tuple[Offsets, Offsets], word: bytes) -> Mask:
    """(n,) whether a field differs from ``word``."""
    starts, ends = span
    text = gather(buffer, starts, len(word))
    differs: Mask = (text != np.frombuffer(word, np.uint8)).any(axis=1)
    differs |= ends - starts != len(word)
    return differs


def _hash_marks(buffer: Bytes, starts: Offsets, ends: Offsets) -> tuple[Offsets, Mask]:
    """(n,) where each field's first ``#`` is, and which fields have none."""
    marks = np.append(np.flatnonzero(buffer == ord("#")), len(buffer))
    at = marks[np.searchsorted(marks, starts)]
    missing = at >= ends
    return np.where(missing, starts, at), missing
