"""What a training process sees of the environment: what is on a list, and no secrets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from tutelage.core.redaction import is_secret

PARENT: Final = "TUTELAGE_PARENT"
"""Id of the process whose end a training process does not outlive."""

ALLOWED: Final = (
    # who and where
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TEMP", "TMP", "TZ", "PWD"),
    *("LANG", "LANGUAGE", "LC_*", "TERM", "COLUMNS", "NO_COLOR", "XDG_*"),
    # how Python and its libraries are found
    *("PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "VIRTUAL_ENV", "CONDA_*"),
    *("LD_LIBRARY_PATH", "DYLD_*", "SSL_CERT_*", "REQUESTS_CA_BUNDLE"),
    # devices and threads
    *("CUDA_*", "NVIDIA_*", "NCCL_*", "GLOO_*", "TORCH_*", "PYTORCH_*", "OMP_*", "GOMP_*"),
    *("MKL_*", "OPENBLAS_*", "NUMEXPR_*", "SLURM_*"),
    # ours, and where and as what MLflow keeps runs
    *("TUTELAGE_*", "MLFLOW_TRACKING_URI"),
)
"""Patterns of the names that pass; a person adds their own by ``execution.environment``.

The name of a secret passes by no pattern, only by itself."""


def setup_training_environment(
    allow: Iterable[str] = (),
    extra: Mapping[str, str] | None = None,
    source: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the environment of a training process.

    Args:
        allow: Names, or patterns such as ``WANDB_*``, that pass besides `ALLOWED`.
        extra: Variables to set.
        source: What is filtered; null for this process's own.
    """
    names = os.environ if source is None else source
    asked = tuple(allow)
    patterns = (*ALLOWED, *asked)
    passed = {
        name: value for name, value in names.items() if _passes(name, patterns, frozenset(asked))
    }
    return passed | dict(extra or {})


def _passes(name: str, patterns: Iterable[str], by_name: frozenset[str]) -> bool:
    if name in by_name:
        return True
    return not is_secret(name) and any(fnmatchcase(name, pattern) for pattern in patterns)
