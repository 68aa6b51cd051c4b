"""Mutations that know a container: its inside is changed, and it is closed again rightly."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any, Final

import numpy as np

from fuzzing.mutation import INTEGERS, change_tree, mutate_bytes, mutate_json

_raw = mutate_bytes()
_SHAPES: Final = (
    (),
    (0,),
    (1,),
    (10**12,),
    (2**63,),
    (-1,),
    (3, 0),
    (2, 2),
    (4, 1, 2, 2),
    (2**31, 2**31),
    (1,) * 40,
)
_DTYPES: Final = (
    "|O",
    "<f8",
    "|S5",
    "<U3",
    "|V8",
    "<M8[ns]",
    ">i4",
    "<f2",
    "<c16",
    "|b1",
    "|S0",
    "<U99999999",
    "(((",
    "i4,f8",
    "<f16",
    "foo",
    "|u1",
    "<i8",
    "<m8",
    "<M8[20000y]",
)


def mutate_npz(random: Random, seed: bytes, other: bytes) -> bytes:
    """Change members of a zip of arrays: headers, content, names, how they are packed."""
    with zipfile.ZipFile(io.BytesIO(seed)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    out = io.BytesIO()
    chosen = random.choice(list(members))
    with zipfile.ZipFile(
        out, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as new:
        for name, content in members.items():
            if name == chosen and (changed := _member(random, name, content, other)) is not None:
                name, content = changed
            elif name == chosen:
                continue
            new.writestr(name, content)
    return out.getvalue()


def _member(random: Random, name: str, content: bytes, other: bytes) -> tuple[str, bytes] | None:
    kind = random.randrange(6)
    if kind == 0:
        return None
    if kind == 1:
        odd = ("../x.npy", "/abs.npy", "stimuli.npy", "x", "valid.npy", "eye_position.npy", "a/b")
        return random.choice(odd), content
    if kind == 2:
        return name, _raw(random, content, other)
    if kind == 3:
        return name, _array(random)
    return name, _npy_header(random, content)


def _npy_header(random: Random, content: bytes) -> bytes:
    shape, dtype = random.choice(_SHAPES), random.choice(_DTYPES)
    said = {"descr": dtype, "fortran_order": random.random() < 0.5, "shape": shape}
    text = random.choice((repr(said), repr(said)[:-1], repr({"descr": "<f8"}), "(" * 300))
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content[128:]


def _array(random: Random) -> bytes:
    out = io.BytesIO()
    np.save(out, random_array(random), allow_pickle=True)
    return out.getvalue()


def random_array(random: Random) -> Any:
    """Return an array of some dtype and shape, with odd values."""
    shape = random.choice(((), (0,), (3,), (6,), (6, 2), (6, 1, 3, 3), (6, 3, 3), (2, 0), (6, 1)))
    kind = random.randrange(8)
    size = int(np.prod(shape))
    if kind == 0:
        values = [random.choice((0.0, 1.0, -1.0, np.nan, np.inf, 1e30, 255.5)) for _ in range(size)]
        return np.array(values).reshape(shape)
    if kind == 1:
        return np.array(
            [random.choice(("", "a", "b", "test", "nan")) for _ in range(size)]
        ).reshape(shape)
    if kind == 2:
        return np.array([None] * size, object).reshape(shape)
    if kind == 3:
        return np.zeros(
            shape, random.choice(("M8[s]", "m8[s]", "c8", "f2", "S3", "V4", "i1", "u8"))
        )
    if kind == 4:
        return np.zeros(shape, [("a", "f4"), ("b", "S2")])
    return np.array([random.choice(INTEGERS) % 2**63 for _ in range(size)], np.int64).reshape(shape)


def mutate_tar(random: Random, seed: bytes, other: bytes) -> bytes:
    """Change members of a tar: names, kinds, sizes, links, headers with a right checksum."""
    if random.random() < 0.4:
        return _tar_header(random, seed)
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(seed)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for info in old:
            content = old.extractfile(info).read()  # type: ignore[union-attr]
            if random.random() < 0.4:
                content = _tar_member(random, info, content, other)
            if info.isreg():
                info.size = len(content)
            try:
                new.addfile(info, io.BytesIO(content))
            except (ValueError, OverflowError):
                continue
    return out.getvalue()


def _tar_member(random: Random, info: tarfile.TarInfo, content: bytes, other: bytes) -> bytes:
    kind = random.randrange(6)
    if kind == 0:
        info.name = random.choice(
            ("../../x.png", "/etc/x.txt", "a" * 300, "x", ".txt", "é.json", "a/./b.cls")
        )
    elif kind == 1:
        info.type = random.choice(
            (b"1", b"2", b"3", b"4", b"5", b"6", b"S", b"x", b"L", b"\0", b"z")
        )
        info.linkname = random.choice(("../../etc/passwd", "/etc/passwd", info.name, ""))
    elif kind == 2:
        info.pax_headers = {
            random.choice(
                ("size", "path", "GNU.sparse.size", "GNU.sparse.major", "mtime")
            ): random.choice(("-1", "99999999999", "x", "1", "../x", "nan"))
        }
    elif kind == 3 and info.name.endswith(".json"):
        return mutate_json(random, content or b"{}", other)
    else:
        return _raw(random, content, other)
    return content


def _tar_header(random: Random, seed: bytes) -> bytes:
    data = bytearray(seed)
    start = 512 * random.randrange(max(1, len(data) // 512))
    for _ in range(random.choice((1, 2, 8))):
        data[start + random.randrange(500)] = random.choice(
            (0, 48, 55, 128, 255, 32, 45, 120, 83, 76)
        )
    data[start + 148 : start + 156] = b" " * 8
    data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return bytes(data)


def mutate_png(random: Random, seed: bytes, other: bytes) -> bytes:
    """Change chunks of a PNG, their checksums right."""
    chunks, at = [], 8
    while at + 12 <= len(seed):
        (size,) = struct.unpack(">I", seed[at : at + 4])
        chunks.append((seed[at + 4 : at + 8], seed[at + 8 : at + 8 + size]))
        at += 12 + size
    place = random.randrange(len(chunks))
    kind, content = chunks[place]
    if random.random() < 0.2:
        kind = random.choice(
            (
                b"tRNS",
                b"PLTE",
                b"zTXt",
                b"iCCP",
                b"eXIf",
                b"acTL",
                b"fdAT",
                b"IDAT",
                b"gAMA",
                b"cHRM",
            )
        )
    chunks[place] = (kind, _raw(random, content, other))
    if random.random() < 0.2:
        chunks.insert(place, chunks[random.randrange(len(chunks))])
    return seed[:8] + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks
    )


def mutate_safetensors(random: Random, seed: bytes, other: bytes) -> bytes:
    """Change the header of a safetensors file; its length is right."""
    (size,) = struct.unpack("<Q", seed[:8])
    header = json.loads(seed[8 : 8 + size])
    if "__metadata__" in header and "tree" in header["__metadata__"] and random.random() < 0.8:
        tree = json.loads(header["__metadata__"]["tree"])
        for _ in range(random.choice((1, 1, 2, 4))):
            tree = change_tree(random, tree)
        header["__metadata__"]["tree"] = json.dumps(tree)
    else:
        header = change_tree(random, header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + seed[8 + size :]


def mutate_hdf5(random: Random, seed: bytes, other: bytes) -> bytes:
    """Change an object of an HDF5 file through the library, so that the file itself is whole."""
    import h5py

    out = io.BytesIO(seed)
    with h5py.File(out, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        for _ in range(random.choice((1, 1, 2, 4))):
            with contextlib.suppress(KeyError, RuntimeError):
                _change_object(random, file, random.choice(names))
    return out.getvalue()


def _change_object(random: Random, file: Any, name: str) -> None:
    import h5py

    kind, there = random.randrange(6), name in file
    if kind == 0 and there:
        del file[name]
        return
    if kind == 1 and there and len(file[name].attrs):
        key = random.choice(list(file[name].attrs))
        if random.random() < 0.5:
            del file[name].attrs[key]
        else:
            file[name].attrs[key] = random.choice(("x", -1, 1e30, [1, 2], "", np.zeros(0)))
        return
    if there:
        del file[name]
    links: tuple[Callable[[], object], ...] = (
        lambda: h5py.ExternalLink("other.h5", "/x"),
        lambda: h5py.SoftLink("/nowhere"),
        lambda: np.array(
            [random.choice(("a", "é", "")) for _ in range(3)], dtype=h5py.string_dtype()
        ),
    )
    try:
        file[name] = random.choice(links)() if random.random() < 0.4 else _plain(random)
    except (TypeError, ValueError, OSError, KeyError):
        return


def _plain(random: Random) -> Any:
    array = random_array(random)
    return array if array.dtype.kind in "iufbSc" else np.zeros(3)


def mutate_parquet(
    columns: Callable[[Random], dict[str, Any]],
) -> Callable[[Random, bytes, bytes], bytes]:
    """Return what writes another table each time, or changes bytes of the seed."""

    def mutate(random: Random, seed: bytes, other: bytes) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if random.random() < 0.5:
            return _raw(random, seed, other)
        out = io.BytesIO()
        try:
            pq.write_table(
                pa.table(columns(random)), out, compression=random.choice(("none", "snappy"))
            )
        except (pa.ArrowException, ValueError, OverflowError):
            return _raw(random, seed, other)
        return out.getvalue()

    return mutate


def odd_column(random: Random, usual: Callable[[], Any], rows: int) -> Any:
    """Return a column of a table: mostly the usual one, else one of another type."""
    import pyarrow as pa

    if random.random() < 0.6:
        return usual()
    numbers = [random.choice((0, 1, 2, 255, 2**31, None)) for _ in range(rows)]
    texts = [random.choice(("", "0", "1", "zz", "0x1F", "ffff", None, "é")) for _ in range(rows)]
    ways: tuple[Callable[[], Any], ...] = (
        lambda: pa.array(
            numbers, random.choice((pa.int64(), pa.uint64(), pa.float32(), pa.float64()))
        ),
        lambda: pa.array(texts, random.choice((pa.string(), pa.large_string()))),
        lambda: pa.array(texts).dictionary_encode(),
        lambda: pa.array(
            [t and t.encode() for t in texts], random.choice((pa.binary(), pa.large_binary()))
        ),
        lambda: pa.array(numbers, pa.int64()).cast(
            pa.timestamp(random.choice(("s", "ms", "us", "ns")))
        ),
        lambda: pa.array([2**62] * rows, pa.int64()).cast(pa.timestamp("s")),
        lambda: pa.array([[1, None], [], None][:rows] * rows, pa.list_(pa.uint8()))[:rows],
        lambda: pa.array([{"a": 1}, None][:rows] * rows)[:rows],
        lambda: pa.nulls(rows),
        lambda: pa.array([None, True] * rows, pa.bool_())[:rows],
        lambda: pa.array([b"12345678"] * rows, pa.binary(8)),
        lambda: pa.array([[1, 2, 3]] * rows, pa.list_(pa.uint8(), 3)),
        lambda: pa.array([1.5, None] * rows, pa.float64())[:rows].cast(pa.decimal128(10, 2)),
        lambda: pa.array([2**30] * rows, pa.int32()).cast(pa.date32()),
        lambda: pa.array(numbers, pa.int64()).cast(pa.duration("s")),
    )
    return random.choice(ways)()
