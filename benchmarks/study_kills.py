"""Kill a study's orchestrator, warm process and trials at random moments; compare what it becomes.

The study is of the tiny task of the tests. It is run once unbroken; then it is run again and again,
one of its processes is killed at a random moment, and the same command is given anew where the
orchestrator was the one. In the end its trials must be those of the unbroken one: parameters,
values, every epoch, pruning. After each death of an orchestrator no process of its may be left,
and after each resumed study no trial may be running, nor any run in MLflow, which follows it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
PLUGIN = (ROOT / "src", ROOT / "tests" / "system" / "plugins", ROOT / "tests" / "training")
RULES = {
    "one worker": ("hpo.workers=1",),
    "two workers": ("hpo.workers=2", "hpo.deterministic=true"),
}
SETTINGS = (
    *("hpo.trials=5", "hpo.folds=2", "hpo.refit_seeds=1", "hpo.retries=100"),
    *("hpo.pruner.startup_trials=1", "hpo.pruner.warmup_epochs=0"),
    *("hpo.fold_pruner.startup_trials=1", "training.max_epochs=8", "data.samples=200"),
    "tracking=mlflow",
)
SPACE = {
    "parameters": {
        "training.learning_rate": {"type": "loguniform", "min": 1e-4, "max": 0.3},
        "model.hidden": {"type": "int", "min": 2, "max": 8},
    }
}
VICTIMS = ("orchestrator", "warm process", "trial")
SERVER = "tutelage.execution.forkserver"
"""MLflow's follower is spared: what a killed one did not send is sent by `tutelage ui`."""
ORPHAN_SECONDS = 60.0
"""The follower, of lowest priority, still sends what it has read."""


class Study:
    """One study in a home of its own, by the command that a person would type."""

    def __init__(self, home: Path, settings: tuple[str, ...]) -> None:
        self.home, self.settings = home, settings
        home.mkdir()
        self.space = home / "space.json"
        self.space.write_text(json.dumps(SPACE))

    def start(self) -> subprocess.Popen[str]:
        """Give the command."""
        env = dict(os.environ, TUTELAGE_HOME=str(self.home), OMP_NUM_THREADS="1")
        env["PYTHONPATH"] = os.pathsep.join(map(str, PLUGIN))
        command = (sys.executable, "-m", "tutelage", "hpo", "tiny", *SETTINGS, *self.settings)
        return subprocess.Popen(
            [*command, "--space", str(self.space), "--json"],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> None:
        """Wait for an end that must be good."""
        _, said = process.communicate(timeout=1800)
        assert process.returncode == 0, said

    def told(self) -> list[object]:
        """All that the storage says of the trials, without clocks and names."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        (database,) = self.home.glob("studies/*/study.db")
        (summary,) = optuna.get_all_study_summaries(f"sqlite:///{database}")
        study = optuna.load_study(study_name=summary.study_name, storage=f"sqlite:///{database}")
        return [
            (t.number, t.state.name, t.params, t.values, t.intermediate_values,
             t.user_attrs.get("fold_scores"))
            for t in study.trials
        ]  # fmt: skip

    def tracked(self) -> Counter[str]:
        """How many runs MLflow shows in each status."""
        with closing(sqlite3.connect(self.home / "mlflow.db")) as database:
            return Counter(status for (status,) in database.execute("SELECT status FROM runs"))

    def is_left(self) -> bool:
        """Whether a process of its outlives the time that one may take to end."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        return bool(self.processes())

    def processes(self) -> list[psutil.Process]:
        """Every live process whose home is this study's."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = process.environ().get("TUTELAGE_HOME") == str(self.home)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def victim_of(process: subprocess.Popen[str], kind: str) -> psutil.Process | None:
    """A process of that kind, if there is one now."""
    with suppress(psutil.Error):
        orchestrator = psutil.Process(process.pid)
        if kind == "orchestrator":
            return orchestrator
        servers = [c for c in orchestrator.children() if SERVER in c.cmdline()]
        if kind == "warm process":
            return servers[0] if servers else None
        trials = [child for server in servers for child in server.children()]
        return random.choice(trials) if trials else None
    return None


def break_once(study: Study, kind: str, draw: random.Random, longest: float) -> str | None:
    """Run the command, and kill one process at a random moment; return what was killed."""
    process = study.start()
    wait = draw.uniform(0.2, longest)
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    while (victim := victim_of(process, kind)) is None and process.poll() is None:
        time.sleep(0.01)
    if process.poll() is not None or victim is None:
        study.finish(process)
        return None
    with suppress(psutil.NoSuchProcess):
        victim.send_signal(signal.SIGKILL)
    if kind == "orchestrator":
        process.communicate()
        assert not study.is_left(), f"outlived the orchestrator: {study.processes()}"
    else:
        study.finish(process)  # it goes on by itself
    return kind


def soak(kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill so many times, over as many studies as that takes."""
    draw, counts, studies = random.Random(seed), Counter[str](), 0
    unbroken = {}
    for rule, settings in RULES.items():
        whole = Study(folder / rule.replace(" ", "-"), settings)
        started = time.monotonic()
        whole.finish(whole.start())
        unbroken[rule] = whole.told(), time.monotonic() - started
        print(f"unbroken, {rule}: {unbroken[rule][1]:.1f} s", flush=True)
    while counts.total() < kills:
        rule = list(RULES)[studies % len(RULES)]
        whole_told, seconds = unbroken[rule]
        study = Study(folder / f"broken-{studies}", RULES[rule])
        while not (study.home / "studies").exists() or not is_finished(study.home):
            kind = VICTIMS[counts.total() % len(VICTIMS)]
            began = time.monotonic()
            killed = break_once(study, kind, draw, seconds)
            if killed is None:  # it ended first: the machine was busier when it was timed
                seconds = min(seconds, time.monotonic() - began)
                unbroken[rule] = whole_told, seconds
            else:
                counts[killed] += 1
                print(f"{counts.total()}: killed the {killed} ({rule})", flush=True)
        study.finish(study.start())
        told = study.told()
        assert not [trial for trial in told if trial[1] in ("RUNNING", "WAITING")], told
        assert told == whole_told, f"{rule}: {told}\nis not\n{whole_told}"
        assert not study.is_left(), f"outlived the study: {study.processes()}"
        tracked = study.tracked()
        assert not {"RUNNING", "SCHEDULED"} & tracked.keys(), tracked
        studies += 1
    states = {rule: Counter(t[1] for t in told) for rule, (told, _) in unbroken.items()}
    done = {"kills": dict(counts), "studies": studies, "seed": seed}
    return {**done, "trials": states, "mlflow": dict(tracked)}


def rows(done: dict[str, Any], seconds: float) -> list[dict[str, object]]:
    """What was tried and what held, for `soak.py`; a study that differs ends the soak."""
    kills = done["kills"].items()
    return [
        {
            "what": f"a study's {victim} killed",
            "tried": n,
            "held": n,
            "seconds": seconds / len(kills),
        }
        for victim, n in kills
    ]


def is_finished(home: Path) -> bool:
    """Whether the study's record says so."""
    return any(
        json.loads(path.read_text())["status"] == "finished"
        for path in home.glob("studies/*/study.json")
    )


def main() -> None:
    """Print what was done, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done = soak(options.kills, options.seed, Path(folder))
    print(json.dumps(done, indent=2))
    if options.json is not None:
        told = rows(done, round(time.monotonic() - started, 1))
        options.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
