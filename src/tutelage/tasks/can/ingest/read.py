"""`read_frames`: one capture of any known format as `Frames`, with a report of what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tutelage.core.errors import DataError
from tutelage.tasks.can.frames import Frames
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
    return _READERS[found.format](path, columns, found)


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
    meant = f"Did you mean {near!r}? " if near else ""
    raise DataError(
        f"no label column; looked for {looked_for(columns)}",
        where=path,
        hint=f"{have(existing)} {meant}Map one with data.columns.label=NAME.",
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


def _parquet(path: Path, columns: Columns, found: Detected) -> tuple[Frames, IngestReport]:
    from tutelage.tasks.can.ingest.parquet import read_parquet

    return read_parquet(path, columns)


def _csv(path: Path, columns: Columns, found: Detected) -> tuple[Frames, IngestReport]:
    from tutelage.tasks.can.ingest.csv_header import HeaderCSV
    from tutelage.tasks.can.ingest.text import read_text

    grammar = HeaderCSV.from_header(found.line, columns, path)
    drop, suspect = _drop(grammar.delimiter), grammar.names.suspect
    return read_text(path, "csv", grammar, skip=found.number, drop=drop, suspect=suspect)


def _hcrl(path: Path, columns: Columns, found: Detected) -> tuple[Frames, IngestReport]:
    from tutelage.tasks.can.ingest.logs import HCRL
    from tutelage.tasks.can.ingest.text import read_text

    grammar = HCRL.from_line(found.line)
    return read_text(path, "hcrl", grammar, drop=_drop(grammar.delimiter))


def _drop(delimiter: str) -> bytes:
    """Blanks and quotes, which say nothing, without the delimiter, which may be a tab."""
    return _BLANKS_AND_QUOTES.replace(delimiter, "").encode()


def _otids(path: Path, columns: Columns, found: Detected) -> tuple[Frames, IngestReport]:
    from tutelage.tasks.can.ingest.logs import OTIDS
    from tutelage.tasks.can.ingest.text import read_text

    return read_text(path, "otids", OTIDS())


def _candump(path: Path, columns: Columns, found: Detected) -> tuple[Frames, IngestReport]:
    from tutelage.tasks.can.ingest.logs import Candump
    from tutelage.tasks.can.ingest.road import label_from_metadata
    from tutelage.tasks.can.ingest.text import read_text

    frames, report = read_text(path, "candump", Candump())
    frames = label_from_metadata(frames, path)
    return frames, replace(report, labelled=frames.is_labelled)


def _binary(path: Path, columns: Columns, found: Detected) -> tuple[Frames, IngestReport]:
    from tutelage.tasks.can.ingest.binary_logs import read_log

    return read_log(path, found.format)


_READERS: Mapping[Format, Callable[[Path, Columns, Detected], tuple[Frames, IngestReport]]] = {
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
