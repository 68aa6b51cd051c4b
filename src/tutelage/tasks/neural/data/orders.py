"""Which sampler the settings ask for, and what each session's loss weighs under it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tutelage.tasks.neural.config import NeuralConfig
from tutelage.tasks.neural.data.balance import session_weights
from tutelage.tasks.neural.data.chunks import ChunkTable, chunk_contrast, with_shown
from tutelage.tasks.neural.data.sampling import (
    ByDatasetBatchSampler,
    ContrastWeightedSampler,
    GlobalBatches,
    MixedBatchSampler,
    SharedStimulusBatchSampler,
)
from tutelage.tasks.neural.sessions import Session


def batch_order(
    config: NeuralConfig,
    sessions: Sequence[Session],
    table: ChunkTable,
    size: int,
    process: tuple[int, int] = (0, 1),
) -> GlobalBatches:
    """Return which stretches form the batches of each epoch.

    Args:
        config: Says which, and the seed.
        sessions: The recordings.
        table: Their training stretches.
        size: Most stretches (or stimuli) a batch and process.
        process: This process and how many there are.
    """
    data, seed = config.data, config.training.seed
    if data.batches == "by_session":
        return ByDatasetBatchSampler(table, size, seed, True, *process)
    if data.batches == "shared":
        return SharedStimulusBatchSampler(with_shown(sessions, table), size, seed, *process)
    if data.sampler == "uniform":
        return MixedBatchSampler(table, size, seed, *process)
    contrast, warmup = chunk_contrast(sessions, table), data.contrast_warmup_steps
    return ContrastWeightedSampler(table, contrast, size, seed, warmup, *process)


def loss_weights(
    config: NeuralConfig, sessions: Sequence[Session], order: GlobalBatches
) -> list[float]:
    """Return what each session's loss is multiplied by, so that what `data.balance` says holds.

    Args:
        config: Says what counts alike.
        sessions: The recordings.
        order: The batches; a session's share of the loss while all weigh alike is that of its
            batches, or of its responses.
    """
    if isinstance(order, ByDatasetBatchSampler):
        shares: Sequence[float] = order.batches_of
    else:
        table = order.table
        frames = np.bincount(table.session, table.stop - table.start, table.sessions)
        shares = (frames * np.array([session.units for session in sessions])).tolist()
    who = [(session.animal, session.units) for session in sessions]
    return session_weights(config.data.balance, shares, who)
