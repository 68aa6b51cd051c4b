"""The tiny task with data in files: as many samples as there are lines in a folder's files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from tiny_task import TinyConfig, TinyCurriculumData, TinyDataModule, TinyTask

from tutelage.core.errors import DataError
from tutelage.core.files import digest_file, digest_json


class FiledConfig(TinyConfig):
    task: Literal["filed"] = "filed"  # type: ignore[assignment]
    """The domain."""


class FiledTask(TinyTask):
    name: ClassVar = "filed"
    config_type = FiledConfig

    def data_fingerprint(self, config: TinyConfig) -> str:
        return digest_json([[path.name, digest_file(path)] for path in files(config)])

    def datamodule(
        self, config: TinyConfig, cache: Path, preprocessing: Mapping[str, Any] | None = None
    ) -> TinyDataModule:
        return TinyDataModule(sized(config), preprocessing)

    def curriculum_data(self, config: TinyConfig, cache: Path) -> TinyCurriculumData:
        return TinyCurriculumData(sized(config), None)


def files(config: TinyConfig) -> list[Path]:
    """The files of the folder that is named."""
    root = config.data.root
    if root is None or not root.is_dir():
        raise DataError("no such folder", where=root)
    return sorted(root.glob("*.csv"))


def sized(config: TinyConfig) -> TinyConfig:
    """The configuration with as many samples as the files have lines."""
    lines = sum(len(path.read_text().splitlines()) for path in files(config))
    data = config.data.model_copy(update={"samples": lines})
    return config.model_copy(update={"data": data})
