"""`read_frames`: one capture of any known format as `Frames`, with a report of what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.ingest.assemble import Reading, assemble
from tutelage.tasks.can.ingest.detect import Detected, Format, detect
from tutelage.tasks.can.ingest.names import have, like, looked_for
from tutelage.tasks.can.ingest.report import IngestReport

Columns = Mapping[str, str] | None
_BLANKS_AND_QUOTES = ' \t"'


def read_frames(path: Path, columns: Columns = None) -> tuple[Frames, IngestReport]:
    """Read one capture; its format is told from its content.

    Args:
        path: A capture in any format of `Format`.
        columns: For CSV and Parquet, a mapping from our names (``timestamp``,
            ``arbitration_id``, ``data_field``, ``label``, ``dlc``) to the file's.

    Returns:
        The frames in file order, and what was found. Files without labels give `UNLABELLED`.

    Raises:
        DataError: The file is absent, unreadable, empty, of no known format, or malformed; for
            text the error names the first bad line, what is wrong with it, and how many are bad.
    """
    found = detect(path)
    frames, report = assemble(path, _OPENERS[found.format](path, columns, found))
    if found.format is Format.CANDUMP:
        from tutelage.tasks.can.ingest.road import label_from_metadata

        frames = label_from_metadata(frames, path)
        report = replace(report, labelled=frames.is_labelled)
    return frames, report


def open_capture(path: Path, columns: Columns = None) -> Reading:
    """Open a capture, its format told from its content, to be read block by block.

    Args:
        path: A capture in any format of `Format`.
        columns: As `read_frames` takes them.

    Raises:
        DataError: The file is absent, unreadable, empty, or of no known format.
    """
    found = detect(path)
    return _OPENERS[found.format](path, columns, found)


def require_labels(frames: Frames, path: Path, columns: Columns = None) -> None:
    """Refuse a capture without labels.

    Args:
        frames: The capture.
        path: The file it came from; its columns are read again for the message.
        columns: The mapping it was read with.

    Raises:
        DataError: A frame has no label.
    """
    if frames.is_labelled:
        return
    existing = _column_names(path)
    if not existing:
        raise DataError(
            "the frames carry no labels, and this format has no label column",
            where=path,
            hint="Use a labelled capture: CSV or Parquet with a label column (mapped with "
            "data.columns.label=NAME), HCRL, or ROAD with capture_metadata.json beside it.",
        )
    near = like("label", existing)
    setting = f"data.columns.label={near or 'NAME'}"
    meant = f"Did you mean {setting}?" if near else f"Map one with {setting}."
    raise DataError(
        f"no label column; looked for {looked_for(columns)}",
        where=path,
        hint=f"{have(existing)} {meant}",
    )


def _column_names(path: Path) -> tuple[str, ...]:
    """The columns of a file in a format that names them, else nothing."""
    found = detect(path)
    if found.format is Format.PARQUET:
        from tutelage.tasks.can.ingest.parquet import column_names

        return column_names(path)
    if found.format is Format.CSV:
        from tutelage.tasks.can.ingest.csv_header import header_cells

        return header_cells(found.line)
    return ()


def _parquet(path: Path, columns: Columns, found: Detected) -> Reading:
    from tutelage.tasks.can.ingest.parquet import open_parquet

    return open_parquet(path, columns)


def _csv(path: Path, columns: Columns, found: Detected) -> Reading:
    from tutelage.tasks.can.ingest.csv_header import HeaderCSV
    from tutelage.tasks.can.ingest.text import text_pieces

    grammar = HeaderCSV.from_header(found.line, columns, path)
    pieces = text_pieces(path, grammar, skip=found.number, drop=_drop(grammar.delimiter))
    return Reading("csv", pieces, suspect=grammar.names.suspect)


def _hcrl(path: Path, columns: Columns, found: Detected) -> Reading:
    from tutelage.tasks.can.ingest.logs import HCRL
    from tutelage.tasks.can.ingest.text import text_pieces

    grammar = HCRL.from_line(found.line)
    return Reading("hcrl", text_pieces(path, grammar, drop=_drop(grammar.delimiter)))


def _drop(delimiter: str) -> bytes:
    """Blanks and quotes, which say nothing, without the delimiter, which may be a tab."""
    return _BLANKS_AND_QUOTES.replace(delimiter, "").encode()


def _otids(path: Path, columns: Columns, found: Detected) -> Reading:
    from tutelage.tasks.can.ingest.logs import OTIDS
    from tutelage.tasks.can.ingest.text import text_pieces

    return Reading("otids", text_pieces(path, OTIDS()))


def _candump(path: Path, columns: Columns, found: Detected) -> Reading:
    from tutelage.tasks.can.ingest.logs import Candump
    from tutelage.tasks.can.ingest.text import text_pieces

    return Reading("candump", text_pieces(path, Candump()))


def _binary(path: Path, columns: Columns, found: Detected) -> Reading:
    from tutelage.tasks.can.ingest.binary_logs import open_log

    return open_log(path, found.format)


_OPENERS: Mapping[Format, Callable[[Path, Columns, Detected], Reading]] = {
    Format.PARQUET: _parquet,
    Format.CSV: _csv,
    Format.HCRL: _hcrl,
    Format.OTIDS: _otids,
    Format.CANDUMP: _candump,
    Format.ASC: _binary,
    Format.BLF: _binary,
    Format.TRC: _binary,
    Format.MF4: _binary,
}
