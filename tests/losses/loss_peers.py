"""Other libraries' losses; torchvision, which two of them import and no loss needs, is a stub."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn


class _Attribute(type):
    def __getattr__(cls, name: str) -> int:
        if name.startswith("__"):
            raise AttributeError(name)
        return 0


class _Anything(nn.Module, metaclass=_Attribute):
    def __init__(self, *args: object, **options: object) -> None:
        super().__init__()


class _Module(types.ModuleType):
    __path__: list[str] = []
    __version__ = "0.28.0"

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (_Anything,), {})
        setattr(self, name, made)
        return made


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: object, target: object = None) -> Any:
        if name.split(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


@contextmanager
def stub_torchvision() -> Iterator[None]:
    """Let torchvision be imported within, and leave no trace of it."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]


def lightly_loss() -> Any:
    """The module lightly.loss."""
    with stub_torchvision():
        import lightly.loss

        return lightly.loss


def metric_learning_losses() -> Any:
    """The module pytorch_metric_learning.losses."""
    from pytorch_metric_learning import losses

    return losses


def open_clip_loss() -> Any:
    """The module open_clip.loss, without its package."""
    package = importlib.util.find_spec("open_clip")
    if package is None or package.origin is None:
        raise ImportError("open_clip")
    spec = importlib.util.spec_from_file_location(
        "open_clip_loss", Path(package.origin).parent / "loss.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
