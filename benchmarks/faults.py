"""Claim: full disks, damaged files, kills and crowds of processes cost nothing that was saved.

Run: python benchmarks/faults.py [--json FILE] [--times N] [--seed N] [--only WORD]

Each line is a fault that is tried many times on real files by real processes, and how often all
that must hold did: a damaged checkpoint is always noticed and the one before is taken; a full disk
or a read-only folder leaves earlier checkpoints whole, and the run goes on to the bits of the
unbroken one; a process that is killed while it saves leaves a whole checkpoint; a lock keeps a
second process out and no dead one holds it; processes that make and remove runs lose none; no
secret reaches a log. The tiny task of the tests is trained. A disk without a byte left is a small
one that is mounted for it, where the machine allows that; else the line says 0.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tried import Row, write

ROOT = Path(__file__).parents[1]
TESTS = tuple(ROOT / "tests" / name for name in ("", "training", "core", "system"))
sys.path[:0] = map(str, TESTS)
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT / "benchmarks", *TESTS))),
}
SAVE = """
import sys
from pathlib import Path
import torch
from tutelage.training.checkpoint_files import TutelageCheckpointIO
io, weights = TutelageCheckpointIO(background=True), torch.zeros(1 << 20)
for step in range(1, 10_000):
    state = {"state_dict": {"w": weights.fill_(step)}, "global_step": step}
    io.save_checkpoint(state, Path(sys.argv[1]) / f"step-{step:010d}.safetensors")
    print(step, flush=True)
    for old in sorted(Path(sys.argv[1]).glob("step-*"))[:-6]:
        old.unlink()
"""
REFUSED = """
import sys
from pathlib import Path
from faults import put
from tutelage.core.errors import StorageError
held = 0
for trial in range(int(sys.argv[2])):
    try:
        put(Path(sys.argv[1]), 1 + trial % 2, background=trial % 4 > 1)
    except StorageError as error:
        held += "can't be written" in str(error)
print(held)
"""
HOLD = """
import sys
from pathlib import Path
from tutelage.core.store import Run
with Run(Path(sys.argv[1])).hold():
    print("held", flush=True)
    sys.stdin.read()
"""


Fault = Callable[[Path, int, random.Random], tuple[int, int]]


def put(folder: Path, step: int, size: int = 4096, background: bool = False) -> Path:
    """Save a checkpoint, and wait until it is on the disk."""
    import torch

    from tutelage.training.checkpoint_files import TutelageCheckpointIO

    io = TutelageCheckpointIO(background=background)
    path = folder / f"step-{step:010d}.safetensors"
    state = {"state_dict": {"w": torch.arange(size) * step}, "global_step": step, "epoch": 1}
    io.save_checkpoint(state, path)
    io.teardown()
    return path


def damaged(folder: Path, times: int, draw: random.Random) -> tuple[int, int]:
    """Flip a bit of the newest checkpoint or its marker, or cut it: the one before is taken."""
    from tutelage.core.errors import CheckpointError
    from tutelage.training.checkpoint_files import TutelageCheckpointIO, find_valid

    older, path = put(folder, 1), put(folder, 2)
    held = 0
    for trial in range(times):
        victim = path if trial % 4 else path.with_suffix(".json")
        whole = victim.read_bytes()
        broken = bytearray(whole)
        if trial % 5 == 0:
            del broken[draw.randrange(len(broken)) :]
        else:
            broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
        victim.write_bytes(broken)
        try:
            TutelageCheckpointIO().load_checkpoint(path)
        except CheckpointError:
            held += find_valid(folder) == older
        victim.write_bytes(whole)
    return times, held


def full_disk(folder: Path, times: int, draw: random.Random) -> tuple[int, int]:
    """Save where room for a part of it is left, at once and in the background."""
    from test_checkpoints import disk_with

    from tutelage.core.errors import StorageError
    from tutelage.training.checkpoint_files import find_valid

    older = put(folder, 1)
    before, size = sorted(folder.iterdir()), older.stat().st_size
    held = 0
    for trial in range(times):
        try:
            with disk_with(draw.randrange(size)):
                put(folder, draw.choice((1, 2)), background=bool(trial % 2))
        except StorageError as error:
            whole = sorted(folder.iterdir()) == before and find_valid(folder) == older
            held += "the disk is full" in str(error) and whole
    return times, held


def no_byte_left(folder: Path, times: int, draw: random.Random) -> tuple[int, int]:
    """Train on a disk that fills up; free it, go on, and compare with the unbroken run."""
    from test_full_disks import FILL, SETTINGS, SMALL
    from tiny_task import train

    alone = ("unshare", "-rm", "sh", "-c")
    (folder / "disk").mkdir()
    mount = SMALL.format(disk=folder / "disk", command="true")
    if (
        not shutil.which("unshare")
        or subprocess.run([*alone, mount], capture_output=True).returncode
    ):
        return 0, 0
    whole = train(folder / "whole", *SETTINGS).run.path / "model.safetensors"
    held, tries = 0, max(1, times // 100)
    for _ in range(tries):
        command = f"{sys.executable} - {folder / 'disk'} {' '.join(SETTINGS)}"
        child = subprocess.run(
            [*alone, SMALL.format(disk=folder / "disk", command=command)],
            input=FILL, capture_output=True, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        lines = child.stdout.splitlines()
        ends = len(lines) == 3 and (lines[0], lines[2]) == (
            "the disk is full", "resumed True finished",
        )  # fmt: skip
        same = ends and (folder / "disk.weights").read_bytes() == whole.read_bytes()
        held += ends and same and child.stderr == ""
    return tries, held


def not_writable(folder: Path, times: int, draw: random.Random) -> tuple[int, int]:
    """Save in a folder that may be read alone, without the superuser's powers."""
    from command import obey_permissions

    from tutelage.training.checkpoint_files import find_valid

    older = put(folder, 1)
    before = sorted(folder.iterdir())
    folder.chmod(0o500)
    child = subprocess.run(
        [sys.executable, "-c", REFUSED, str(folder), str(times)],
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
        preexec_fn=obey_permissions,
    )
    folder.chmod(0o700)
    whole = sorted(folder.iterdir()) == before and find_valid(folder) == older
    return times, int(child.stdout) * whole


def killed_while_saving(folder: Path, times: int, draw: random.Random) -> tuple[int, int]:
    """Kill a process that saves without a pause: what was whole before is whole, and readable."""
    from tutelage.training.checkpoint_files import TutelageCheckpointIO, find_valid, read_marker

    held, tries = 0, max(1, times // 20)
    for number in range(tries):
        place = folder / str(number)
        place.mkdir()
        command = (sys.executable, "-c", SAVE, str(place))
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT, text=True)
        assert child.stdout is not None
        for _ in range(3):
            child.stdout.readline()
        time.sleep(draw.uniform(0, 0.3))
        child.kill()
        last = int((child.communicate()[0].split() or ["3"])[-1])
        newest = find_valid(place)
        if newest is not None:
            step = read_marker(newest).step
            weights = TutelageCheckpointIO().load_checkpoint(newest)["state_dict"]["w"]
            held += step >= last - 1 and bool((weights == step).all())
        shutil.rmtree(place)
    return tries, held


def locked(folder: Path, times: int, draw: random.Random) -> tuple[int, int]:
    """Work on a run that another process works on; kill that one, and work on it at once."""
    from made_runs import make_run
    from tutelage.core.errors import HeldError
    from tutelage.core.store import RunStore

    run = make_run(RunStore(folder))
    held, tries = 0, max(1, times // 20)
    for _ in range(tries):
        command = (sys.executable, "-c", HOLD, str(run.path))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        child = subprocess.Popen(command, env=ENVIRONMENT, **pipes)
        assert child.stdout is not None
        child.stdout.readline()
        refused = False
        try:
            with run.hold():
                pass
        except HeldError:
            refused = True
        child.send_signal(signal.SIGKILL)
        child.communicate()
        with run.hold():
            held += refused
    return tries, held


def crowd(folder: Path, times: int, draw: random.Random) -> tuple[int, int]:
    """Let sixteen processes make, read, list and remove runs at once: none is lost or orphaned."""
    from test_store import CROWD

    from tutelage.core.store import RunStore

    held, tries = 0, max(1, times // 100)
    for number in range(tries):
        home = folder / str(number)
        command = (sys.executable, "-c", CROWD, str(home))
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        left = set(child.stdout.split())
        records = [run.record for run in RunStore(home).runs()]
        parents = {p.run for record in records for p in record.parents}
        held += child.returncode == 0 and {r.id for r in records} == left and parents <= left
        shutil.rmtree(home)
    return tries, held


def secrets(folder: Path, times: int, draw: random.Random) -> tuple[int, int]:
    """Log messages and tracebacks that hold secrets in many places: none reaches the file."""
    import logging

    from tutelage.core.logs import JsonLines

    handler, held = JsonLines(folder / "log.jsonl", None), 0
    for number in range(times):
        secret = "".join(draw.choices("abcXYZ0189-_.~", k=draw.randrange(8, 40)))
        os.environ[f"FAULTS_{number}_TOKEN"] = secret
        said = draw.choice(
            (f"sent {secret}", f"http://me:{secret}@host/x", f"api_key={secret}, done",
             f"x{secret}y", f"Authorization: Bearer {secret}")
        )  # fmt: skip
        if number % 2:
            del os.environ[f"FAULTS_{number}_TOKEN"]  # known by its place alone
            said = draw.choice((f"postgres://me:{secret}@host/x", f"?token={secret}&n=1"))
        try:
            raise ValueError(said)
        except ValueError:
            told = {"name": "x", "levelname": "ERROR", "msg": said, "exc_info": sys.exc_info()}
            handler.handle(logging.makeLogRecord(told))
        held += secret not in (folder / "log.jsonl").read_text().splitlines()[-1]
        os.environ.pop(f"FAULTS_{number}_TOKEN", None)
    return times, held


FAULTS: dict[str, Fault] = {
    "bit flipped or file cut: noticed, the one before is taken": damaged,
    "disk full while saving: earlier checkpoints whole": full_disk,
    "disk without a byte left: one message, resumed to the same bits": no_byte_left,
    "folder not writable while saving: earlier checkpoints whole": not_writable,
    "killed while saving in the background: newest one whole": killed_while_saving,
    "second process on a run refused; a dead one holds nothing": locked,
    "16 processes make, read, list, remove: none lost": crowd,
    "secrets in messages and tracebacks: none logged": secrets,
}


def attempt(what: str, fault: Fault, times: int, seed: int) -> Row:
    """Try a fault in a folder of its own."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tried, held = fault(Path(folder), times, random.Random(seed))
    return Row(what, tried, held, round(time.monotonic() - began, 1))


def main() -> int:
    """Print the table and write it as JSON; fail if anything did not hold."""
    import logging

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--times", type=int, default=1000, help="of the cheapest; others fewer")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="faults whose description has this word")
    options = parser.parse_args()
    logging.getLogger("tutelage").setLevel(logging.CRITICAL)
    chosen = {what: fault for what, fault in FAULTS.items() if options.only in what}
    row = partial(attempt, times=options.times, seed=options.seed)
    rows = []
    for what, fault in chosen.items():
        rows.append(row(what, fault))
        done = rows[-1]
        print(f"{done.what:<64} {done.tried:>6} {done.held:>6} {done.seconds:>8.1f} s", flush=True)
    write(rows, options.json)
    return 0 if all(one.held == one.tried for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
