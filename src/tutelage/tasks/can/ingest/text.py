"""The loop that every text format shares: blocks of lines, a grammar, and the checks."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from tutelage.tasks.can.ingest.assemble import Piece
from tutelage.tasks.can.ingest.blocks import Lines, line_blocks
from tutelage.tasks.can.ingest.fields import PAD


class Grammar(Protocol):
    """How the lines of one text format become frames."""

    def parse(self, lines: Lines) -> Piece:
        """Decode one block of lines."""


def text_pieces(
    path: Path, grammar: Grammar, *, skip: int = 0, drop: bytes = b""
) -> Generator[Piece, None, None]:
    """Read a text capture block by block.

    Args:
        path: The file.
        grammar: Decodes its lines.
        skip: Header lines.
        drop: Characters to ignore wherever they stand, such as quotes.
    """
    for lines in line_blocks(path, skip=skip, drop=drop):
        if len(lines):
            yield parse_lines(grammar, lines)


def parse_lines(grammar: Grammar, lines: Lines) -> Piece:
    """Decode one block of lines; those that hold NUL bytes are bad."""
    return _without_nul(grammar.parse(lines), lines)


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
