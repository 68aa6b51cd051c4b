"""Which detector is worth its weights? Rules, models, modes and fusions in one table, with seeds.

Run: python benchmarks/can_models.py [section.field=value ...] [--data DIR] [--seeds N] [--epochs N]
     [--only GROUP,...] [--home DIR] [--workers N] [--json FILE]

Claims nothing beforehand: it prints, in Markdown, what came out. Every run lives in `--home` and is
found again, so that an interrupted benchmark goes on where it was. Settings that are given as
`section.field=value` go to every run. Jobs run in `--workers` processes of one thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from can_models_table import Goal, Row, against_none, judged, markdown, targets_table
from targets import Target, conclude

FUSIONS = ("mean", "logistic", "mlp", "gated", "bandit", "dqn", "best")
TRAINED_FUSION = "logistic"
RULES = ("unseen_id_count", "two_gap", "payload", "always_alarm")
CALIBRATED = "@prefix"
"""Ends the name of a job that scores a run again, calibrated on each capture's own beginning."""
_DETECTOR = " + monitors, calibrated"
"""Ends the name of a model with all that is calibrated beside it, as it is deployed."""
PREFIX = ("evaluation.calibration=prefix",)
PACKAGES = ("torch", "lightning", "torch_geometric", "numpy")


@dataclass(frozen=True, slots=True)
class Plan:
    """How one kind of run is trained.

    Args:
        settings: Overrides; ``{name}`` is the id of the run of that plan and the same seed.
        preset: A preset of the task.
        needs: Plans whose runs the settings name.
    """

    settings: tuple[str, ...] = ()
    preset: str | None = None
    needs: tuple[str, ...] = ()


PLANS = {  # the longest first
    "gat_teacher": Plan(preset="teacher"),
    "gat": Plan(),
    "vgae": Plan(("mode=autoencoder", "model=vgae")),
    "student_distilled": Plan(
        ("mode=distillation", "mode.teacher={gat_teacher}"), "student", ("gat_teacher",)
    ),
    "curriculum": Plan(("mode=curriculum",)),
    "curriculum_guided": Plan(("mode=curriculum", "mode.guide={vgae}"), needs=("vgae",)),
    "student": Plan(preset="student"),
    "fusion": Plan(
        ("mode=fusion", f"model={TRAINED_FUSION}", "mode.experts=[{vgae},{gat}]"),
        needs=("vgae", "gat"),
    ),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of the table: which column of which job, and what it is called.

    Args:
        name: What the row says.
        job: The job that has the scores.
        detector: ``model``, or the name of a baseline beside it.
        weights: Whether its parameters are counted.
    """

    name: str
    job: str
    detector: str = "model"
    weights: bool = True


def _calibrated(name: str, plan: str) -> list[Shown]:
    job = plan + CALIBRATED
    return [
        Shown(f"{name}{_DETECTOR}", job),
        Shown(f"{name} alone, calibrated", job, "learned_alone"),
    ]


GROUPS: dict[str, list[Shown]] = {
    "rules": [Shown(f"rule: {rule}", "gat", rule, weights=False) for rule in RULES],
    "gat": [Shown("GAT", "gat")],
    "teacher": [Shown("GAT, teacher preset", "gat_teacher")],
    "vgae": [Shown("VGAE", "vgae")],
    "curriculum": [
        Shown("GAT, curriculum", "curriculum"),
        Shown("GAT, curriculum guided by VGAE", "curriculum_guided"),
    ],
    "student": [
        Shown("student", "student"),
        Shown("student, distilled", "student_distilled"),
    ],
    "fusion": [
        Shown(f"fusion: {f}", "fusion", "model" if f == TRAINED_FUSION else f"fusion_{f}")
        for f in FUSIONS
    ],
    "calibrated": [
        *(Shown(f"rule: {r}, calibrated", "gat" + CALIBRATED, r, weights=False) for r in RULES),
        Shown("monitors alone, calibrated", "gat" + CALIBRATED, "monitors_alone", weights=False),
        *_calibrated("GAT", "gat"),
        *_calibrated("GAT, teacher preset", "gat_teacher"),
        *_calibrated("student, distilled", "student_distilled"),
        *_calibrated("VGAE", "vgae"),
    ],
}
PAIRS = (
    ("GAT, curriculum", "GAT"),
    ("GAT, curriculum guided by VGAE", "GAT"),
    ("student, distilled", "student"),
    ("student, distilled", "GAT, teacher preset"),
    *((f"fusion: {fusion}", "GAT") for fusion in FUSIONS),
)
"""What is to help, and the same without it."""
GOALS = (
    Goal("unknown vehicle, uncalibrated", "GAT", 0.90, where="unknown_vehicle"),
    *(
        Goal("calibrated on its own beginning", f"{name}{_DETECTOR}", 0.995)
        for name in ("GAT", "student, distilled")
    ),
    *(
        Goal(f"student beside its teacher{how}", f"student, distilled{end}", -0.005, beside=teacher)
        for how, end, teacher in (
            (", uncalibrated", "", "GAT, teacher preset"),
            (", calibrated", _DETECTOR, f"GAT, teacher preset{_DETECTOR}"),
        )
    ),
    Goal("fusion beside its better expert", "fusion: best", 0.0, beside="GAT"),
)
MOST_PARAMETERS = 65_000
"""What the student may have."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a job left behind, in plain values, as it comes back from its process.

    Args:
        run: The run's id.
        columns: Scores of whole test splits of ``model`` and of each baseline.
        parameters: Of ``model``, and where it is a fusion of each of its rivals.
        seconds: What training took by its record, or what scoring took now; 0 where it was found.
    """

    run: str
    columns: Mapping[str, Mapping[str, float]]
    parameters: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def work(plan: Plan, settings: Sequence[str], home: Path) -> Result:
    """Train a run, or find the one that was trained; go on with one that was interrupted."""
    import tutelage
    from tutelage.core.errors import TutelageError
    from tutelage.task import load_task
    from tutelage.training.restore import restore_module

    policy = "run.policy=resume_if_incomplete"
    try:
        run = tutelage.train(
            "can", *plan.settings, *settings, policy, preset=plan.preset, home=home
        )
        module = restore_module(load_task("can"), run)
    except TutelageError as error:
        raise RuntimeError(f"{' '.join(plan.settings)}: {error}") from None
    columns = {"model": run.metrics, **run.baselines}
    seconds = run.record.seconds["total"]
    return Result(run.id, _whole(columns), _parameters(module), seconds)


def _parameters(module: object) -> dict[str, int]:
    """Parameters that a verdict takes: of a fusion, its experts' and one combiner's."""
    import torch

    from tutelage.tasks.can.fusion.module import FusionModule

    def count(part: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in part.parameters())

    if not isinstance(module, FusionModule):
        assert isinstance(module, torch.nn.Module)
        return {"model": count(module)}
    experts = count(module.experts)
    found = {f"fusion_{kind}": experts + count(c) for kind, c in module.combiners().items()}
    return found | {"model": found[f"fusion_{module.own}"]}


def score_again(run_id: str, home: Path) -> Result:
    """Score a run calibrated on each capture's beginning, or find that it was."""
    import tutelage
    from tutelage.api import run_config
    from tutelage.core.errors import TutelageError

    start = time.perf_counter()
    try:
        run = tutelage.load_run(run_id, home)
        asked = run_config(run, PREFIX)[1].model_dump(mode="json")
        for path in sorted((run.path / "evaluations").glob("*.json"), reverse=True):
            kept = json.loads(path.read_text())
            if all(kept.get(part) == asked[part] for part in ("data", "evaluation")):
                return Result(run_id, _whole({"model": kept["metrics"], **kept["baselines"]}))
        found = tutelage.evaluate(run, *PREFIX, home=home).evaluation
    except TutelageError as error:
        raise RuntimeError(f"{run_id}: {error}") from None
    columns = {"model": found.metrics, **found.baselines}
    return Result(run_id, _whole(columns), seconds=time.perf_counter() - start)


def _whole(columns: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Scores of whole splits, not of single attacks and vehicles."""
    return {
        name: {key: value for key, value in column.items() if key.count("/") == 1}
        for name, column in columns.items()
    }


def needs(job: str) -> tuple[str, ...]:
    """Return the jobs that must be done before ``job``."""
    return (job.removesuffix(CALIBRATED),) if job.endswith(CALIBRATED) else PLANS[job].needs


def with_needs(jobs: Iterable[str]) -> list[str]:
    """Return the jobs and all that they need, trainings in the order of `PLANS` first."""
    found: set[str] = set()
    waiting = list(jobs)
    while waiting:
        job = waiting.pop()
        if job not in found:
            found.add(job)
            waiting += needs(job)
    order = list(PLANS)
    return sorted(found, key=lambda j: (j.endswith(CALIBRATED), order.index(j.split("@")[0]), j))


Key = tuple[str, int]


def run_all(
    keys: Sequence[Key], at_once: int, call: Callable[[Key, Mapping[Key, Result]], Future[Result]]
) -> dict[Key, Result]:
    """Do every job once what it needs is done, so many at a time; say on stderr how far it is."""
    done: dict[Key, Result] = {}
    running: dict[Future[Result], Key] = {}
    waiting = list(keys)
    while waiting or running:
        ready = [key for key in waiting if all((need, key[1]) in done for need in needs(key[0]))]
        chosen = ready[: at_once - len(running)]
        running |= {call(key, done): key for key in chosen}
        waiting = [key for key in waiting if key not in chosen]
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            name, seed = key = running.pop(future)
            done[key] = future.result()
            said = f"{name} seed {seed}: {done[key].run}, {done[key].seconds:.0f} s"
            print(f"[{len(done)}/{len(keys)}] {said}", file=sys.stderr, flush=True)
    return done


def submit(
    key: Key,
    done: Mapping[Key, Result],
    pool: ProcessPoolExecutor,
    common: Sequence[str],
    home: Path,
) -> Future[Result]:
    """Hand a job to a process."""
    job, seed = key
    ids = {need: done[need, seed].run for need in needs(job)}
    if job.endswith(CALIBRATED):
        return pool.submit(score_again, next(iter(ids.values())), home)
    plan = PLANS[job]
    named = Plan(tuple(text.format(**ids) for text in plan.settings), plan.preset, plan.needs)
    return pool.submit(work, named, [*common, f"training.seed={seed}"], home)


def rows(shown: Sequence[Shown], done: Mapping[Key, Result], seeds: Sequence[int]) -> list[Row]:
    """Gather each row's scores over the seeds."""
    found = []
    for row in shown:
        results = [done[row.job, seed] for seed in seeds]
        trained = done[row.job.removesuffix(CALIBRATED), seeds[0]].parameters
        columns = tuple(result.columns[row.detector] for result in results)
        count = trained.get(row.detector, trained["model"]) if row.weights else None
        found.append(Row(row.name, columns, count))
    return found


def machine(args: argparse.Namespace) -> dict[str, object]:
    """What the figures were printed on."""
    from importlib.metadata import version

    return {
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "workers": args.workers,
        "threads_each": 1,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", help="of every run, as section.field=value")
    parser.add_argument("--data", type=Path, help="folder of captures; else the embedded ones")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind, from seed 0")
    parser.add_argument("--epochs", type=int, help="of every run; else each one's default")
    parser.add_argument("--only", help=f"groups of rows, of {','.join(GROUPS)}")
    parser.add_argument("--home", type=Path, default=Path("benchmarks/results/can_models"))
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args()
    args.groups = args.only.split(",") if args.only else list(GROUPS)
    if wrong := [group for group in args.groups if group not in GROUPS]:
        parser.error(f"no group {', '.join(wrong)}; there are {', '.join(GROUPS)}")
    if args.seeds < 1 or args.workers < 1:
        parser.error("--seeds and --workers take at least 1")
    return args


def main() -> None:
    args = arguments()
    start, seeds = time.perf_counter(), range(args.seeds)
    common = ["training.accelerator=cpu", *args.settings]
    common += [f"data.root={args.data.resolve()}"] if args.data else []
    common += [f"training.max_epochs={args.epochs}"] if args.epochs else []
    shown = [row for name, group in GROUPS.items() if name in args.groups for row in group]
    keys = [(job, seed) for job in with_needs(row.job for row in shown) for seed in seeds]
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    head = {
        "machine": machine(args),
        "data": args.data.name if args.data else "embedded",
        "seeds": args.seeds,
        "epochs": args.epochs or "each preset's own",
        "settings": args.settings,
    }
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        call = partial(submit, pool=pool, common=common, home=args.home)
        done = run_all(keys, args.workers, call)
    found = rows(shown, done, seeds)
    pairs = against_none(found, PAIRS)
    seconds = {
        "this_time": time.perf_counter() - start,
        "of_all_jobs": sum(result.seconds for result in done.values()),
    }
    print(json.dumps(head["machine"]))
    said = f"Data: {head['data']}; seeds: {args.seeds}; epochs: {head['epochs']}"
    print(f"{said}; {' '.join(args.settings) or 'default settings'}.")
    print(
        f"{len(keys)} jobs of {seconds['of_all_jobs']:.0f} s together; "
        f"this time {seconds['this_time']:.0f} s."
    )
    print()
    print(markdown(found, pairs))
    asked = judged(found, GOALS) + [
        Target("parameters of the student", row.parameters, "≤", MOST_PARAMETERS)
        for row in found
        if row.name == "student, distilled" and row.parameters is not None
    ]
    print(targets_table(asked))
    tables = {
        "rows": [r.as_json() for r in found],
        "against_none": [p.as_json() for p in pairs],
    }
    conclude({**head, "seconds": seconds, **tables}, asked, args.json)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("interrupted; the same command goes on from here") from None
