"""`tutelage losses` lists every loss with a line, a formula and a paper."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from tutelage.cli import losses
from tutelage.core.errors import UnknownNameError
from tutelage.losses import LOSSES


@pytest.fixture
def tutelage() -> Callable[..., str]:
    app = typer.Typer()
    losses.register(app)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return call


def test_every_loss_is_listed_once_with_formula_and_paper(tutelage: Callable[..., str]) -> None:
    listed = json.loads(tutelage("--json"))["losses"]
    assert set(listed) == {LOSSES.get(name).name for name in LOSSES}
    assert listed["nt_xent"]["aliases"] == ["simclr"]
    assert listed["moco"]["options"]["embedding_dim"] == "required"
    table = tutelage()
    assert all(loss["paper"] in table for loss in listed.values())
    assert "nt_xent = simclr" in table


def test_one_loss_is_shown_with_its_options(tutelage: Callable[..., str]) -> None:
    shown = tutelage("simclr")
    assert "nt_xent = simclr (contrastive)" in shown
    assert "https://arxiv.org/abs/2002.05709" in shown
    assert "temperature: T at the beginning." in shown and "temperature=0.1" in shown
    assert list(json.loads(tutelage("simclr", "--json"))["losses"]) == ["nt_xent"]


def test_an_unknown_loss_is_refused_with_the_nearest(tutelage: Callable[..., str]) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'vicreg'"):
        tutelage("vicregg")
