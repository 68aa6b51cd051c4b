"""`CANGraphDataModule`: captures in, batches of window graphs out, split and fitted honestly."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tutelage.core.errors import ConfigError, DataError
from tutelage.core.files import digest_json
from tutelage.core.fingerprint import source_digest
from tutelage.core.records import AuditStamp
from tutelage.losses import BaseSupervisedLoss
from tutelage.tasks.can.captures import Capture, load_dataset
from tutelage.tasks.can.config import CANConfig, GATConfig
from tutelage.tasks.can.division import Division, long_enough
from tutelage.tasks.can.folds import divide
from tutelage.tasks.can.frames import ATTACK
from tutelage.tasks.can.graph_batch import GraphBatch
from tutelage.tasks.can.graph_store import GraphStore
from tutelage.tasks.can.graphs import build_graphs
from tutelage.tasks.can.modules import BaseCANGraphModule
from tutelage.tasks.can.preprocessing import Preprocessing
from tutelage.tasks.can.splits import CaptureSplit, Mask, test_only
from tutelage.training.contracts import TaskData, TaskModule
from tutelage.training.loaders import EvalLoader, ResumableLoader
from tutelage.training.samplers import SeededBatchSampler
from tutelage.training.sizable import typical_positions

_log = logging.getLogger(__name__)

EVALUATION_BATCH = 256
FITTED_AT_ONCE = 1 << 13
"""Windows whose features the scaler takes up at once."""


@dataclass(frozen=True, slots=True)
class TestCapture:
    """A capture's windows that test.

    Args:
        capture: The capture.
        store: Graphs of all its windows.
        windows: (T,) int64, the windows that test.
    """

    capture: Capture
    store: GraphStore
    windows: Tensor

    def loader(self) -> EvalLoader[GraphBatch]:
        """Batches of the windows that test, in order of time."""
        return evaluation_loader(self.store, self.windows)


def evaluation_loader(store: GraphStore, windows: Tensor) -> EvalLoader[GraphBatch]:
    """Batches of some windows in the given order, always of `EVALUATION_BATCH`."""
    order = SeededBatchSampler(len(windows), EVALUATION_BATCH, seed=0, shuffle=False)
    return EvalLoader(lambda rows: store.batch(windows[rows]), order)


class CANGraphDataModule(TaskData):
    """The data of one CAN run.

    Args:
        config: The whole run.
        cache: Folder of parsed captures and built graphs.
        preprocessing: What an earlier run learned; with it every capture tests, or in a fold what
            it holds out; else it is learned from the training windows.

    Attributes:
        held_out: Windows that validate, by capture; none in a cross-validation, where they would be
            those that are scored.
        trained: Windows that train, by capture, in a cross-validation.
    """

    def __init__(
        self, config: CANConfig, cache: Path, preprocessing: Preprocessing | None = None
    ) -> None:
        super().__init__()
        self.config, self.cache = config, cache
        self._given = preprocessing
        self._findings: list[str] = []
        self._ready = False
        self.held_out: Sequence[TestCapture] = ()
        self.trained: Sequence[TestCapture] = ()
        self.batch_size = EVALUATION_BATCH

    def setup(self, stage: str) -> None:
        """Read, split (``predict``: all tests), learn the preprocessing, build the graphs."""
        if self._ready:
            return
        data = self.config.data
        if self._given is None:
            division = divide(data, self.cache)
            self.learned = self._learn(division.splits, division.kept)
        else:
            self.learned = self._given
            division = self._all_test(self._given, stage == "predict")
        self._findings += division.findings
        splits = division.splits
        stores = [self._graphs(split.capture, self.learned) for split in splits]
        self._collect_tests(splits, stores)
        self._collect_training(splits, stores)
        self._ready = True

    @property
    def in_fold(self) -> bool:
        """Whether what validates is a fold of the training captures, and is what is scored, too."""
        return isinstance(self.config.data.fold, int)

    @cached_property
    def drives(self) -> Sequence[Capture]:
        """The captures that `evaluation.drives` names; none where it is not set.

        Raises:
            DataError: They are missing, unreadable or malformed.
        """
        root = self.config.evaluation.drives
        if root is None:
            return ()
        named = self.config.data.model_copy(update={"root": root})
        return load_dataset(named, self.cache)

    def _learn(self, splits: Sequence[CaptureSplit], kept_share: float) -> Preprocessing:
        """Learn from the training windows.

        Raises:
            DataError: Too few frames of them are benign.
        """
        data = self.config.data
        stretches = [f for s in splits for f in s.training_frames(data.window, data.stride)]
        seen = [s for s in splits if s.train.any() or s.validation.any()]
        whole = {
            s.capture.digest
            for s in seen
            if not s.train.any() and (s.capture.validates or self.in_fold)
        }
        trained, held = (
            {s.capture.digest: s.capture.label for s in seen if (s.capture.digest in whole) == only}
            for only in (False, True)
        )
        try:
            return Preprocessing.fit(stretches, data.window, trained, kept_share, held)
        except DataError as error:
            files = [s.capture.path for s in seen if s.capture.digest in trained]
            only = files[0] if len(files) == 1 else None
            attacks = sum(frames.count(ATTACK) for frames in stretches)
            total, labels = sum(map(len, stretches)), [*trained.values()]
            more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
            raise DataError(
                f"{error.problem}: of {total} frames that train, {attacks} are labelled attacks, "
                f"in {', '.join(labels[:5])}{more}",
                where=only or data.root,
                hint=f"{error.hint} If 0 and 1 are swapped in the labels, swap them back.",
            ) from error

    def _all_test(self, learned: Preprocessing, whole: bool) -> Division:
        """Let every capture test, or in a fold what it holds out; whole, if it is predicted."""
        self._check_window(learned)
        data = self.config.data
        if self.in_fold:
            fold = divide(data, self.cache)
            tests = [s.without(s.train | s.validation) for s in fold.splits if s.test.any()]
            return replace(fold, splits=tests)
        captures, short = long_enough(load_dataset(data, self.cache), data)
        kept = dict.fromkeys(learned.trained_on, learned.test_fraction)
        return Division(test_only(captures, kept, data, whole), learned.test_fraction, short)

    def _check_window(self, learned: Preprocessing) -> None:
        window = self.config.data.window
        if learned.profile.window != window:
            raise ConfigError(
                f"data.window={window} is not the model's window of {learned.profile.window}",
                hint=f"Leave it out, or set data.window={learned.profile.window}.",
            )

    def _note(self, finding: str) -> None:
        self._findings.append(finding)
        _log.info(finding)

    def _graphs(self, capture: Capture, learned: Preprocessing) -> GraphStore:
        data = self.config.data
        parts = [capture.digest, learned.profile.to_json(), data.window, data.stride]
        folder = self.cache / "graphs"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{digest_json([parts, source_digest()])}.safetensors"
        if path.exists():
            try:
                return GraphStore.open(path)
            except DataError as error:
                self._note(f"rebuilt a damaged cache file: {error.problem}")
        graphs = build_graphs(capture.frames, learned.profile, data.window, data.stride)
        GraphStore.from_graphs([graphs]).save(path)
        return GraphStore.open(path)  # mapped: what validates and tests keeps it for the whole run

    def _collect_tests(self, splits: Sequence[CaptureSplit], stores: Sequence[GraphStore]) -> None:
        tests: dict[str, list[TestCapture]] = defaultdict(list)
        for split, store in zip(splits, stores, strict=True):
            if split.test.any():
                windows = torch.from_numpy(np.flatnonzero(split.test))
                tests[split.split].append(TestCapture(split.capture, store, windows))
        self.tests: Mapping[str, Sequence[TestCapture]] = dict(sorted(tests.items()))

    def _collect_training(
        self, splits: Sequence[CaptureSplit], stores: Sequence[GraphStore]
    ) -> None:
        """Join what trains and validates; drop windows whose content repeats across splits."""
        used = [
            (split, store)
            for split, store in zip(splits, stores, strict=True)
            if split.train.any() or split.validation.any()
        ]
        if not used:
            return
        self.store = GraphStore.concatenate([store for _, store in used])
        train = np.concatenate([split.train for split, _ in used])
        validation = np.concatenate([split.validation for split, _ in used])
        content = self.store.content_digests()
        tested = [t.store.content_digests()[t.windows] for ts in self.tests.values() for t in ts]
        seen = np.unique(np.concatenate(tested)) if tested else np.zeros(0, np.uint64)
        repeats = np.isin(content, seen)
        left_out = repeats & (train if self.in_fold else train | validation)
        self._note_repeats(int(left_out.sum()), "the fold" if self.in_fold else "a test split")
        train &= ~repeats
        if not self.in_fold:  # where what validates is what is scored, too
            validation &= ~repeats
        again = validation & np.isin(content, content[train])
        self._note_repeats(int(again.sum()), "training")
        validation &= ~again
        self.train_windows = torch.from_numpy(np.flatnonzero(train))
        self.validation_windows = torch.from_numpy(np.flatnonzero(validation))
        if self.config.data.fold is None:
            self.held_out = _by_capture(used, validation)
        else:
            self.trained = _by_capture(used, train)
        self._require_windows()

    def _note_repeats(self, count: int, where: str) -> None:
        if count:
            self._note(f"{count} windows left out: their content repeats in {where}")

    def _require_windows(self) -> None:
        for name, windows in (
            ("training", self.train_windows),
            ("validation", self.validation_windows),
        ):
            if not len(windows) and (name, self.config.data.fold) != ("validation", "all"):
                raise DataError(
                    f"no window is left for {name}",
                    where=self.config.data.root,
                    hint="Give longer captures, a shorter data.window, or a shorter "
                    "data.embargo_seconds.",
                )

    def keep_normal(self) -> None:
        """Reduce training and validation to benign windows.

        Raises:
            DataError: None is left.
        """
        self.train_windows = self.train_windows[self.store.y[self.train_windows] == 0]
        self.validation_windows = self.validation_windows[
            self.store.y[self.validation_windows] == 0
        ]
        self._require_windows()

    @property
    def preprocessing(self) -> Mapping[str, object]:
        """Traffic profile, rules and training captures, as JSON values."""
        return self.learned.to_json()

    @property
    def audit(self) -> AuditStamp:
        """Whether training and test data are apart, and what had to be done for it."""
        seen = {"trained on": self.learned.trained_on, "validated on": self.learned.validated_on}
        whole = [
            t.capture
            for captures in self.tests.values()
            for t in captures
            if len(t.windows) == len(t.store) and not self.in_fold
        ]
        known = {
            f"{capture.label} was {how}: its scores prove nothing"
            for capture in whole
            for how, digests in seen.items()
            if capture.digest in digests
        }
        findings = [*self._findings, *sorted(known)]
        verdict = "leaking" if known else "warnings" if findings else "clean"
        return AuditStamp(verdict=verdict, findings=tuple(findings))

    def fit_module(self, module: TaskModule) -> None:
        """Set the feature scaler and the class weights from the training windows."""
        assert isinstance(module, BaseCANGraphModule)
        parts = torch.split(self.train_windows, FITTED_AT_ONCE)
        module.input.fit(self.store.features(windows) for windows in parts)
        model, loss = self.config.model, getattr(module, "loss", None)
        if not (isinstance(model, GATConfig) and isinstance(loss, BaseSupervisedLoss)):
            return
        counts = torch.bincount(self.store.y[self._drawn].long(), minlength=2).float()
        if not counts.all():
            present = "attacked" if counts[1] else "benign"
            raise DataError(
                f"all {len(self.train_windows)} training windows are {present}; nothing to tell "
                "apart",
                where=self.config.data.root,
                hint="Add captures of the other kind, or longer ones, or train on benign windows "
                "alone with mode=autoencoder model=vgae.",
            )
        if model.class_weights == "balanced":
            loss.class_weights.copy_(counts.sum() / (2 * counts))

    def train_dataloader(self) -> ResumableLoader[GraphBatch]:
        """Shuffled batches of training windows."""
        order = SeededBatchSampler(
            len(self.train_windows),
            self.batch_size,
            self.config.training.seed,
            rank=self.rank,
            world_size=self.world_size,
        )
        return ResumableLoader(lambda rows: self.store.batch(self.train_windows[rows]), order)

    def val_dataloader(self) -> EvalLoader[GraphBatch]:
        """Batches of validation windows, in order."""
        return evaluation_loader(self.store, self.validation_windows)

    def test_loaders(self) -> Mapping[str, EvalLoader[GraphBatch]]:
        """One loader for each test split, its captures one after the other."""
        loaders = {}
        for split, captures in self.tests.items():
            store = GraphStore.concatenate([t.store for t in captures])
            offsets = np.cumsum([0, *(len(t.store) for t in captures[:-1])])
            windows = [t.windows + int(o) for t, o in zip(captures, offsets, strict=True)]
            loaders[split] = evaluation_loader(store, torch.cat(windows))
        return loaders

    @property
    def _drawn(self) -> Tensor:
        """Training windows in the mix that training draws, which is as they are."""
        return self.train_windows

    def _largest_first(self) -> Tensor:
        cost = (self.store.node_counts + self.store.edge_counts)[self._drawn]
        return self._drawn[cost.argsort(descending=True, stable=True)]

    def batch_of_size(self, size: int) -> GraphBatch:
        """The batch of the ``size`` largest training graphs, repeated when there are fewer."""
        largest = self._largest_first()
        return self.store.batch(largest[torch.arange(size) % len(largest)])

    def typical_batch_of_size(self, size: int, draw: int) -> GraphBatch:
        """A batch of ``size`` training graphs, spread evenly over small and large ones."""
        by_cost = self._largest_first()
        positions = typical_positions(len(by_cost), size, draw)
        return self.store.batch(by_cost[torch.from_numpy(positions)])

    def cost_of_size(self, size: int) -> int:
        """Nodes and edges of `batch_of_size`."""
        batch = self.batch_of_size(size)
        return len(batch.x) + batch.edge_index.shape[1]

    @property
    def train_size(self) -> int:
        """Training windows."""
        return len(self.train_windows)


def _by_capture(
    used: Sequence[tuple[CaptureSplit, GraphStore]], chosen: Mask
) -> Sequence[TestCapture]:
    """Return some windows (W,) of the joined captures, capture by capture."""
    parts = np.split(chosen, np.cumsum([len(store) for _, store in used])[:-1])
    return [
        TestCapture(split.capture, store, torch.from_numpy(np.flatnonzero(part)))
        for (split, store), part in zip(used, parts, strict=True)
        if part.any()
    ]


def create_dataloaders(
    config: CANConfig, cache: Path
) -> tuple[
    ResumableLoader[GraphBatch], EvalLoader[GraphBatch], Mapping[str, EvalLoader[GraphBatch]]
]:
    """Return the training, validation and test loaders of ``config``, for a loop of your own."""
    data = CANGraphDataModule(config, cache)
    data.batch_size = config.training.batch_size if config.training.batch_size != "auto" else 64
    data.setup("fit")
    return data.train_dataloader(), data.val_dataloader(), data.test_loaders()
