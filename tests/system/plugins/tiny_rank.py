"""The tiny task as an installed one, which a variable of the environment can end in a step."""

from __future__ import annotations

import os
import signal

from tiny_task import Batch, TinyModule, TinyTask

END = "TINY_END"
"""``rank:step:how``: that process is killed, raises, or asks the one that started it to
stop, in the batch after so many steps."""


def end(module: TinyModule, batch: Batch) -> None:
    """End this process if it is its turn."""
    if END not in os.environ or module._trainer is None:
        return
    rank, step, how = os.environ[END].split(":")
    if (int(rank), int(step)) == (module.global_rank, module.global_step):
        if how == "raise":
            raise RuntimeError("lightning struck")
        if how == "spoil":
            batch[0].fill_(float("nan"))
        elif how == "ask":
            os.kill(os.getppid(), signal.SIGTERM)
        else:
            os.kill(os.getpid(), signal.SIGKILL)


class TinyRankTask(TinyTask):
    """The tiny task."""

    def __init__(self) -> None:
        super().__init__(end)
