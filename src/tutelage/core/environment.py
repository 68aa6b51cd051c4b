"""`Environment`: where a run was made, as far as it decides a result."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

from tutelage.core.files import digest_json
from tutelage.core.revision import Revision, package_revision
from tutelage.core.sections import Part

DECISIVE: Final = (
    "torch", "lightning", "torch-geometric", "numpy", "pyarrow", "safetensors",
)  # fmt: skip


class Environment(Part):
    """Where a run was made.

    Args:
        packages: Versions of the packages that decide a result.
        revision: The code's, where git tracks it.
        processor: The machine's; another one may round otherwise.
        threads: Threads that arithmetic was shared by; another number may round otherwise.
    """

    tutelage: str
    python: str
    platform: str
    packages: Mapping[str, str]
    revision: Revision | None = None
    processor: str | None = None
    threads: int | None = None

    @property
    def digest(self) -> str:
        """Digest of what is installed: Python and the packages that decide a result."""
        return digest_json([self.tutelage, self.python, dict(self.packages)])

    @classmethod
    def here(cls) -> Environment:
        """Describe this interpreter and the packages that decide a result."""
        packages = {}
        for name in DECISIVE:
            with suppress(metadata.PackageNotFoundError):
                packages[name] = metadata.version(name)
        return cls(
            tutelage=metadata.version("tutelage"),
            python=sys.version.split()[0],
            platform=platform.platform(),
            packages=packages,
            revision=package_revision(),
            processor=_processor(),
            threads=_threads(),
        )


def _processor() -> str:
    """The processor's name; of an unknown one its kind."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _threads() -> int:
    """The threads that arithmetic is shared by, unless a program sets another number."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(said) if said.isdecimal() else len(os.sched_getaffinity(0))
