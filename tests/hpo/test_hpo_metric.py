"""What trials are compared by is checked against what runs tell."""

from pathlib import Path

import pytest
from inline_backend import Inline, study

from tutelage.core.errors import ConfigError
from tutelage.core.store import METRICS
from tutelage.hpo.epochs import read_epochs


def test_a_metric_that_no_epoch_tells_ends_the_study_after_the_first(tmp_path: Path) -> None:
    backend = Inline()
    said = r"model=classifier have no val/auroc.*\n.*hpo.metric=accuracy or hpo.metric=loss"
    with pytest.raises(ConfigError, match=said):
        study(tmp_path, "trials=3", "metric=auroc", backend=lambda: backend)
    (metrics,) = tmp_path.rglob(METRICS)
    assert len(backend.jobs) == 1 and len(read_epochs(metrics, "val/loss")) == 1
    assert study(tmp_path, "trials=1", "metric=val/loss").study.record.direction == "minimize"
