"""`Inputs`: the files that a run reads, each with its digest, so that a change can be named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tutelage.core.documents import read_json
from tutelage.core.errors import StoreError
from tutelage.core.files import stays_inside

PACKAGE: Final = Path(__file__).parents[1]


Below = Annotated[str, AfterValidator(stays_inside)]
Whole = Annotated[str, Field(pattern=r"^/[^\x00]+$")]


class Inputs(BaseModel):
    """Digests of files, by their place.

    Args:
        data: Files below `data.root`, by their path from there (from its folder, if it is a file).
        package: Files that ship with Tutelage, by their path in the package.
        elsewhere: Other files, such as folds or weights to begin with, by their whole path.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    data: Mapping[Below, str] = {}
    package: Mapping[Below, str] = {}
    elsewhere: Mapping[Whole, str] = {}

    @classmethod
    def of(cls, digests: Mapping[Path, str], root: Path | None) -> Inputs:
        """Put each file where it belongs.

        Args:
            digests: Path of each file to its digest.
            root: What `data.root` names.
        """
        data: dict[str, str] = {}
        package: dict[str, str] = {}
        elsewhere: dict[str, str] = {}
        base = None if root is None else data_folder(root)
        for path, digest in sorted((path.absolute(), digest) for path, digest in digests.items()):
            if base is not None and (below := _below(path, base)) is not None:
                data[below.as_posix()] = digest
            elif path.is_relative_to(PACKAGE):
                package[path.relative_to(PACKAGE).as_posix()] = digest
            else:
                elsewhere[str(path)] = digest
        return cls(data=data, package=package, elsewhere=elsewhere)

    def places(self, root: Path | None) -> Iterator[tuple[Path, str]]:
        """Path and digest of each file, where it is to be found now."""
        base = None if root is None else data_folder(root)
        if base is not None:
            yield from ((base / name, digest) for name, digest in self.data.items())
        yield from ((PACKAGE / name, digest) for name, digest in self.package.items())
        yield from ((Path(name), digest) for name, digest in self.elsewhere.items())


def _below(path: Path, folder: Path) -> Path | None:
    """A file's path from a folder, or null outside it; one that goes up on its way is followed."""
    if path.is_relative_to(folder) and ".." in path.relative_to(folder).parts:
        path, folder = path.resolve(), folder.resolve()
    return path.relative_to(folder) if path.is_relative_to(folder) else None


def data_folder(root: Path) -> Path:
    """The folder below which the files of `data.root` lie: itself, or that of a single file."""
    return root.parent if root.is_file() else root


def read_inputs(path: Path) -> Inputs | None:
    """Read the list of a run's files; null for a run that was made before there was one.

    Raises:
        StoreError: It is damaged.
    """
    try:
        return Inputs.model_validate(read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ValidationError) as error:
        hint = "Restore the file from a copy."
        raise StoreError("the list of inputs can't be read", where=path, hint=hint) from error
