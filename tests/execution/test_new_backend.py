"""The place of the how-to page runs trainings as those that ship do: same bits, same limits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from trials import PLAN, Trials, gone, install, tree

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from new_backend import PrefixedBackend  # noqa: E402
from tutelage.core.errors import RequestError  # noqa: E402
from tutelage.core.execution import SubprocessExecution  # noqa: E402
from tutelage.core.store import WEIGHTS  # noqa: E402
from tutelage.execution.backends import open_backend  # noqa: E402
from tutelage.execution.settle import settle  # noqa: E402

pytestmark = pytest.mark.system
SETTINGS = SubprocessExecution(environment=(PLAN,))


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trials]:
    install(monkeypatch)
    monkeypatch.setenv(PLAN, str(tmp_path / "plan.json"))
    yield Trials(tmp_path)


def test_a_job_behind_a_command_has_the_bits_of_one_without(trials: Trials) -> None:
    with open_backend(SETTINGS) as plain, PrefixedBackend(("nice", "-n", "5"), SETTINGS) as place:
        one, other = (settle(at.run(trials.job())) for at in (plain, place))
    assert one.record.artifacts[WEIGHTS].digest == other.record.artifacts[WEIGHTS].digest


def test_a_hung_job_is_ended_with_the_command_it_stands_behind(trials: Trials) -> None:
    where = trials.tell("hang")
    job = trials.job(stop=where.exists)
    with PrefixedBackend(("nice", "-n", "5"), SETTINGS) as place:
        outcome = place.run(job)
    _, *pids = tree(where, job)
    assert outcome.ended.reason == "stopped" and gone(*pids)


def test_a_command_that_is_not_there_is_named(trials: Trials) -> None:
    with (
        PrefixedBackend(("no-such-command",), SETTINGS) as place,
        pytest.raises(RequestError, match="no-such-command"),
    ):
        place.run(trials.job())
