"""The warm process: imports what training takes, then forks a child for each job it is handed.

It is a program, `python -m tutelage.execution.forkserver DESCRIPTOR`: the descriptor is that of a
socket whose other end is the process that asks. All that passes is JSON, and open files. It does no
arithmetic and asks for no GPU, so that nothing runs in it when it forks. When the socket closes,
its children are killed, and it ends; when it is killed, the kernel kills them.
"""

from __future__ import annotations

import gc
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from pydantic import BaseModel, ConfigDict

from tutelage.core.fingerprint import source_digest
from tutelage.core.processes import die_with_parent
from tutelage.execution.environment import PARENT

ALWAYS: Final = (
    *("torch", "torch._dynamo", "lightning.pytorch", "tutelage.cli.app", "tutelage.api.training"),
    *("tutelage.training.modes", "tutelage.training.allocator", "tutelage.report.tables"),
    "tutelage.execution.result",
)
"""What each training imports, whatever its task."""
MESSAGE_BYTES: Final = 1 << 16


class Order(BaseModel):
    """A job: the command line of a child and what it sees.

    Attributes:
        arguments: The command line after ``tutelage``.
        environment: Variables to set besides the warm process's own.
        directory: Folder to work in.
        modules: What to import before the fork; a name that can't be imported is left to the job,
            which says why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    modules: tuple[str, ...] = ()


class Told(BaseModel):
    """What is said of a job: its process, and then its exit status (minus a signal's number)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class _Handed:
    """An order with the files that came with it: where to answer, and the child's streams."""

    order: Order
    answers: socket.socket
    streams: tuple[int, ...]

    def close(self) -> None:
        """Leave the streams to the child."""
        for stream in self.streams:
            os.close(stream)


def main() -> None:
    """Serve until the socket closes; in a child, be the command that it is to run."""
    die_with_parent(int(os.environ.pop(PARENT)))
    own = os.getpid()
    handed = _Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if handed is not None:
        _become(handed, own)
        runpy.run_module("tutelage", run_name="__main__", alter_sys=True)


class _Server:
    """Takes orders, forks, and tells how children ended.

    Args:
        orders: Where orders come from; it closes when nobody is left to give any.
    """

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._children: dict[int, socket.socket] = {}
        self._ended, self._wakes = socket.socketpair()

    def serve(self) -> _Handed | None:
        """Return the order to fulfil in each child, and nothing in the server when it is done."""
        preload(ALWAYS)
        self._wakes.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self._orders.send(Told().model_dump_json().encode())
        with selectors.DefaultSelector() as selector:
            selector.register(self._ended, selectors.EVENT_READ)
            selector.register(self._orders, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._ended in ready:
                    self._reap()
                if self._orders not in ready:
                    continue
                handed = self._take()
                if handed is None:
                    self._kill()
                    return None
                if self._fork(handed):
                    return handed

    def _take(self) -> _Handed | None:
        """Receive an order; nothing when nobody is left to give any."""
        message, files, _, _ = socket.recv_fds(self._orders, MESSAGE_BYTES, 3)
        if not message:
            return None
        answers, *streams = files
        order = Order.model_validate_json(message)
        return _Handed(order, socket.socket(fileno=answers), tuple(streams))

    def _fork(self, handed: _Handed) -> bool:
        """Start a child; return whether this is it."""
        preload(handed.order.modules)
        with suppress(BlockingIOError):
            if handed.answers.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                handed.answers.close()  # nobody waits for it any more
                handed.close()
                return False
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            self._forget()
            return True
        handed.close()
        self._children[pid] = handed.answers
        _tell(handed.answers, Told(pid=pid))
        return False

    def _forget(self) -> None:
        """Leave to the server, in a child, what is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (self._orders, self._ended, self._wakes, *self._children.values()):
            one.close()

    def _reap(self) -> None:
        self._ended.recv(1 << 12)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                answers = self._children.pop(ended[0], None)
                if answers is not None:
                    _tell(answers, Told(status=os.waitstatus_to_exitcode(ended[1])))
                    answers.close()

    def _kill(self) -> None:
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def preload(modules: Iterable[str]) -> None:
    """Import modules, take the digest of our code, and spare what is there from the collector.

    A child's collector would copy every page that it looks at.
    """
    for name in modules:
        if name not in sys.modules:
            with suppress(ImportError):
                import_module(name)
    source_digest()
    gc.freeze()


def _tell(answers: socket.socket, told: Told) -> None:
    with suppress(BrokenPipeError):
        answers.send(told.model_dump_json(exclude_none=True).encode())


def _become(handed: _Handed, server: int) -> None:
    """Make a child what a process of its own would be: session, files, folder, arguments."""
    os.setsid()
    die_with_parent(server)
    handed.answers.close()
    for stream, standard in zip(handed.streams, (sys.stderr, sys.stdout), strict=False):
        os.dup2(stream, standard.fileno())
    handed.close()
    os.environ.update(handed.order.environment)
    os.chdir(handed.order.directory)
    sys.argv = ["tutelage", *handed.order.arguments]
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()  # of its own, as in a new process


if __name__ == "__main__":
    main()
