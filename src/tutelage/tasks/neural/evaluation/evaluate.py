"""Evaluate a model: every unit of every session, beside ceilings and baselines, with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tutelage.core.blocks import pack_blocks
from tutelage.core.records import Evaluation, Figure, Table
from tutelage.tasks.neural.config import NeuralEvaluation
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM
from tutelage.tasks.neural.data.split import TEST
from tutelage.tasks.neural.evaluation.baselines import baseline_predictions
from tutelage.tasks.neural.evaluation.fields import FieldShape
from tutelage.tasks.neural.evaluation.plots import (
    fields_of,
    kernels,
    receptive_fields,
    shapes,
    traces,
)
from tutelage.tasks.neural.evaluation.predictions import Predictions, predict
from tutelage.tasks.neural.evaluation.recovery import truth_tables
from tutelage.tasks.neural.evaluation.scores import (
    MODEL_FREE,
    UnitScores,
    corr_blocks,
    interval,
    score_units,
    summarise,
)
from tutelage.tasks.neural.evaluation.unit_table import unit_parquet
from tutelage.tasks.neural.rates import RateModel
from tutelage.tasks.neural.sessions.read import require_responses
from tutelage.tasks.neural.simulator import UnitTruth

MODEL = "model"
INTERVALS = ("corr", "corr_block_demeaned", "bps", "feve", "cc_norm")
UNITS = "units.parquet"


def evaluate(module: RateModel, data: MultiDatasetDM) -> Evaluation:
    """Score the test frames of every session.

    Keys are ``test/metric`` (the mean over a session's units, then over sessions) and
    ``test/session ID/metric``, of a fold ``held_out/metric``. The file `UNITS` holds every unit's
    scores.

    Raises:
        DataError: In a session nothing was recorded.
    """
    require_responses(data.sessions, data.config.data)
    module.eval()
    settings, split = data.config.evaluation, data.test_split
    scores: dict[str, list[UnitScores]] = defaultdict(list)
    drawn: list[Figure] = []
    for place in range(len(data.sessions)):
        predictions = predict(data, TEST, place, module.rates, module.device)
        said = {MODEL: predictions, **_baselines(data, place, predictions, settings)}
        for name, each in said.items():
            scores[name].append(score_units(each, settings))
        if place < settings.drawn_sessions:
            drawn += _figures(module, data, place, predictions, scores[MODEL][-1])
    flat = {name: _keyed(split, each, model_free=name == MODEL) for name, each in scores.items()}
    intervals = _intervals(scores, settings)
    for name, bounds in intervals.items():
        for metric, (low, high) in bounds.items():
            flat[name] |= {f"{split}/{metric}_low": low, f"{split}/{metric}_high": high}
    return Evaluation(
        metrics=flat.pop(MODEL),
        baselines=flat,
        tables=(
            _comparison(scores, intervals, settings),
            _sessions(scores),
            *_against_truth(module, data),
        ),
        figures=(*drawn, *_kernels(module)),
        files={UNITS: unit_parquet(scores), **pack_blocks(corr_blocks(split, scores[MODEL]))},
    )


def _figures(
    module: RateModel,
    data: MultiDatasetDM,
    place: int,
    predictions: Predictions,
    scores: UnitScores,
) -> Iterator[Figure]:
    yield traces(predictions, scores)
    truth = {unit.id: unit for unit in data.truth(place)}
    yield from receptive_fields(module, data, place, scores, truth)


def _kernels(module: RateModel) -> Iterator[Figure]:
    if (figure := kernels(module)) is not None:
        yield figure


def _against_truth(module: RateModel, data: MultiDatasetDM) -> Iterator[Table]:
    """Of simulated recordings: what the model's receptive fields say beside what is true."""
    found: dict[str, tuple[UnitTruth, FieldShape]] = {}
    for place in range(min(len(data.sessions), data.config.evaluation.drawn_sessions)):
        if truth := data.truth(place):
            fields = fields_of(module, data, place, range(len(truth)))
            name = data.sessions[place].id
            found |= {
                f"{name} {unit.id}": (unit, shape)
                for unit, shape in zip(truth, shapes(fields), strict=True)
                if shape is not None
            }
    yield from truth_tables(found)


def _baselines(
    data: MultiDatasetDM, place: int, predictions: Predictions, settings: NeuralEvaluation
) -> Mapping[str, Predictions]:
    return baseline_predictions(data, place, predictions) if settings.baselines else {}


def _keyed(split: str, sessions: Sequence[UnitScores], model_free: bool) -> dict[str, float]:
    """Return the means over everything and for each session."""
    found = {f"{split}/{name}": value for name, value in summarise(sessions).items()}
    if len(sessions) > 1:
        for each in sessions:
            prefix = f"{split}/session {each.session}"
            found |= {f"{prefix}/{name}": value for name, value in summarise([each]).items()}
    if model_free:
        return found
    return {key: value for key, value in found.items() if key.split("/")[-1] not in MODEL_FREE}


def _intervals(
    scores: Mapping[str, Sequence[UnitScores]], settings: NeuralEvaluation
) -> dict[str, dict[str, tuple[float, float]]]:
    found: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in scores}
    for name, sessions in scores.items():
        for metric in INTERVALS:
            bounds = interval(sessions, metric, settings.bootstrap, settings.confidence)
            if bounds is not None:
                found[name][metric] = bounds
    return found


def _comparison(
    scores: Mapping[str, Sequence[UnitScores]],
    intervals: Mapping[str, Mapping[str, tuple[float, float]]],
    settings: NeuralEvaluation,
) -> Table:
    """A row for the model and each baseline: the means, with their intervals."""
    means = {name: summarise(sessions) for name, sessions in scores.items()}
    shown = [metric for metric in INTERVALS if metric in means[MODEL]]
    rows = [
        (name, *(_with_interval(mean.get(m), intervals[name].get(m)) for m in shown))
        for name, mean in means.items()
    ]
    count = sum(len(each.unit_ids) for each in scores[MODEL])
    note = (
        f"Means over units, then sessions ({count} units, {len(scores[MODEL])} sessions); in "
        f"brackets the {settings.confidence:.0%} bootstrap interval over sessions and units."
    )
    return Table(title="Model and baselines", columns=("", *shown), rows=tuple(rows), note=note)


def _with_interval(value: float | None, bounds: tuple[float, float] | None) -> str | None:
    if value is None:
        return None
    return f"{value:.3f}" + (f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else "")


def _sessions(scores: Mapping[str, Sequence[UnitScores]]) -> Table:
    """A row for each session: the model's means, the baselines' correlations, the ceilings."""
    others = [name for name in scores if name != MODEL and name != "mean_rate"]
    metrics = ("corr", "corr_block_demeaned", "bps", "feve", "cc_norm", "oracle")
    rows = []
    for place, mine in enumerate(scores[MODEL]):
        means = summarise([mine])
        beside = (summarise([scores[name][place]]).get("corr") for name in others)
        values = (*(means.get(metric) for metric in metrics), *beside)
        rows.append((mine.session, mine.animal, len(mine.unit_ids), *map(_rounded, values)))
    columns = ("session", "animal", "units", *metrics, *(f"corr {name}" for name in others))
    return Table(title="Sessions", columns=columns, rows=tuple(rows))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
