"""What a reader of a score has to know first: a rule without a model scores as well."""

from __future__ import annotations

from tutelage.core.records import Evaluation
from tutelage.training.optimization import direction


def no_better(evaluation: Evaluation, headline: str) -> tuple[str, ...]:
    """Say which baselines the model doesn't beat on the first test split; one sentence or none.

    Args:
        evaluation: Scores of the model and of the baselines.
        headline: The metric that the task shows first.
    """
    key = next((key for key in evaluation.metrics if key.partition("/")[2] == headline), None)
    if key is None:
        return ()
    value, sign = evaluation.metrics[key], -1 if direction(headline) == "min" else 1
    found = {name: scores[key] for name, scores in evaluation.baselines.items() if key in scores}
    names = [
        f"{name} ({score:.4f})" for name, score in found.items() if sign * (score - value) >= 0
    ]
    if not names:
        return ()
    split = key.partition("/")[0]
    return (f"{headline} of {value:.4f} on {split} is no better than that of {', '.join(names)}",)
