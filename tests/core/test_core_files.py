"""Durable files: whole or not at all, and clear when they can't be written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from tutelage.core.errors import StorageError
from tutelage.core.files import (
    atomic_file,
    digest_bytes,
    digest_file,
    digest_json,
    storage_errors,
    write_json,
)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_error_while_writing_leaves_the_former_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"kept": True})
    with pytest.raises(RuntimeError, match="half way"), atomic_file(path) as file:
        file.write(b"half")
        raise RuntimeError("half way")
    assert json.loads(path.read_text()) == {"kept": True}
    assert _names(tmp_path) == ["value.json"]


def test_readers_see_the_former_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_bytes(b"old")
    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path, code: int) -> None:
    with pytest.raises(StorageError, match="the disk is full") as caught, storage_errors(tmp_path):
        raise OSError(code, os.strerror(code))
    assert caught.value.exit_code == 2 and "TUTELAGE_HOME" in str(caught.value)


def test_a_really_full_disk_keeps_the_former_file_whole(tmp_path: Path) -> None:
    """A child process may write no file above 4 KiB, as if the disk were full."""
    path = tmp_path / "value.json"
    write_json(path, "kept")
    code = (
        "import signal, sys, resource\n"
        "from pathlib import Path\n"
        "from tutelage.core.errors import StorageError\n"
        "from tutelage.core.files import write_json\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        f"    write_json(Path({str(path)!r}), 'x' * 100_000)\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the disk is full" in done.stdout
    assert json.loads(path.read_text()) == "kept" and _names(tmp_path) == ["value.json"]


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="can't be written: Not a directory"):
        write_json(tmp_path / "file" / "value.json", {})


def test_an_error_without_a_reason_of_the_system_is_still_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="can't be written: odd"), storage_errors(tmp_path):
        raise OSError("odd")


@given(st.binary(max_size=64))
def test_digests_are_those_of_xxh3_128(data: bytes) -> None:
    assert digest_bytes(data) == xxhash.xxh3_128(data).hexdigest()


def test_a_file_longer_than_a_chunk_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "long").write_bytes(data)
    assert digest_file(tmp_path / "long") == digest_bytes(data)


def test_json_digests_ignore_the_order_of_keys_and_see_values() -> None:
    assert digest_json({"a": 1, "b": [2]}) == digest_json({"b": [2], "a": 1})
    assert digest_json({"a": [1, 2]}) != digest_json({"a": [2, 1]})
