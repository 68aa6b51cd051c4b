"""Files of older schemas are brought to the present one; newer ones are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from made_runs import make_run
from tutelage.core.errors import StoreError
from tutelage.core.migrations import RECORD_MIGRATIONS, migrate, migrate_config
from tutelage.core.records import Parent
from tutelage.core.store import RECORD, RunStore

WHERE = Path("config.json")


def test_the_content_given_is_not_changed() -> None:
    old = {"schema_version": 1, "training": {"lr": 1.0}}
    assert migrate_config(old, WHERE)["training"] == {"learning_rate": 1.0}
    assert old == {"schema_version": 1, "training": {"lr": 1.0}}


def test_a_record_of_the_first_schema_is_read(tmp_path: Path) -> None:
    run = make_run(RunStore(tmp_path))
    content = run.record.model_dump(mode="json")
    status = content.pop("status")
    old = content | {"schema_version": 1, "state": status, "parents": ["earlier"]}
    (run.path / RECORD).write_text(json.dumps(old))
    assert run.record.status == "created"
    assert run.record.parents == (Parent(run="earlier", role="weights"),)


def test_a_newer_record_names_the_version_that_reads_it(tmp_path: Path) -> None:
    run = make_run(RunStore(tmp_path))
    content = run.record.model_dump(mode="json")
    content["schema_version"] = 3
    content["environment"]["tutelage"] = "9.1"
    (run.path / RECORD).write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"schema version 3.*\n.*tutelage 9\.1"):
        _ = run.record


@pytest.mark.parametrize("version", [0, -1, "2", True, None, 1.0])
def test_a_version_that_is_none_is_refused(version: object) -> None:
    with pytest.raises(StoreError, match="is no version"):
        migrate({"schema_version": version}, RECORD_MIGRATIONS, 2, WHERE)
