"""Fingerprints: equal exactly when two runs would compute the same thing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from tutelage.core.config import RunConfig
from tutelage.core.files import digest_bytes, digest_file, digest_json
from tutelage.core.records import Environment, Fingerprints, Hashes

_COMPUTES_NOTHING: Final[dict[str, bool | dict[str, bool]]] = {
    **dict.fromkeys(("run", "execution", "tracking", "schema_version"), True),
    "training": {"max_time": True},
    "data": {"links": True},
}


def source_digest(module: str = "tutelage") -> str:
    """Digest of the code that computes a run: every file of ours, and a task's from elsewhere.

    Args:
        module: A module of the task. Of another package than ours, all its Python files count; of
            a module that is no package, its file.
    """
    package = module.partition(".")[0]
    own = _own_digest()
    return own if package == "tutelage" else digest_json([own, _foreign_digest(package)])


@cache
def _own_digest() -> str:
    """Digest of the installed package: every source file, DBC and preset, by path and content."""
    root = Path(__file__).parents[1]
    files = sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return digest_bytes("".join(f"{p.relative_to(root)}:{digest_file(p)};" for p in files).encode())


@cache
def _foreign_digest(package: str) -> str:
    """Digest of the Python files of an imported package, or of the file of a single module."""
    module = sys.modules[package]
    roots = [Path(folder) for folder in getattr(module, "__path__", ())]
    files = {str(p.relative_to(root)): p for root in roots for p in root.rglob("*.py")}
    if not files and (file := getattr(module, "__file__", None)) and Path(file).is_file():
        files = {Path(file).name: Path(file)}
    return digest_json({name: digest_file(path) for name, path in files.items()})


def config_digest(config: RunConfig) -> str:
    """Digest of what a configuration asks for: without paths, names, and what computes nothing.

    That is `run.*`, `execution.*`, `tracking.*`, `training.max_time` and `data.links`.

    Of the runs that it names it is their fingerprints that count, not what they are called.
    """
    settings = config.model_dump(mode="json", exclude=_COMPUTES_NOTHING)
    for part, field in (name.split(".") for name in config.roles):
        settings[part].pop(field)
    paths = config.model_dump(mode="python")
    return digest_json(_without_paths(settings, paths))


def hashes_of(config: RunConfig, environment: Environment, initial_weights: str | None) -> Hashes:
    """Return the digests of what a run is made with, beside its fingerprints."""
    parameters = _parameters_digest(config)
    return Hashes(
        parameters=parameters, environment=environment.digest, initial_weights=initial_weights
    )


def _parameters_digest(config: RunConfig) -> str:
    """Digest of the settings without those of data: of what is tuned, the same on any data."""
    left_out = {**_COMPUTES_NOTHING, "data": True, "evaluation": True}
    settings = config.model_dump(mode="json", exclude=left_out)
    for part, field in (name.split(".") for name in config.roles):
        settings[part].pop(field)
    return digest_json(_without_paths(settings, config.model_dump(mode="python")))


def _without_paths(settings: object, typed: object) -> object:
    """Leave out each value that is a path: the data's content counts, not where they lie."""
    if isinstance(settings, dict) and isinstance(typed, dict):
        return {
            key: _without_paths(value, typed.get(key))
            for key, value in settings.items()
            if not isinstance(typed.get(key), Path) and value is not None
        }
    return settings


def fingerprint(
    config: RunConfig,
    data: str,
    parents: Sequence[str] = (),
    weights: str | None = None,
    split: str | None = None,
) -> Fingerprints:
    """Combine a configuration, the content digest of its data, and its parents' fingerprints.

    The order of the parents counts, as it does for a fusion's experts. So does the digest of
    weights from elsewhere that the model begins with, if it does, and that of the folds that were
    dealt for a cross-validation, if it has part in one.
    """
    prints = Fingerprints(
        run="",
        config=config_digest(config),
        data=data,
        parents=tuple(parents),
        source=source_digest(type(config).__module__),
        split=split,
    )
    return prints.model_copy(update={"run": combined(prints, weights)})


def combined(prints: Fingerprints, weights: str | None) -> str:
    """Return the fingerprint of a run from its parts, as `fingerprint` combines them."""
    parts = (prints.config, prints.data, *prints.parents, prints.source)
    parts += () if weights is None else (weights,)
    parts += () if prints.split is None else (f"split {prints.split}",)
    return digest_json(parts)
