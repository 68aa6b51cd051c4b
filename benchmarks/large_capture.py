"""Claim: with 2 GiB for its data a process audits a capture of 100 M frames and trains on it.

Run: python benchmarks/large_capture.py [--frames N] [--limit GIB] [--folder DIR] [--json FILE]

Writes a capture of N frames as Parquet: simulated drives with attacks, again and again, each time
later and with a share of its payload bytes drawn anew. Then `tutelage audit can`, which ingests it,
and `tutelage train can` for one epoch with small settings run on it, each in a process of its own
whose RLIMIT_DATA is the limit: what is mapped from files does not count, all other memory does.
While they run, /proc tells what they have: VmData, which the kernel limits, and RssAnon, how much
of it lies in memory. Both peaks are what was seen at 20 looks a second. Fails if a step does.
100 M frames take tens of GB of disk below the folder, and half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.simulator import simulate_capture

ROOT = Path(__file__).parents[1]
MIB, GIB = 1 << 20, 1 << 30
ATTACKS = (None, "fuzzing", "rpm_spoofing", None, "payload_fuzzing")
SECONDS = 60.0
"""Length of each simulated drive."""
FRESH = 0.05
"""Share of the frames of which a byte is drawn anew at each repetition."""
SMALL = (
    *("training.max_epochs=1", "training.batch_size=256", "training.seed=0"),
    *("model.layers=1", "model.hidden=4", "model.heads=2", "model.id_embedding=4"),
)
STEPS = {"audited": ("audit", "can"), "trained": ("train", "can", *SMALL)}
LOOK = 0.05
"""Seconds between two looks at a process."""


@dataclass
class Step:
    """A command on the capture, and what it took.

    Args:
        what: Its name.
        tried: Frames of the capture.
        held: As many if it ended well, else 0.
        seconds: How long it took.
        data_mib: Most VmData in MiB.
        anonymous_mib: Most RssAnon in MiB.
        said: The end of what it said, where it failed.
    """

    what: str
    tried: int
    held: int = 0
    seconds: float = 0.0
    data_mib: float = 0.0
    anonymous_mib: float = 0.0
    said: str = ""

    def look(self, process: int) -> None:
        """Take up what a process has."""
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:  # it has ended
            return
        found = dict(line.split(":", 1) for line in lines)
        if "VmData" in found and "RssAnon" in found:  # a process that ends has none
            data, anonymous = (int(found[name].split()[0]) / 1024 for name in ("VmData", "RssAnon"))
            self.data_mib = max(self.data_mib, data)
            self.anonymous_mib = max(self.anonymous_mib, anonymous)


def drives() -> Frames:
    """Some drives of one vehicle, one after the other."""
    parts, clock = [], 0.0
    for seed, attack in enumerate(ATTACKS):
        found = simulate_capture("hatchback", seed=seed, seconds=SECONDS, attack=attack).frames
        begun = found.timestamp[0]
        parts.append(
            Frames(
                found.timestamp - begun + clock,
                found.arbitration_id,
                found.dlc,
                found.payload,
                found.label,
            )
        )
        clock = float(parts[-1].timestamp.max()) + 0.01
    return Frames.concatenate(parts)


def repeated(count: int) -> Iterator[Frames]:
    """Yield drives until there are so many frames."""
    base, generator, written = drives(), np.random.default_rng(0), 0
    length = float(base.timestamp.max()) + 0.01
    for number in range(-(-count // len(base))):
        payload = base.payload.copy()
        fresh = np.flatnonzero((generator.random(len(base)) < FRESH) & (base.dlc > 0))
        place = generator.integers(0, base.dlc[fresh])
        payload[fresh, place] = generator.integers(0, 256, len(fresh))
        whole = Frames(
            base.timestamp + number * length, base.arbitration_id, base.dlc, payload, base.label
        )
        yield whole[: count - written]
        written += len(base)


def write_capture(path: Path, count: int) -> None:
    """Write a capture of so many frames, piece by piece."""
    names = ("timestamp", "id", "data_field", "label")
    kinds = (pa.float64(), pa.uint32(), pa.binary(), pa.uint8())
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        for frames in repeated(count):
            keep = np.arange(8) < frames.dlc[:, None]
            ends = np.concatenate([[0], np.cumsum(frames.dlc, dtype=np.int32)]).astype(np.int32)
            buffers = [None, pa.py_buffer(ends), pa.py_buffer(frames.payload[keep])]
            columns = [
                pa.array(frames.timestamp),
                pa.array(frames.arbitration_id),
                pa.Array.from_buffers(pa.binary(), len(frames), buffers),
                pa.array(frames.label.astype(np.uint8)),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def take(what: str, command: tuple[str, ...], folder: Path, count: int, limit: int) -> Step:
    """Run a command on the capture within the limit."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TUTELAGE", "PYTHON"))}
    environment = kept | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT / "src"),
        "TUTELAGE_HOME": str(folder / "runs"),
        "TMPDIR": str(folder),
    }
    step, start = Step(what, count), time.perf_counter()
    with (folder / f"{what}.txt").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tutelage", *command, f"data.root={folder / 'drives.parquet'}"],
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        )
        while process.poll() is None:
            step.look(process.pid)
            time.sleep(LOOK)
        said.seek(0)
        text = said.read()
    step.seconds = time.perf_counter() - start
    step.held = 0 if process.returncode else count
    step.said = text[-1500:] if process.returncode else ""
    return step


def measure(folder: Path, count: int, limit: int) -> list[Step]:
    """Write a capture, and take each step on it."""
    start = time.perf_counter()
    write_capture(folder / "drives.parquet", count)
    print(f"{count} frames written in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return [take(what, command, folder, count, limit) for what, command in STEPS.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000_000)
    parser.add_argument("--limit", type=float, default=2.0, help="GiB")
    parser.add_argument("--folder", type=Path, help="where to write; the temporary folder's disk")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    limit = int(arguments.limit * GIB)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        steps = measure(Path(folder), arguments.frames, limit)
    print(f"RLIMIT_DATA {arguments.limit:g} GiB")
    print(f"{'step':10}{'frames':>12}{'seconds':>10}{'VmData MiB':>12}{'RssAnon MiB':>13}  held")
    for step in steps:
        held = "yes" if step.held else "NO"
        took = f"{step.seconds:10.0f}{step.data_mib:12.0f}{step.anonymous_mib:13.0f}"
        print(f"{step.what:10}{step.tried:12}{took}  {held}")
    if arguments.json:
        rows = [asdict(step) | {"limit_mib": limit / MIB} for step in steps]
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    for step in steps:
        if not step.held:
            print(f"FAILED: {step.what}: {step.said}", file=sys.stderr)
    return 0 if all(step.held for step in steps) else 1


if __name__ == "__main__":
    raise SystemExit(main())
