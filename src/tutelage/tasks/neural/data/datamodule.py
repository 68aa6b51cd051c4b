"""`MultiDatasetDM`: recordings in, batches of contiguous stretches out, honestly split."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tutelage.core.errors import ConfigError, DataError
from tutelage.core.folds import HELD_OUT
from tutelage.core.records import AuditStamp
from tutelage.tasks.neural.batch import NeuralBatch, SessionChunk
from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.alignment import aligned
from tutelage.tasks.neural.data.chunks import ChunkTable, chunk_table, cut_chunk
from tutelage.tasks.neural.data.folds import Digests, fold_parts, unit_name
from tutelage.tasks.neural.data.learning import learn, part_digest
from tutelage.tasks.neural.data.orders import batch_order, loss_weights
from tutelage.tasks.neural.data.sampling import ByDatasetBatchSampler, GlobalBatches
from tutelage.tasks.neural.data.split import TEST, TRAIN, VALIDATION, split_sessions
from tutelage.tasks.neural.preprocessing import Preprocessing
from tutelage.tasks.neural.sessions import Session
from tutelage.tasks.neural.sessions.read import (
    chosen,
    read_sessions,
    require_responses,
    simulation_settings,
)
from tutelage.tasks.neural.sessions.session import Ints
from tutelage.tasks.neural.simulator import UnitTruth, session_names, simulated_truth
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.samplers import ListedBatches

_log = logging.getLogger(__name__)

EVALUATION_BATCH = {True: 256, False: 8}
"""Images, or stretches of a movie, that are evaluated at once."""


class MultiDatasetDM(TaskData):
    """The recordings of one run.

    Args:
        config: The whole run.
        cache: Folder of parsed recordings.
        preprocessing: What an earlier run learned; without it, it is learned from these data.
    """

    def __init__(
        self,
        config: NeuralConfig,
        cache: Path,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        self.config, self.cache = config, cache
        self._given = preprocessing
        self._findings: list[str] = []
        self._leaks: list[str] = []
        self._digests: Mapping[str, Digests] = {}
        self._ready = False
        self.batch_size = 64

    def setup(self, stage: str) -> None:
        """Read, split (``predict``: all rows test), learn the preprocessing, cut the stretches."""
        if self._ready:
            return
        data = self.config.data
        every = read_sessions(data, self.cache)
        if self._given is None:
            require_responses(every, data)
        wanted = chosen(every, data)
        whole = stage == "predict"
        parts = [*map(_tested, every)] if whole else self._parts_of(every, wanted)
        pairs = [
            pair for pair, use in zip(zip(every, parts, strict=True), wanted, strict=True) if use
        ]
        if self._given is not None:
            if not whole:
                self._compare(pairs, self._given)
            pairs = self._aligned(pairs, self._given)
        self.sessions: Sequence[Session] = [session for session, _ in pairs]
        self.parts: Sequence[Ints] = [part for _, part in pairs]
        self.static = self._one_kind()
        self.learned = self._given or learn(self.sessions, self.parts)
        self.tables = self._tables()
        self._log_embargo()
        self._ready = True

    def _parts_of(self, sessions: Sequence[Session], wanted: Sequence[bool]) -> list[Ints]:
        """Split the sessions, or take a fold out of what would train or validate.

        Where nothing was recorded, all is there to be predicted: it tests.
        """
        data = self.config.data
        if data.fold is None:
            recorded = [session for session in sessions if session.units]
            split = iter(split_sessions(recorded, data.split, data.train_rows))
            return [next(split) if s.units else _tested(s) for s in sessions]
        parts, digests = fold_parts(sessions, wanted, data)
        self._digests = {s.id: each for s, each in zip(sessions, digests, strict=True)}
        return parts

    def _tables(self) -> dict[int, ChunkTable]:
        """Cut the stretches of each part; those that a fold holds out validate and test."""
        fold = self.config.data.fold
        if fold is None:
            return {part: self._table(part) for part in (TRAIN, VALIDATION, TEST)}
        if fold == "all":
            return {part: self._table(part) for part in (TRAIN, TEST)}
        held = self._table(VALIDATION)
        return {TRAIN: self._table(TRAIN), VALIDATION: held, TEST: held}

    # ---- what sessions there are

    def _one_kind(self) -> bool:
        """Return whether the stimuli are images.

        Raises:
            DataError: Some are and some aren't.
        """
        kinds = {session.static for session in self.sessions}
        if len(kinds) > 1:
            images = next(session.id for session in self.sessions if session.static)
            raise DataError(
                f"session {images} shows images, others movies",
                where=self.config.data.root,
                hint="Train them apart: name those of one kind with data.only.",
            )
        return kinds.pop()

    def _aligned(
        self, pairs: Sequence[tuple[Session, Ints]], learned: Preprocessing
    ) -> list[tuple[Session, Ints]]:
        """Bring sessions into the shape that a model knows; leave out those that it doesn't."""
        kept = []
        for session, part in pairs:
            card = learned.sessions.get(session.id)
            if card is None:
                self._note(f"session {session.id} left out: the model has no readout for it")
                continue
            matched, notes = aligned(session, card)
            for note in notes:
                self._note(note)
            kept.append((matched, part))
        if not kept:
            raise DataError(
                f"the model has no readout for {', '.join(s.id for s, _ in pairs)}",
                where=self.config.data.root,
                hint=f"It knows {', '.join(learned.sessions)}: a file of such a name, or that "
                "says so (`animal`, `session`), is of that one. Train readouts for others with "
                "model.core_from.",
            )
        return kept

    def _compare(self, pairs: Sequence[tuple[Session, Ints]], learned: Preprocessing) -> None:
        """Note the sessions whose test rows the model was trained on."""
        for session, part in pairs:
            before = learned.trained_on.get(session.id)
            if session.units and before is not None and before != part_digest(part):
                self._leaks.append(
                    f"session {session.id} was split in another way when the model was trained: "
                    "its scores may be of rows that it was trained on"
                )

    def _log_embargo(self) -> None:
        for session, part in zip(self.sessions, self.parts, strict=True):
            if (left := int((part < 0).sum())) and not session.static:
                _log.info("session %s: %d frames left out by the embargo", session.id, left)

    def _note(self, finding: str) -> None:
        self._findings.append(finding)
        _log.info(finding)

    # ---- stretches and batches

    @property
    def context(self) -> int:
        """C, frames of history that the model takes; 0 for images."""
        return 0 if self.static else self.config.model.context

    def _table(self, part: int) -> ChunkTable:
        table = chunk_table(
            self.sessions, self.parts, part, self.context, self.config.data.chunk_frames
        )
        empty = [
            session.id
            for place, (session, parts) in enumerate(zip(self.sessions, self.parts, strict=True))
            if part in parts and not (table.session == place).any()
        ]
        if empty:
            raise ConfigError(
                f"session {empty[0]} has no stretch of more than {self.context} frames",
                where="data.split",
                hint="Use a model with a shorter history, or longer data.split.block_seconds.",
            )
        return table

    def batch_order(self) -> GlobalBatches:
        """Which stretches form the batches of each epoch."""
        process = (self.rank, self.world_size)
        return batch_order(self.config, self.sessions, self.tables[TRAIN], self.batch_size, process)

    def train_dataloader(self) -> ResumableLoader[NeuralBatch]:
        """Shuffled stretches, in the batches that `batch_order` makes of them."""
        order = self.batch_order()
        table, weights = order.table, loss_weights(self.config, self.sessions, order)

        def fetch(batch: Tensor) -> NeuralBatch:
            mine = order.shard(batch)
            if len(mine):
                return self.batch(table, mine, weights)
            return self.idle(table, batch[:1])  # too few to share

        return ResumableLoader(fetch, order, prefetch=1)

    def batch(
        self, table: ChunkTable, places: Tensor, weights: Sequence[float] | None = None
    ) -> NeuralBatch:
        """Return stretches as a batch, a part for each session.

        Args:
            table: The stretches of a part.
            places: (B,) int64, which, in order of session.
            weights: Of each session's loss; null for 1.
        """
        session = torch.from_numpy(table.session)[places]
        which, counts = torch.unique_consecutive(session, return_counts=True)
        groups = zip(which.tolist(), torch.split(places, counts.tolist()), strict=True)
        return NeuralBatch(
            tuple(
                self.chunk(table, group, 1.0 if weights is None else weights[place])
                for place, group in groups
            )
        )

    def chunk(self, table: ChunkTable, places: Tensor, weight: float = 1.0) -> SessionChunk:
        """Return stretches of one session.

        Args:
            table: The stretches of a part.
            places: (B,) int64, which.
            weight: Of the session's loss.
        """
        session = self.sessions[int(table.session[places[0]])]
        return cut_chunk(session, self.learned.sessions[session.id], table, places, weight)

    def evaluation_loader(self, part: int, session: int | None = None) -> EvalLoader[NeuralBatch]:
        """Return the stretches of a part in their order, of one session or of all.

        Args:
            part: `TRAIN`, `VALIDATION` or `TEST`.
            session: The place of a session.
        """
        table = self.tables[part]
        order = ByDatasetBatchSampler(table, EVALUATION_BATCH[self.static], 0, shuffle=False)
        batches = [
            batch
            for batch in order.batches(0)
            if session is None or int(table.session[batch[0]]) == session
        ]
        return EvalLoader(
            lambda places: NeuralBatch((self.chunk(table, places),)), ListedBatches(batches)
        )

    def stops(self, part: int, session: int, starts: Tensor) -> Ints:
        """Return one past the last frame that counts, of stretches given by their first frames.

        Args:
            part: Which part of the split.
            session: The place of the session.
            starts: (B,) int64.
        """
        table = self.tables[part]
        mine = np.flatnonzero(table.session == session)
        places = mine[np.searchsorted(table.start[mine], starts.numpy())]
        return table.stop[places]

    def truth(self, session: int) -> tuple[UnitTruth, ...]:
        """Return what is true of a simulated session's units; empty of recorded ones.

        Args:
            session: Its place.
        """
        if self.config.data.root is not None:
            return ()
        settings = simulation_settings(self.config.data)
        names = session_names(self.config.data.simulated_sessions)
        return simulated_truth(settings, names.index(self.sessions[session].id))

    def idle(self, table: ChunkTable, place: Tensor) -> NeuralBatch:
        """Return no stretch at all, for a process that has none of its own.

        Not even its stimuli may count: the core's norms take their moments of all processes.

        Args:
            table: The stretches of a part.
            place: (1,) int64, one whose session has a head.
        """
        return NeuralBatch((self.chunk(table, place).none(),))

    def val_dataloader(self) -> EvalLoader[NeuralBatch]:
        """This process's share of the validation stretches, in order; all have as many batches."""
        table, size = self.tables[VALIDATION], EVALUATION_BATCH[self.static]
        every = ByDatasetBatchSampler(table, size, 0, shuffle=False).batches(0)
        mine = list(every[self.rank :: self.world_size])
        missing = -(-len(every) // self.world_size) - len(mine)
        mine += [-1 - every[0][:1]] * missing  # below 0: idle

        def fetch(places: Tensor) -> NeuralBatch:
            if int(places[0]) < 0:
                return self.idle(table, -1 - places)
            return NeuralBatch((self.chunk(table, places),))

        return EvalLoader(fetch, ListedBatches(mine))

    def test_loaders(self) -> Mapping[str, EvalLoader[NeuralBatch]]:
        """All test stretches, in order."""
        return {self.test_split: self.evaluation_loader(TEST)}

    @property
    def test_split(self) -> str:
        """Name of the split that is scored."""
        return HELD_OUT if isinstance(self.config.data.fold, int) else "test"

    def predicted_units(self) -> tuple[str, ...]:
        """Return the unit of each frame that is predicted of each session, in order."""
        table, names = self.tables[TEST], []
        for place, session in enumerate(self.sessions):
            mine = table.session == place
            change = np.zeros(len(session) + 1, np.int64)
            np.add.at(change, table.start[mine], 1)
            np.add.at(change, table.stop[mine], -1)
            names += self._digests[session.id][np.cumsum(change)[:-1] > 0].tolist()
        return tuple(map(unit_name, names))

    # ---- what the core asks

    @property
    def preprocessing(self) -> Mapping[str, object]:
        """Sessions, units, rates and scales, as JSON values."""
        return self.learned.to_json()

    @property
    def audit(self) -> AuditStamp:
        """Whether training and test data are apart, and what had to be done for it."""
        findings = (*self._leaks, *self._findings)
        verdict = "leaking" if self._leaks else "warnings" if findings else "clean"
        return AuditStamp(verdict=verdict, findings=findings)

    def fit_module(self, module: TaskModule) -> None:
        """Give the module the scale of the stimuli and the units' mean rates."""
        from tutelage.tasks.neural.modules import NeuralModule

        assert isinstance(module, NeuralModule)
        module.set_statistics(self.learned)

    def batch_of_size(self, size: int) -> NeuralBatch:
        """Stretches of the session whose stretch holds the most numbers, repeated as needed.

        Where sessions share stimuli, those of every session, as if they all showed the same.
        """
        table = self.tables[TRAIN]
        if self.config.data.batches == "shared":
            every = range(len(self.sessions))
            parts = (self.chunk(table, self._some(place, size)) for place in every)
            shown = torch.arange(size)
            return NeuralBatch(tuple(replace(part, shown=shown) for part in parts))
        cost = [
            frames * (session.units + session.stimulus[0].size)
            for session, frames in zip(self.sessions, table.frames, strict=True)
        ]
        return NeuralBatch((self.chunk(table, self._some(int(np.argmax(cost)), size)),))

    def _some(self, session: int, size: int) -> Tensor:
        """Return so many training stretches of a session, repeated as needed."""
        members = np.flatnonzero(self.tables[TRAIN].session == session)
        return torch.from_numpy(np.resize(members, size))

    @property
    def train_size(self) -> int:
        """Training stretches."""
        return len(self.tables[TRAIN])


def _tested(session: Session) -> Ints:
    """Return `TEST` for each row."""
    return np.full(len(session), TEST)
