"""How hard each sample is, by the model of a finished run; scored once."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from tutelage.core.config import RunConfig
from tutelage.core.errors import CheckpointError, ConfigError
from tutelage.core.files import digest_bytes, digest_json
from tutelage.core.fingerprint import source_digest
from tutelage.core.store import Run
from tutelage.task import Task
from tutelage.training.contracts import DifficultyScorer
from tutelage.training.curriculum import CurriculumData
from tutelage.training.model_card import read_card
from tutelage.training.restore import restore_module
from tutelage.training.tensorfile import open_tensors, raw_bytes, write_tensors

log = logging.getLogger(__name__)
_SCORES, _DIGEST = "scores", "digest"


class Guide:
    """A finished run whose model says how hard a sample is.

    It works on the CPU: its scores are few, and a batch-size probe needs the GPU untouched.

    Args:
        task: The run's task.
        run: The run.

    Raises:
        ConfigError: Its model can't say.
        CheckpointError: Its weights or card are missing, damaged or were changed.
    """

    def __init__(self, task: Task[RunConfig], run: Run) -> None:
        module = restore_module(task, run)
        if not isinstance(module, DifficultyScorer):
            raise ConfigError(
                f"this run's model ({run.record.model}) can't say how hard a sample is",
                where=f"mode.guide={run.id}",
                hint="Name a run of another model, or leave mode.guide out.",
            )
        self.run, self.module, self.card = run, module, read_card(run.path)
        self._source = source_digest(task.config_type.__module__)

    def scores(self, data: CurriculumData, places: Tensor, content: object, cache: Path) -> Tensor:
        """Return one score for each sample, (B,), larger is harder; from the cache where known.

        Args:
            data: Whose training samples are scored.
            places: (B,) int64, which of them.
            content: JSON value that is equal only for the same samples at the same places.
            cache: Folder for things that can be made again.
        """
        key = digest_json([self.card.model_dump(mode="json"), content, self._source])
        path = cache / "difficulty" / f"{key}.safetensors"
        if path.exists():
            try:
                return _read(path)
            except CheckpointError as error:
                log.warning("scored anew, since the cached scores are damaged: %s", error)
        with torch.inference_mode():
            batches = data.encoded_for(self.card.preprocessing, places)
            scores = torch.cat([self.module.difficulty_scores(batch).float() for batch in batches])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {_SCORES: scores}, {_DIGEST: digest_bytes(raw_bytes(scores))})
        return scores.clone()


def _read(path: Path) -> Tensor:
    with open_tensors(path) as reader:
        scores, said = reader.get_tensor(_SCORES).clone(), (reader.metadata() or {}).get(_DIGEST)
    if digest_bytes(raw_bytes(scores)) != said:
        raise CheckpointError("its content differs from its digest", where=path)
    return scores
