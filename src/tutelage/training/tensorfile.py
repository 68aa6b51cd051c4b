"""One safetensors file: streamed to disk with its digest; anything else is refused on opening."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tutelage.core.errors import CheckpointError
from tutelage.core.files import atomic_file, open_regular

DTYPES: dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_HEADER_LIMIT = 90_000_000  # safetensors itself reads headers of up to 100 MB
_MAGIC = (
    (b"PK\x03\x04", "a zip archive, as torch.save writes for .pt and .ckpt (pickled objects)"),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF model"),
    (b"ARROW1", "an Arrow file"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{", "a JSON text"),
)


@dataclass(frozen=True)
class Written:
    """What reached the disk: the file's digest (xxh3-128) and its size in bytes."""

    digest: str
    bytes: int


class TensorReader(Protocol):
    """The part of an open safetensors file that is used here."""

    def keys(self) -> list[str]:
        """Names of the tensors."""
        ...

    def metadata(self) -> dict[str, str] | None:
        """Texts in the header."""
        ...

    def get_tensor(self, name: str) -> Tensor:
        """One tensor."""
        ...


def storable(tensor: Tensor) -> str | None:
    """Return why ``tensor`` can't be stored, or None when it can."""
    if tensor.layout is not torch.strided:
        return f"a tensor of layout {tensor.layout}"
    if tensor.is_meta:
        return "a tensor on the meta device, which has no values"
    if tensor.dtype not in DTYPES:
        return f"a tensor of dtype {tensor.dtype}"
    return None


def raw_bytes(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor, row-major, without a copy where it is contiguous on the CPU."""
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    if flat.stride(0) != 1:  # one value that NumPy broadcast counts as contiguous
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8).numpy().data


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> Written:
    """Write tensors as one safetensors file, atomically, one tensor in flight at a time.

    Args:
        path: Target; the bytes go to a temporary file beside it first.
        tensors: Values for which `storable` returns None.
        metadata: Texts for the header.

    Returns:
        Digest and size of the file.

    Raises:
        CheckpointError: The header would be longer than a reader accepts.
        StorageError: The disk is full, or the folder can't be written.

    Source: https://github.com/huggingface/safetensors#format
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    # Wide types first: each tensor then starts at a multiple of its item size.
    names = sorted(tensors, key=lambda name: -tensors[name].element_size())
    for name in names:
        tensor = tensors[name]
        end = offset + tensor.numel() * tensor.element_size()
        kind = DTYPES[tensor.dtype]
        header[name] = {"dtype": kind, "shape": [*tensor.shape], "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _HEADER_LIMIT:
        problem = f"the structure takes {len(text)} bytes; at most {_HEADER_LIMIT} can be read back"
        raise CheckpointError(problem, where=path, hint="Keep long lists of numbers as tensors.")
    digest = xxhash.xxh3_128()
    with atomic_file(path) as file:
        for chunk in (len(text).to_bytes(8, "little"), text):
            digest.update(chunk)
            file.write(chunk)
        for name in names:
            data = raw_bytes(tensors[name])
            digest.update(data)
            file.write(data)
    return Written(digest=digest.hexdigest(), bytes=8 + len(text) + offset)


@contextmanager
def open_tensors(path: Path, device: str = "cpu") -> Iterator[TensorReader]:
    """Open a safetensors file for reading.

    Raises:
        CheckpointError: The file is missing, unreadable, truncated, altered or of another kind.
    """
    refuse_foreign(path)
    try:
        with safe_open(path, framework="pt", device=device) as reader:
            yield reader
    except SafetensorError as error:
        hint = "It is truncated, altered or foreign: use another copy."
        problem = f"this safetensors file can't be read ({error})"
        raise CheckpointError(problem, where=path, hint=hint) from error
    except OSError as error:
        raise CheckpointError(f"can't be read: {error.strerror or error}", where=path) from error


def refuse_foreign(path: Path) -> None:
    """Refuse a path that can't be a safetensors file, saying what it looks like.

    Raises:
        CheckpointError: The path is missing, a folder, unreadable, empty or foreign.
    """
    kind = looks_like(path)
    if kind is None:
        return
    hint = "Only safetensors files written by Tutelage are read; pickled objects never are."
    raise CheckpointError(f"refused: it is {kind}", where=path, hint=hint)


def looks_like(path: Path) -> str | None:
    """Say what a file that is no safetensors file looks like; None when it may be one."""
    if path.is_dir():
        return "a folder, not a file"
    try:
        with open_regular(path) as file:
            head = file.read(16)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if not head:
        return "an empty file"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[0] == 0x80 and head[1:2] <= b"\x05" and head[8:9] != b"{":
        return "a Python pickle"
    length = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:9] != b"{" or length > path.stat().st_size:
        return "truncated, altered or of an unknown kind"
    return None
