"""The loop that every text format shares: blocks of lines, a grammar, and the checks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest.assemble import Assembler, Piece
from tutelage.tasks.can.ingest.blocks import Lines, line_blocks
from tutelage.tasks.can.ingest.fields import PAD
from tutelage.tasks.can.ingest.report import IngestReport


class Grammar(Protocol):
    """How the lines of one text format become frames."""

    def parse(self, lines: Lines) -> Piece:
        """Decode one block of lines."""


def read_text(
    path: Path,
    format: str,
    grammar: Grammar,
    *,
    skip: int = 0,
    drop: bytes = b"",
    suspect: str = "",
) -> tuple[Frames, IngestReport]:
    """Read a text capture block by block.

    Args:
        path: The file.
        format: Name of the format, for the report.
        grammar: Decodes its lines.
        skip: Header lines.
        drop: Characters to ignore wherever they stand, such as quotes.
        suspect: What to look at where most lines are bad.

    Raises:
        DataError: A line is malformed, or there are no frames.
    """
    assembler = Assembler(path, format, suspect=suspect)
    for lines in line_blocks(path, skip=skip, drop=drop):
        if len(lines):
            assembler.add(_without_nul(grammar.parse(lines), lines))
    return assembler.finish()


def _without_nul(piece: Piece, lines: Lines) -> Piece:
    """Mark lines that hold NUL bytes as bad, wherever in the line they stand."""
    at = np.flatnonzero(lines.buffer[PAD:-PAD] == 0) + PAD
    if not len(at):
        return piece
    row = np.searchsorted(lines.starts, at, side="right") - 1
    row, at = row[row >= 0], at[row >= 0]
    bad = piece.bad.copy()
    bad[row[at < lines.ends[row]]] = True
    return replace(piece, bad=bad)
