"""What a mode gains: runs beside the same without it, and fusions beside their best expert."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tutelage.core.records import Table
from tutelage.core.store import Run
from tutelage.report.seeds import SEED, Interval, interval
from tutelage.report.settings import Flat, settings_of
from tutelage.report.tables import headline_of, splits_of

PLAIN = "normal"
EXPERT = "expert_"
"""What an expert's name begins with among the baselines of a fusion."""
Gains = dict[tuple[str, str, str], list[float]]


def mode_table(runs: Sequence[Run]) -> Table | None:
    """What each mode gains over none, in the headline metric, split by split; null without a pair.

    A run of another mode is set against the run of mode *normal* with the same data, seed and
    settings of the model, where that is among ``runs``. A fusion is set against the best of its
    experts, which its own record has.
    """
    settings = [settings_of(run) for run in runs]
    plain = {_key(run, flat): run for run, flat in zip(runs, settings, strict=True)
             if run.record.mode == PLAIN}  # fmt: skip
    gains: Gains = defaultdict(list)
    for run, flat in zip(runs, settings, strict=True):
        if run.record.mode == PLAIN:
            continue
        name = f"{run.record.model}, mode {run.record.mode}"
        headline = headline_of(run.record)
        other = plain.get(_key(run, flat))
        for split in splits_of(run.record):
            key = f"{split}/{headline}"
            mine = run.metrics.get(key)
            if mine is None:
                continue
            if other is not None and key in other.metrics:
                gains[name, f"mode {PLAIN}", split].append(mine - other.metrics[key])
            if experts := _experts(run.baselines, key):
                gains[name, "its best expert", split].append(mine - max(experts))
    if not gains:
        return None
    found = {key: interval(values) for key, values in gains.items()}
    rows = tuple(
        (*key, one.mean, one.half_width, one.n, verdict(one)) for key, one in found.items()
    )
    return Table(
        title="What a mode gains",
        columns=("run", "against", "test split", "gain", "±", "n", ""),
        rows=rows,
        note="Difference of the headline metric, as the mean over n seeds with the half width of "
        "its 95 % confidence interval. Of one seed it says nothing beyond that seed. The best "
        "expert is the best on that very split, which nobody knows beforehand.",
    )


def verdict(gain: Interval) -> str:
    """Say whether a mode helps: beyond chance where there are several seeds."""
    if gain.mean <= 0 and (gain.half_width is None or gain.mean >= -gain.half_width):
        return "does not help"
    if gain.half_width is None:
        return "better by this seed"
    if abs(gain.mean) <= gain.half_width:
        return "does not help beyond chance"
    return "helps" if gain.mean > 0 else "hurts"


def _experts(baselines: Mapping[str, Mapping[str, float]], key: str) -> list[float]:
    columns = (column for name, column in baselines.items() if name.startswith(EXPERT))
    return [column[key] for column in columns if key in column]


def _key(run: Run, settings: Flat) -> tuple[object, ...]:
    """What must be the same in a run and in the one that it is set against."""
    model = tuple((k, str(v)) for k, v in sorted(settings.items()) if k.startswith("model."))
    return run.record.task, run.record.fingerprints.data, settings.get(SEED), model
