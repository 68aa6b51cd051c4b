"""Files crafted to run code, to leave their folder, or to exhaust memory: their generators."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

DEEP = "[" * 100_000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(12)
)
"""YAML whose aliases, written out, are 10^13 words."""
HUGE = 10**13


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return _touch, (str(self.path),)


def _touch(path: str) -> None:
    Path(path).touch()


def npy_header(shape: object, dtype: str = "|u1") -> bytes:
    """The beginning of an array of some shape, without its values."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape})
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def npz_with(path: Path, **members: bytes) -> Path:
    """An NPZ file of raw members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npz_bomb(path: Path) -> Path:
    """A few kilobytes that say to be 8 GiB of images when they are unpacked."""
    size = 8 << 30
    npz_with(path, images=npy_header((size // 64, 8, 8)) + bytes(1 << 20))
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):  # sizes in both headers
        place = content.index(mark) + at
        content[place : place + 4] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(content)
    return path


def npz_pickle(path: Path, canary: Path) -> Path:
    """An array of objects, one of which makes a file when it is unpickled."""
    out = io.BytesIO()
    np.save(out, np.array([Touch(canary)], dtype=object), allow_pickle=True)
    return npz_with(path, images=out.getvalue(), responses=out.getvalue())


def png_bomb(path: Path, side: int = 60_000) -> Path:
    """A picture of 3.6 thousand million points in a few bytes."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c))
            for k, c in chunks
        )
    )
    return path


def postscript(path: Path) -> Path:
    """A program of PostScript, which Pillow would hand to Ghostscript, called a picture."""
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    return path


def safetensors_with(path: Path, header: object, data: bytes = bytes(64)) -> Path:
    """A file of weights with any header."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def safetensors_overlapping(path: Path) -> Path:
    """Two tensors that share their bytes."""
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return safetensors_with(path, {"a": entry, "b": entry}, bytes(16))


def safetensors_giant(path: Path) -> Path:
    """A header that says to be 2^60 bytes long."""
    path.write_bytes(struct.pack("<Q", 1 << 60) + b'{"a": 1}')
    return path


def onnx_with_outside(place: str) -> bytes:
    """A model whose weights stand in another file."""
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", place), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    out = helper.make_tensor_value_info("y", 1, [4])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "g", [], [out], [tensor]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    """A tar of members without content."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for member in members:
            archive.addfile(member)
    return path


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """A member of a tar that is no plain file."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def tar_sparse(path: Path) -> Path:
    """A caption that says to be 8 GiB of nothing, as a sparse member."""
    info = tarfile.TarInfo("1.txt")
    info.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "1.txt",
        "GNU.sparse.realsize": str(8 << 30),
    }  # fmt: skip
    body = b"1\n0\n0\n".ljust(512, b"\0")
    info.size = len(body)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(body))
        picture = tarfile.TarInfo("1.png")
        picture.size = 3
        archive.addfile(picture, io.BytesIO(b"png"))
    return path


def parquet_bomb(path: Path, columns: dict[str, object], rows: int) -> Path:
    """Rows and rows of the same values, which pack into almost nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = min(rows, 10_000_000)
    table = pa.table({name: pa.repeat(value, part) for name, value in columns.items()})
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(rows // part):
            writer.write_table(table)
    return path


def pipe(path: Path) -> Path:
    """A pipe that nobody writes into."""
    os.mkfifo(path)
    return path
