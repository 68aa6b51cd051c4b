"""What a person sees of a study while it runs: a live table on terminals, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, Self

from rich.live import Live
from rich.markup import escape

from tutelage.cli.console import err, plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from tutelage.hpo.plan import StudyPlan
    from tutelage.hpo.results import TrialResult
    from tutelage.hpo.study import News

_ROWS: Final = 15
"""Newest ended trials that the live table has room for, beside those that run."""
_ENDED: Final = ("complete", "pruned", "failed")


class StudyView:
    """Shows trials as they move on; may be told from any thread.

    Args:
        plan: The study.
        quiet: Whether nothing is shown.
    """

    def __init__(self, plan: StudyPlan, quiet: bool) -> None:
        self._plan, self._quiet = plan, quiet
        self._trials: dict[int, News] = {}
        self._started = time.monotonic()
        self._lock = threading.Lock()
        drawn = err.is_terminal and not quiet
        self._live = Live(console=err, transient=True, refresh_per_second=4) if drawn else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, news: News) -> None:
        """Take a trial as it stands."""
        if self._quiet:
            return
        with self._lock:
            self._trials[news.trial.number] = news
            if self._live is not None:
                self._live.update(self._table())
            if news.trial.status in _ENDED:
                err.print(self._line(news.trial), highlight=False, soft_wrap=True)

    @property
    def _best(self) -> TrialResult | None:
        ended = [n.trial for n in self._trials.values() if n.trial.value is not None]
        sign = 1.0 if self._plan.direction == "maximize" else -1.0
        return max(ended, key=lambda t: (sign * (t.value or 0.0), -t.number), default=None)

    def _line(self, trial: TrialResult) -> str:
        """A trial that has ended, in one line."""
        ended = sum(news.trial.status in _ENDED for news in self._trials.values())
        count = escape(f"[{ended}/{self._plan.trials}]")
        params = _params(trial)
        outcome = _outcome(trial, self._plan.metric)
        return f"{count} trial {trial.number}: {outcome}" + (f" · {params}" if params else "")

    def _table(self) -> Table:
        """The trials that run, and the last ones that have ended."""
        told = [self._trials[number] for number in sorted(self._trials)]
        ended = [news for news in told if news.trial.status in _ENDED]
        shown = sorted(
            [*ended[-_ROWS:], *(news for news in told if news.trial.status not in _ENDED)],
            key=lambda news: news.trial.number,
        )
        best = self._best
        score = "none yet" if best is None else f"{best.value:.4g} (trial {best.number})"
        minutes = (time.monotonic() - self._started) / 60
        title = (
            f"{len(ended)} of {self._plan.trials} trials · best {self._plan.metric} {score} · "
            f"{minutes:.1f} min"
        )
        columns = ["trial", "status", "fold", "epoch", self._plan.metric, "settings"]
        table = plain_table(escape(title), columns, [self._row(news) for news in shown])
        table.columns[-1].justify = table.columns[1].justify = "left"
        return table

    def _row(self, news: News) -> list[str]:
        trial = news.trial
        running = trial.status == "running"
        fold = len(trial.folds) if trial.status in _ENDED else len(trial.folds) + 1
        value = news.value if running else trial.value
        return [
            str(trial.number),
            trial.status,
            f"{min(fold, self._plan.hpo.total_folds)}/{self._plan.hpo.total_folds}",
            str(news.epoch or "") if running else "",
            "" if value is None else f"{value:.4g}",
            _params(trial),
        ]


def _outcome(trial: TrialResult, metric: str) -> str:
    if trial.status == "complete":
        return f"{metric} [bold]{trial.value:.4g}[/]"
    if trial.status == "pruned":
        done = len(trial.folds)
        return f"pruned after fold {done}" if done else "pruned in fold 1"
    last = trial.failures[-1]
    return f"[yellow]failed ({last.kind})[/]: {escape(last.said.splitlines()[0])}"


def _params(trial: TrialResult) -> str:
    from tutelage.hpo.tables import short_names

    names = short_names(list(trial.params))
    values = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in trial.params.values()]
    return escape(" ".join(f"{n}={v}" for n, v in zip(names, values, strict=True)))
