"""Inputs that coverage guides, by atheris, for readers that are Python all through."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tutelage", "yaml"]):
    from fuzzing.readers import READERS
    from fuzzing.worker import Fence, Slot, Tally, outcome, save, scratch_folder
    from tutelage.core.errors import RequestError


def main(name: str, seed: int, inputs: int, slot: str, crashes: str) -> None:
    """Fuzz one reader; what it comes to stands in the slot. Ends the process."""
    reader, tally, place, kinds = READERS[name], Tally(), Slot(Path(slot)), set[str]()
    folder = scratch_folder()
    fence = Fence(str(folder))
    sys.addaudithook(fence)
    corpus = folder / ".corpus"
    corpus.mkdir()
    with atheris.instrument_imports(include=["tutelage", "yaml"]):
        for number, data in enumerate(reader.seeds(folder)):
            outcome(reader, folder, data, None)
            (corpus / str(number)).write_bytes(data)

    def one(data: bytes) -> None:
        tally.tried += 1
        place.note(tally, data)
        error = outcome(reader, folder, data, fence)
        tally.accepted += error is None
        tally.refused += isinstance(error, RequestError)
        if error is not None and not isinstance(error, RequestError):
            tally.crashes += 1
            save(error, reader, tally.tried, data, Path(crashes), kinds)
        place.note(tally, b"")
        if tally.tried == inputs:
            shutil.rmtree(folder, ignore_errors=True)

    settings = (f"-runs={inputs}", f"-seed={seed + 1}", "-timeout=20", "-max_len=4096")
    atheris.Setup([sys.argv[0], *settings, "-verbosity=0", str(corpus)], one)
    atheris.Fuzz()
