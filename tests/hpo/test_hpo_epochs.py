"""Epochs read from a metrics file that another process is writing."""

from __future__ import annotations

from pathlib import Path

from tutelage.hpo.epochs import Epoch, read_epochs

HEAD = "epoch,step,metric,value,seconds\n"


def rows(epoch: int, value: float | str, loss: float | str = 0.5) -> str:
    return (
        f"{epoch},{5 * epoch},train/loss,0.7,0.1\n"
        f"{epoch},{5 * epoch},val/loss,{loss},0.1\n"
        f"{epoch},{5 * epoch},val/f1,{value},0.1\n"
        f"{epoch},{5 * epoch},epoch/loss,0.6,0.1\n"
        f"{epoch},{5 * epoch},learning_rate,0.001,0.1\n"
    )


def read(tmp_path: Path, text: str) -> tuple[Epoch, ...]:
    path = tmp_path / "metrics.csv"
    path.write_text(text)
    return read_epochs(path, "val/f1")


def test_epochs_come_in_order_and_only_when_they_have_ended(tmp_path: Path) -> None:
    whole = HEAD + rows(0, 0.25) + rows(1, 0.5)
    assert read(tmp_path, whole) == (Epoch(0.25), Epoch(0.5))
    for cut in range(len(HEAD + rows(0, 0.25)), len(whole)):
        assert read(tmp_path, whole[:cut]) == (Epoch(0.25),)
    assert read(tmp_path, HEAD + rows(1, 0.5)) == ()


def test_a_file_that_is_not_there_or_just_begun_has_no_epochs(tmp_path: Path) -> None:
    assert read_epochs(tmp_path / "metrics.csv", "val/f1") == ()
    assert read(tmp_path, "") == read(tmp_path, HEAD[:7]) == read(tmp_path, HEAD) == ()


def test_a_loss_that_is_no_number_says_so_and_an_undefined_metric_does_not(tmp_path: Path) -> None:
    ill, undefined = read(tmp_path, HEAD + rows(0, 0.1, loss="nan") + rows(1, "nan"))
    assert ill == Epoch(0.1, "val/loss is nan")
    assert undefined == Epoch(None)
