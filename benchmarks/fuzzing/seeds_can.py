"""Real seeds of CAN captures, as our own writers and other tools make them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.formats import odd_column
from fuzzing.seeds_shared import frames, table, written

_HCRL = "1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R\n1478198376.389636,018f,2,fe,5b,T\n"
_OTIDS = (
    "Timestamp: 1479121434.850202        ID: 0350    000    DLC: 8    05 28 84 66 6d 00 00 a2\n"
    "Timestamp: 1479121434.850423        ID: 02c0    100    DLC: 0\n"
    "Timestamp: 1479121434.850977        ID: 0430    000    DLC: 2    00 01\n"
)
_CSV = "timestamp,arbitration_id,data_field,attack\n1.5,0C9,8407,0\n1.6,1F334455,,1\n"


def candump(folder: Path) -> list[bytes]:
    from tutelage.tasks.can.simulator import write_candump

    real = "(1436509052.249713) can0 044#2A366C2BBA\n(1436509052.25) can0 5E1#R\n"
    real += "(1436509052.26) vcan1 1F334455#0102030405060708\n"
    return [written(folder, "x", lambda p: write_candump(frames(), p)), real.encode()]


def road(folder: Path) -> list[bytes]:
    (folder / "capture.log").write_bytes(candump(folder)[0])
    entry = {
        "injection_interval": [0.001, 0.01],
        "injection_id": "0x0D0",
        "injection_data_str": "X" * 16,
    }
    return [json.dumps({"capture": {**entry, "on_dyno": True}, "other": entry}).encode()]


def can_csv(folder: Path) -> list[bytes]:
    from tutelage.tasks.can.simulator import write_csv

    return [written(folder, "x", lambda p: write_csv(frames(), p)), _CSV.encode()]


def hcrl(folder: Path) -> list[bytes]:
    return [_HCRL.encode(), _HCRL.replace("R", "0").replace("T", "1").encode()]


def otids(folder: Path) -> list[bytes]:
    return [_OTIDS.encode()]


def can_columns(random: Random) -> dict[str, Any]:
    """Columns of a table of frames, some of them of another type."""
    import pyarrow as pa

    rows = random.choice((0, 1, 3, 3, 3))
    usual = {
        "timestamp": lambda: pa.array([0.5 * i for i in range(rows)]),
        random.choice(("arbitration_id", "id")): lambda: pa.array([0x100] * rows, pa.uint32()),
        "data_field": lambda: pa.array(["00ff"] * rows),
        random.choice(("attack", "label", "other")): lambda: pa.array([0] * rows, pa.uint8()),
    }
    return {name: odd_column(random, make, rows) for name, make in usual.items()}


def can_parquet(folder: Path) -> list[bytes]:
    some = frames()
    texts = [bytes(p[:n]).hex() for p, n in zip(some.payload, some.dlc, strict=True)]
    columns = {"timestamp": some.timestamp, "id": some.arbitration_id, "data_field": texts}
    return [table(columns | {"label": some.label.clip(0)})]


def _messages() -> list[Any]:
    import can

    kinds = [{}, {"is_remote_frame": True}, {"is_extended_id": False}, {"is_error_frame": True}]
    return [
        can.Message(1.5 + n / 10, 0x123 + n, data=b"" if k.get("is_remote_frame") else b"\1\2", **k)
        for n, k in enumerate(kinds[:3])
    ]


def _log(folder: Path, name: str, **settings: object) -> bytes:
    import can

    def write(path: Path) -> None:
        with can.Logger(path, **settings) as logger:
            for message in _messages():
                logger.on_message_received(message)

    return written(folder, name, write)


def asc(folder: Path) -> list[bytes]:
    fd = f"   0.5 CANFD   1 Rx        123{' ' * 32}0 0 8  8 01 02 03 04 05 06 07 08\n"
    text = "date Wed Sep 27 10:38:52 am 2017\nbase hex  timestamps absolute\n"
    text += "Begin Triggerblock Wed Sep 27 10:38:52 am 2017\n 0.0 Start of measurement\n"
    text += " 0.5 1 123 Rx d 2 01 02 Length = 1 BitCount = 2 ID = 3\n 0.6 1 1F334455x Rx r\n"
    return [_log(folder, "x.asc"), (text + "End TriggerBlock\n").encode(), (text + fd).encode()]


def blf(folder: Path) -> list[bytes]:
    return [_log(folder, "x.blf", compression_level=0), _log(folder, "x.blf")]


def trc(folder: Path) -> list[bytes]:
    old = ";##########\n;   Start time: 1.1.2020 10:00:00.000\n;\n"
    old += "     1)      1.3  Rx  0300  8  00 01 02 03 04 05 06 07\n"
    return [_log(folder, "x.trc"), old.replace(";##", ";$FILEVERSION=1.1\n;##").encode()]


def mf4(folder: Path) -> list[bytes]:
    return [_log(folder, "x.mf4")]
