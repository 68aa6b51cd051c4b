"""What reads an input, reader by reader: the functions that the commands call, and what follows."""

from __future__ import annotations

import json
import zlib
from functools import cache, partial
from pathlib import Path
from typing import Any

from tutelage.core.config import RunConfig
from tutelage.core.errors import CheckpointError, DataError
from tutelage.task import Task


def _one_of(path: Path, many: int) -> bool:
    """Whether an input is one of the share that a slow step behind the reader gets."""
    return zlib.crc32(path.read_bytes()) % many == 0


def can_capture(path: Path) -> None:
    from tutelage.tasks.can.ingest import read_frames

    read_frames(path)


def road(path: Path) -> None:
    from tutelage.tasks.can.ingest import read_frames

    read_frames(path.with_name("capture.log"))


def can_watched(path: Path) -> None:
    """Read a log as `tutelage watch` does."""
    from tutelage.tasks.can.live.sources import LogSource

    source = LogSource(path)
    try:
        while source.take(1, 1000) is not None:
            pass
    finally:
        source.close()


def texts(path: Path) -> None:
    from tutelage.tasks.ner.config import NERData
    from tutelage.tasks.ner.sets import read_set

    read_set(NERData(bad_share=1.0), path)


def arrow_folder(path: Path) -> None:
    texts(path.parent)


def encoder_folder(path: Path) -> None:
    from tutelage.tasks.ner.models.encoder import PretrainedEncoder
    from tutelage.tasks.ner.models.folder import check_length, read_folder

    folder = read_folder(path.parent)
    check_length(folder, 64)
    PretrainedEncoder(folder.config)


def tokenizer(path: Path) -> None:
    from tutelage.tasks.ner.models.folder import read_folder
    from tutelage.tasks.ner.tokens.subwords import SubwordCoder

    folder = read_folder(path.parent)
    SubwordCoder(folder.tokenizer, folder.pad).pieces(["Anna", "b"], 8)


def session(path: Path) -> None:
    from tutelage.core.apart import apart
    from tutelage.tasks.neural.config import NeuralData
    from tutelage.tasks.neural.sessions.recording import checked
    from tutelage.tasks.neural.sessions.sources import find_sources

    data = NeuralData(root=path)
    for source in find_sources(data):
        source.digest()
        read = partial(lambda each: checked(each.read(), data), source)
        read() if source.foreign is None else apart(read, source.foreign)


def picture(path: Path) -> None:
    from tutelage.tasks.multimodal.data.decode import decode_entry
    from tutelage.tasks.multimodal.data.entries import Entry

    found = decode_entry(Entry(path.name, path, ()), 16, "crop")
    if isinstance(found, str):
        raise DataError(found)


def captions(path: Path) -> None:
    from tutelage.tasks.multimodal.data.decode import decode_entry
    from tutelage.tasks.multimodal.data.entries import read_entries

    for entry in read_entries((path,), {}):
        decode_entry(entry, 16, "pad")


def shard(path: Path) -> None:
    captions(path)


def override(path: Path) -> None:
    from tutelage.core.overrides import build_config, parse_override
    from tutelage.tasks.can.config import CANConfig

    text = path.read_bytes().decode("utf-8", "surrogateescape").replace("\0", "")
    parse_override(text)
    build_config(CANConfig, [], [text])


def settings(path: Path) -> None:
    from tutelage.core.overrides import build_config, read_config_file
    from tutelage.tasks.can.config import CANConfig

    config = build_config(CANConfig, [read_config_file(path)], where=path)
    config.model_dump_json()


def recipe(path: Path) -> None:
    from tutelage.core.store import RunStore
    from tutelage.training.planning import find_recipe, plan

    found = find_recipe(str(path))
    if _one_of(path, 4):
        plan(found, RunStore(path.parent / "home"), (), {})


def space(path: Path) -> None:
    from tutelage.hpo.space import check_space, read_space
    from tutelage.task import load_task
    from tutelage.tasks.can.config import CANConfig

    task: Any = load_task("can")
    found = read_space(str(path), task)
    if _one_of(path, 8):
        check_space(found, task, CANConfig())


def study_settings(path: Path) -> None:
    from tutelage.hpo.config import read_hpo_config

    read_hpo_config(file=path)


def split(path: Path) -> None:
    from tutelage.core.folds import Split, read_split

    if _one_of(path, 2):
        _seal_split(path, Split)
    read_split(path)


def _seal_split(path: Path, kind: Any) -> None:
    """Give a changed split the digest that it should have, so that more is read than that."""
    try:
        content = json.loads(path.read_bytes())
        content.pop("digest", None)
        sealed = content | {"digest": kind.model_validate(content).digest}
        path.write_text(json.dumps(sealed))
    except (ValueError, AttributeError, TypeError, RecursionError, DataError):
        return


def run_config(path: Path) -> None:
    """Read a run's configuration as whoever applies the run does."""
    from tutelage.core.migrations import migrate_config
    from tutelage.core.overrides import build_config
    from tutelage.core.store import Run
    from tutelage.tasks.can.config import CANConfig

    run = Run(path.parent)
    config = build_config(CANConfig, [migrate_config(run.settings, path)], where=path)
    config.named_runs()
    _ = run.how_to_go_on


def record(path: Path) -> None:
    """Read a record, show it, and look at the files that it names."""
    from tutelage.cli.console import render
    from tutelage.core.store import Run

    run = Run(path.parent)
    found = run.record
    found.named_hashes()
    json.dumps(found.summary(path.parent))
    for table in found.tables:
        render(table)
    run.verify_artifacts()


def inputs(path: Path) -> None:
    from tutelage.core.inputs import read_inputs
    from tutelage.final.checks import Digests

    found, digests = read_inputs(path), Digests()
    if found is not None:
        below = found.model_copy(update={"elsewhere": {}})  # those are named by their whole path
        for place, digest in below.places(path.parent):
            digests.compare(place, digest)


def metrics(path: Path) -> None:
    from tutelage.core.store import Run
    from tutelage.hpo.epochs import metrics_of_epochs, read_epochs
    from tutelage.report.curves import curves_of

    curves_of(Run(path.parent))
    read_epochs(path, "val/loss")
    metrics_of_epochs(path)


def manifest(path: Path) -> None:
    from tutelage.core.store import Run
    from tutelage.final.manifest import read_exports

    read_exports(Run(path.parent))


def result(path: Path) -> None:
    from tutelage.execution.result import read_result

    found = read_result(path)
    if found.error is not None:
        found.raisable()


def study_record(path: Path) -> None:
    from tutelage.core.store import RunStore
    from tutelage.hpo.results import StudyFolder
    from tutelage.tracking.folders import Folders

    Folders(RunStore(path.parents[2])).studies()
    _ = StudyFolder(path.parent).record


def study_trials(path: Path) -> None:
    from tutelage.hpo.results import StudyFolder

    for trial in StudyFolder(path.parent).trials:
        _ = trial.seconds


def journal(path: Path) -> None:
    from tutelage.hpo.ledger import Ledger, labels, open_storage, result_of

    storage = open_storage("journal", path.parent)
    ledger = Ledger(storage, "study", "maximize")
    for trial in ledger.trials():
        labels(trial)
        result_of(trial)


def weights(path: Path) -> None:
    from tutelage.training.tensorfile import open_tensors

    with open_tensors(path) as reader:
        for name in reader.keys():  # noqa: SIM118
            reader.get_tensor(name)


def weights_compared(path: Path) -> None:
    from tutelage.final.weights import compare_weights

    compare_weights(path, path.with_name("other.safetensors"))


def checkpoint(path: Path) -> None:
    from tutelage.training.state import load_tree

    load_tree(path)


def marker(path: Path) -> None:
    from tutelage.training.checkpoint_files import check

    status = check(path.with_suffix(".safetensors"))
    if status.problem:
        raise CheckpointError(status.problem)


def card(path: Path) -> None:
    from tutelage.training.model_card import read_card

    read_card(path.parent)


_BUILT: set[str] = set()
"""Tasks of which a model was built, so that what it imports is there."""


def _learned(path: Path, name: str, kind: Any, *overrides: str) -> None:
    """Read a card's preprocessing; of the first and of some, build the model that it asks for."""
    from tutelage.training.model_card import read_preprocessing

    task, config = _configured(name, *overrides)
    learned = read_preprocessing(path.parent, task)
    kind.from_json(learned)
    if name not in _BUILT or _one_of(path, 8):
        _BUILT.add(name)
        task.build(config, learned)


@cache
def _configured(name: str, *overrides: str) -> tuple[Task[RunConfig], RunConfig]:
    from tutelage import api

    return api.configure(name, overrides)


def can_card(path: Path) -> None:
    from tutelage.tasks.can.preprocessing import Preprocessing

    _learned(path, "can", Preprocessing, "model.layers=1", "model.hidden=4", "model.heads=2")


def ner_card(path: Path) -> None:
    from tutelage.tasks.ner.preprocessing import Preprocessing

    _learned(path, "ner", Preprocessing, "model.hidden=4")


def neural_card(path: Path) -> None:
    from tutelage.tasks.neural.preprocessing import Preprocessing

    _learned(path, "neural", Preprocessing)


def multimodal_card(path: Path) -> None:
    from tutelage.tasks.multimodal.preprocessing import Preprocessing

    _learned(path, "multimodal", Preprocessing)


def export_card(path: Path) -> None:
    from tutelage.training.export.runtime import read_exported

    read_exported(path.with_suffix(""))
