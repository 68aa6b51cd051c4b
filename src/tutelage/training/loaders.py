"""Loaders whose position can be saved, and that go on from it with the very next batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Generic, TypeVar

from torch import Tensor

from tutelage.core.errors import CheckpointError, ConfigError, RunFailedError
from tutelage.training.samplers import BatchOrder

Batch = TypeVar("Batch")


class EvalLoader(Generic[Batch]):
    """The batches of epoch 0, in the same order each time; it has no state.

    Args:
        fetch: Turns sample indices, shape (batch,), into a batch.
        sampler: The order, usually without shuffling.
        prefetch: Batches that one thread prepares ahead; 0 for none.
    """

    def __init__(
        self, fetch: Callable[[Tensor], Batch], sampler: BatchOrder, prefetch: int = 0
    ) -> None:
        _check_prefetch(prefetch)
        self._fetch, self._order, self._prefetch = fetch, sampler, prefetch

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        return fetched(self._fetch, self._order.batches(0), self._prefetch)


class ResumableLoader(Generic[Batch]):
    """Batches in the sampler's order, epoch after epoch; its state is (epoch, position).

    Each iteration starts the next epoch, and does so when its first batch is asked for: Lightning
    makes iterators that it never uses and never drains one. The first iteration after
    `load_state_dict` goes on instead: at the next batch of an epoch that was under way, or at the
    next epoch's first.

    ``fetch`` must depend on its indices alone: draw random numbers in the model or in a
    Lightning hook, where they are restored on resume.

    Args:
        fetch: Turns sample indices, shape (batch,), into a batch.
        sampler: The order of each epoch, a pure function.
        prefetch: Batches that one thread prepares ahead; 0 for none. It changes neither order
            nor position, which counts the batches delivered.
    """

    def __init__(
        self, fetch: Callable[[Tensor], Batch], sampler: BatchOrder, prefetch: int = 0
    ) -> None:
        _check_prefetch(prefetch)
        self._fetch, self._order, self._prefetch = fetch, sampler, prefetch
        self._epoch, self._position, self._continues = 0, 0, True

    @property
    def epoch(self) -> int:
        """The epoch under way, or about to start, from 0."""
        return self._epoch

    @property
    def position(self) -> int:
        """Batches of it that were delivered."""
        return self._position

    def delivered(self, batches: int) -> list[int]:
        """Return the indices of the samples in the last batches that were delivered."""
        order = self._order.batches(self._epoch)[max(0, self._position - batches) : self._position]
        return [number for batch in order for number in batch.tolist()]

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        # A generator: nothing below runs before the first batch is asked for.
        if not self._continues or self._position >= len(self):
            self._epoch, self._position = self._epoch + 1, 0
        self._continues = False
        epoch, rest = self._epoch, self._order.batches(self._epoch)[self._position :]
        with closing(fetched(self._fetch, rest, self._prefetch)) as batches:
            for batch in batches:
                if self._epoch != epoch or self._continues:
                    raise RunFailedError("this loader was iterated anew while it was in use")
                self._position += 1
                yield batch

    def end_epoch(self) -> None:
        """Count the epoch as over, even where not every batch was asked for."""
        self._position = len(self)

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, the batches of it that were delivered, and batches an epoch."""
        return {"epoch": self._epoch, "position": self._position, "batches": len(self)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Make the next iteration go on from ``state_dict``.

        Raises:
            CheckpointError: The state is of a loader with another number of batches an epoch.
        """
        if state_dict["batches"] != len(self):
            problem = f"saved with {state_dict['batches']} batches an epoch, now {len(self)}"
            hint = "Resume with the same data, batch size and number of processes."
            raise CheckpointError(f"the loader can't go on: {problem}", hint=hint)
        self._epoch, self._position = state_dict["epoch"], state_dict["position"]
        self._continues = True


def fetched(
    fetch: Callable[[Tensor], Batch], indices: Sequence[Tensor], prefetch: int
) -> Generator[Batch, None, None]:
    """Yield the batch of each index tensor in order, ``prefetch`` of them prepared by a thread."""
    if prefetch == 0:
        yield from map(fetch, indices)
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            for index in indices:
                waiting.append(pool.submit(fetch, index))
                if len(waiting) > prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _check_prefetch(prefetch: int) -> None:
    if prefetch < 0:
        raise ConfigError(f"prefetch must be 0 or more, not {prefetch}")
