"""Claim: no reader of outside data crashes, hangs, takes much memory, or leaves its folder.

Run: python benchmarks/fuzz_readers.py [--inputs N] [--readers NAME …] [--seed N] [--json FILE]
     [--crashes FOLDER] [--processes N] [--guided N]

Every reader gets real seeds, mutated in bytes and in structure. An input is accepted, refused with
one of our errors, or a crash: any other exception, a death, more than 30 seconds, more than 1 GiB,
a file opened outside the input's folder, a program started, an object unpickled. The input of each
kind of crash is kept. The same seed gives the same inputs. Fails if anything crashed.

``--guided`` gives readers that are Python all through so many inputs more, which coverage guides;
it takes atheris (pip install 'tutelage[fuzz]').
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from fuzzing.readers import READERS
from fuzzing.worker import Slot, Tally, scratch_folder

GUIDED: Final = (
    "can candump with ROAD labels",
    "ner conll",
    "ner jsonl",
    "ner json",
    "multimodal captions csv",
    "multimodal captions jsonl",
    "multimodal shard",
    "override",
    "settings yaml",
    "settings json",
    "split file",
    "run record",
    "run inputs",
    "study trials",
    "study journal",
)
"""Readers that are Python all through, so that coverage can guide."""
PATIENCE: Final = 30.0
"""Seconds that one input may take."""
_SAID = threading.Lock()
Tell = Callable[[str, Tally], None]


def run_readers(names: list[str], inputs: int, seed: int, crashes: Path, tell: Tell) -> None:
    """Fuzz readers in a process, begun again behind each input that ends it."""
    folder = scratch_folder()
    slot = Slot(folder / "slot")
    try:
        while (
            how := _worker(names, inputs, seed, folder / "slot", crashes, slot, tell)
        ) is not None:
            tally, data = slot.read()
            name = names[tally.reader]
            if not data:
                raise SystemExit(f"{name}: the worker {how} while it made an input; see above")
            tally.crashes += 1
            slot.note(tally, b"")
            crashes.mkdir(parents=True, exist_ok=True)
            kept = f"{name}-{tally.tried - 1}{Path(READERS[name].file).suffix}".replace(" ", "-")
            (crashes / kept).write_bytes(data)
            print(f"crash: {name}: {how}: {crashes / kept}", file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _worker(
    names: list[str], inputs: int, seed: int, place: Path, crashes: Path, slot: Slot, tell: Tell
) -> str | None:
    """Run a worker to its end; return how it was lost, if it was."""
    call = "import json, sys; from fuzzing.worker import main; main(*json.loads(sys.argv[1]))"
    arguments = json.dumps([names, seed, inputs, str(place), str(crashes)])
    process = subprocess.Popen(
        [sys.executable, "-c", call, arguments],
        env=_surroundings(),
        stdout=subprocess.PIPE,
        text=True,
    )
    listener = threading.Thread(target=_listen, args=(process, tell))
    listener.start()
    first, seen, since, hung = slot.read()[0], (0, -1), time.monotonic(), False
    while process.poll() is None:
        time.sleep(0.2)
        tally = slot.read()[0]
        starting = not tally.tried or (tally.reader, tally.tried) == (first.reader, first.tried)
        if (tally.reader, tally.tried) != seen:
            seen, since = (tally.reader, tally.tried), time.monotonic()
        elif time.monotonic() - since > (6 * PATIENCE if starting else PATIENCE):
            process.kill()
            hung = True
    listener.join()
    if hung:
        return f"hung for {PATIENCE:.0f} s"
    code = process.returncode
    return None if code == 0 else f"died of signal {-code}" if code < 0 else f"ended with {code}"


def _listen(process: subprocess.Popen[str], tell: Tell) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        name, *numbers = json.loads(line)
        tell(name, Tally(*numbers))


def run_guided(name: str, inputs: int, seed: int, crashes: Path, tell: Tell) -> None:
    """Fuzz one reader by atheris, in a process that ends with it."""
    folder = scratch_folder()
    try:
        slot, began = Slot(folder / "slot"), time.perf_counter()
        call = "import json, sys; from fuzzing.guided import main; main(*json.loads(sys.argv[1]))"
        arguments = json.dumps([name, seed, inputs, str(folder / "slot"), str(crashes)])
        done = subprocess.run(
            [sys.executable, "-c", call, arguments], env=_surroundings(), capture_output=True
        )
        tally, data = slot.read()
        tally.seconds = time.perf_counter() - began
        if tally.tried < inputs:
            tally.crashes += 1
            crashes.mkdir(parents=True, exist_ok=True)
            (crashes / f"{name} guided".replace(" ", "-")).write_bytes(data)
            print(done.stderr.decode(errors="replace")[-2000:], file=sys.stderr)
        tell(f"{name}, guided", tally)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _surroundings() -> dict[str, str]:
    known = filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH")))
    fixed = {"PYTHONPATH": os.pathsep.join(known), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **fixed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--readers", nargs="*", default=list(READERS), choices=list(READERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--crashes", type=Path, default=Path("benchmarks/results/crashes"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--guided", type=int, default=0)
    asked = parser.parse_args()
    print(
        f"{'reader':<30}{'inputs':>10}{'accepted':>10}{'refused':>10}{'crashes':>9}"
        f"{'slowest':>9}{'seconds':>9}"
    )
    began, found = time.perf_counter(), dict[str, Tally]()

    def tell(name: str, tally: Tally) -> None:
        with _SAID:
            found[name] = tally
            print(
                f"{name:<30}{tally.tried:>10,}{tally.accepted:>10,}{tally.refused:>10,}"
                f"{tally.crashes:>9,}{tally.slowest:>8.2f}s{tally.seconds:>8.1f}s",
                flush=True,
            )

    with ThreadPoolExecutor(asked.processes) as pool:
        shares = (asked.readers[n :: asked.processes] for n in range(asked.processes))
        waiting = [
            pool.submit(run_readers, share, asked.inputs, asked.seed, asked.crashes, tell)
            for share in shares
        ]
        for one in waiting:
            one.result()
    for name in (name for name in asked.readers if asked.guided and name in GUIDED):
        run_guided(name, asked.guided, asked.seed, asked.crashes, tell)
    rows = [
        {
            "what": f"inputs fuzzed: {name}",
            "tried": tally.tried,
            "held": tally.tried - tally.crashes,
            "seconds": round(tally.seconds, 1),
            "accepted": tally.accepted,
            "refused": tally.refused,
            "crashes": tally.crashes,
        }
        for name, tally in found.items()
    ]
    total = sum(tally.tried for tally in found.values())
    crashed = sum(tally.crashes for tally in found.values())
    print(
        f"{len(found)} readers, {total:,} inputs, {crashed:,} crashes, "
        f"{time.perf_counter() - began:.0f} s"
    )
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return int(crashed > 0)


if __name__ == "__main__":
    sys.exit(main())
