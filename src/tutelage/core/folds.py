"""`Split`: who is held out in each fold of a cross-validation: written, read, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tutelage.core.config import DataConfig
from tutelage.core.documents import read_object
from tutelage.core.errors import ConfigError, DataError
from tutelage.core.files import digest_json, write_json

HELD_OUT: Final = "held_out"
"""Name of the one split that a run with ``data.fold=K`` is scored on."""
SplitKind = Literal["kfold", "stratified", "grouped"]
_DEAL_AGAIN: Final = "Deal the folds again: `tutelage folds TASK` with the settings of this run."


@dataclass(frozen=True, slots=True)
class FoldUnits:
    """What the folds of a task are dealt from: its training pool, in parts that stay whole.

    Args:
        ids: (n,) name of each unit, unique; the same for the same data, wherever they lie.
        groups: (n,) what each unit belongs to; units of one group are never on both sides of a
            fold. Null: each stands for itself.
        strata: (n,) what each is one of, such as its class, to be shared out evenly. Null: nothing
            is known of them.
        sizes: (n,) how much each is, such as its samples, so that folds are alike in size. Null:
            one each.

    Raises:
        DataError: There is none, two share a name, or the columns differ in length.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    strata: tuple[str, ...] | None = None
    sizes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.ids:
            raise DataError("there is nothing to deal into folds", hint="Give training data.")
        twice = [name for name, count in Counter(self.ids).items() if count > 1]
        if twice:
            raise DataError(f"{len(twice)} units share their name, such as {twice[0]!r}")
        columns = {"groups": self.groups, "strata": self.strata, "sizes": self.sizes}
        for name, column in columns.items():
            if column is not None and len(column) != len(self.ids):
                raise DataError(f"{len(column)} {name} for {len(self.ids)} units")
        if self.sizes is not None and min(self.sizes) < 1:
            least = self.ids[self.sizes.index(min(self.sizes))]
            raise DataError("a unit of no size can't be dealt", where=least)


class Split(BaseModel):
    """Folds as they were dealt: every unit is held out once in each repeat.

    Args:
        task: The task whose units they are.
        kind: How they were dealt, as `tutelage.core.dealing.deal` says.
        folds: Folds of one repeat.
        repeats: How often all units were dealt.
        seed: Seed of the deal.
        units: Names of the units.
        groups: What each unit belongs to, or null.
        fold_of: For each repeat the fold, from 0, that holds each unit out.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    task: str = ""
    kind: SplitKind
    folds: Annotated[int, Field(ge=2)]
    repeats: Annotated[int, Field(ge=1)] = 1
    seed: Annotated[int, Field(ge=0)] = 0
    units: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    fold_of: tuple[tuple[Annotated[int, Field(ge=0)], ...], ...]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """Every fold of every repeat holds out something, and no group is torn."""
        if self.folds > len(self.units):
            raise ValueError(f"{self.folds} folds of {len(self.units)} units")
        if len(self.fold_of) != self.repeats:
            raise ValueError(f"fold_of has {len(self.fold_of)} repeats, not {self.repeats}")
        FoldUnits(self.units, self.groups)
        for number, folds in enumerate(self.fold_of):
            if len(folds) != len(self.units) or set(folds) != set(range(self.folds)):
                raise ValueError(f"repeat {number} does not deal {len(self.units)} units into "
                                 f"{self.folds} folds")  # fmt: skip
            first: dict[str, int] = {}
            for place, group in enumerate(self.groups or ()):
                before = first.setdefault(group, place)
                if folds[before] != folds[place]:
                    held = [fold == folds[before] for fold in folds]
                    where = f"repeat {number}, fold {folds[before]}"
                    refuse_leakage(FoldUnits(self.units, self.groups), held, where)
        return self

    @cached_property
    def digest(self) -> str:
        """Digest of all that it says."""
        return digest_json(self.model_dump(mode="json"))

    @property
    def count(self) -> int:
        """Folds of all repeats: ``data.fold`` counts from 0 to one less."""
        return self.folds * self.repeats

    def held_out(self, fold: int) -> frozenset[str]:
        """Return the units that a fold holds out.

        Args:
            fold: Number of the fold over all repeats: fold 0 of the second repeat comes after the
                last one of the first.

        Raises:
            ConfigError: There is no such fold.
        """
        if not 0 <= fold < self.count:
            hint = f"Set data.fold from 0 to {self.count - 1}, or to all."
            raise ConfigError(f"there is no fold {fold}", where="data.fold", hint=hint)
        repeat, number = divmod(fold, self.folds)
        dealt = zip(self.units, self.fold_of[repeat], strict=True)
        return frozenset(unit for unit, place in dealt if place == number)


def write_split(split: Split, path: Path) -> None:
    """Write a split as JSON with its digest, atomically.

    Raises:
        StorageError: The disk is full, or the folder can't be written.
    """
    write_json(path, {**split.model_dump(mode="json"), "digest": split.digest})


def read_split(path: Path) -> Split:
    """Read what `write_split` wrote.

    Raises:
        ConfigError: The file is missing, is no split, or was changed since it was written.
        DataError: A fold of it holds out nothing, or leaks.
    """
    try:
        content = read_object(path)
        digest = content.pop("digest")
        split = Split.model_validate(content)
    except OSError as error:
        said = f"the split file can't be read: {error.strerror}"
        raise ConfigError(said, where=path, hint=_DEAL_AGAIN) from error
    except DataError as error:
        where = ", ".join(filter(None, (str(path), error.where)))
        raise DataError(error.problem, where=where, hint=_DEAL_AGAIN) from error
    except (ValueError, KeyError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConfigError(f"is no split file: {first}", where=path, hint=_DEAL_AGAIN) from error
    if digest != split.digest:
        said = "the split was changed after it was dealt: its digest differs"
        raise ConfigError(said, where=path, hint=_DEAL_AGAIN)
    return split


def split_digest(data: DataConfig) -> str | None:
    """Return the digest of what the split file of a run says, if there is one.

    Raises:
        ConfigError: The file is missing, is no split, or lacks the fold.
    """
    if data.split_file is None:
        return None
    split = read_split(data.split_file)
    if isinstance(data.fold, int):
        split.held_out(data.fold)
    return split.digest


def held_out_units(units: FoldUnits, data: DataConfig) -> tuple[bool, ...]:
    """Return (n,) which units the fold of a run holds out: none for ``data.fold=all``.

    Args:
        units: The training pool of the run, its training and validation data.
        data: Names the split file and the fold.

    Raises:
        ConfigError: There is no such file or fold.
        DataError: The split was dealt from other units, or would let the fold leak.
    """
    nothing = (False,) * len(units.ids)
    if data.split_file is None or data.fold is None:
        return nothing
    split = read_split(data.split_file)
    _refuse_others(units, split, data.split_file)
    if data.fold == "all":
        return nothing
    chosen = split.held_out(data.fold)
    held = tuple(name in chosen for name in units.ids)
    refuse_leakage(units, held, f"{data.split_file}, fold {data.fold}")
    return held


def _refuse_others(units: FoldUnits, split: Split, path: Path) -> None:
    """Refuse a split that was dealt from other units than a run has.

    Raises:
        DataError: It was.
    """
    mine, theirs = set(units.ids), set(split.units)
    if mine == theirs:
        return
    missing, new = sorted(theirs - mine), sorted(mine - theirs)
    said = (
        [f"{len(missing)} of its units are not there (such as {missing[0]!r})"] if missing else []
    )
    said += [f"it does not know {len(new)} units (such as {new[0]!r})"] if new else []
    problem = f"the split was dealt from other data: {'; '.join(said)}"
    raise DataError(problem, where=path, hint=_DEAL_AGAIN)


def refuse_leakage(units: FoldUnits, held: Sequence[bool], where: str) -> None:
    """Refuse a fold that trains on what it is scored on.

    Args:
        units: All units.
        held: (n,) which are held out.
        where: The fold, for the message.

    Raises:
        DataError: A group has units on both sides, or a side is empty.
    """
    if all(held) or not any(held):
        side = "trains" if all(held) else "is held out"
        raise DataError(f"nothing {side}", where=where, hint=_DEAL_AGAIN)
    groups = units.groups or units.ids
    out, stays = (
        {group: name for group, name, is_out in zip(groups, units.ids, held, strict=True)
         if is_out is side}
        for side in (True, False)
    )  # fmt: skip
    torn = sorted(out.keys() & stays.keys())
    if torn:
        raise DataError(
            f"{len(torn)} groups are on both sides of the fold: {out[torn[0]]!r} is held out, "
            f"{stays[torn[0]]!r} of the same group trains",
            where=where,
            hint=_DEAL_AGAIN,
        )
