"""Which captures lie under a data root, and what their names say: split, attack, set."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tutelage.core.config import Links
from tutelage.core.errors import DataError
from tutelage.core.files import require_inside
from tutelage.tasks.can.ingest.detect import detect

_log = logging.getLogger(__name__)

EXTENSIONS = frozenset(
    {".parquet", ".csv", ".txt", ".log", ".asc", ".blf", ".trc", ".mf4", ".candump"}
)
BENIGN_ATTACK = "attack-free"

_SPLIT = re.compile(
    r"(train|test|validation|valid(?![-_. ]?systematic)|val)(?=$|[-_. \d])", re.IGNORECASE
)
_NUMBERED = re.compile(r"(train|test|validation|val)_\d+", re.IGNORECASE)
_SET = re.compile(r"set_\d+", re.IGNORECASE)
_BENIGN = re.compile(
    r"(attack[-_]?free|accessory|normal|benign|ambient|free[-_]?driving)", re.IGNORECASE
)
_ATTACK = re.compile(
    r"(?<![a-z])dos(?![a-z])|fuzz|flood|spoof|replay|suppress|masquerade|malfunction|impersonat"
    r"|inject|systematic|standstill|attack(?![-_ ]?free)",
    re.IGNORECASE,
)
_VEHICLES = frozenset(
    {
        *("kia", "soul", "hyundai", "sonata", "chevrolet", "spark", "silverado", "traverse"),
        *("malibu", "subaru", "forester", "impreza", "toyota", "tesla", "renault", "opel", "astra"),
        *("hatchback", "estate", "pickup"),
    }
)
_TRAILING = _VEHICLES | {"accessory", "timed", "untimed", "attack", "dataset", "data", "native"}


@dataclass(frozen=True)
class CaptureFile:
    """One capture under a data root.

    Args:
        path: The file.
        split: The split it belongs to, such as ``train_02_with_attacks``, as written; empty when
            none.
        name: The capture's name, without split and extension.
        attack: The kind of attack, told from the name by `attack_of`; meant for captures in which
            there is one.
        group: The set folder, such as ``set_01``; empty when none.
    """

    path: Path
    split: str
    name: str
    attack: str
    group: str


def find_captures(root: Path, links: Links = "inside") -> list[CaptureFile]:
    """List the captures under ``root``, sorted by set, split and name.

    Args:
        root: A capture, a folder of captures, of split folders (``train_01…/capture.csv``), of
            flat files (``SPLIT__CAPTURE.parquet``, ``test_drive.csv``), or of sets (``set_01/…``)
            of any of these. A split begins with train, test, val, valid or validation, in any
            case, and then ends or goes on with a digit or one of ``_-.`` and space.
        links: Which symbolic links are followed.

    Raises:
        DataError: ``root`` is absent, unreadable, neither file nor folder, or holds no capture, or
            one of them leads out of it.
    """
    hint = "Give the path of a capture, or of a folder of captures."
    try:
        root.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError("no such folder or file", where=root, hint=hint) from error
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror}", where=root, hint=hint) from error
    if root.is_file():
        detect(root)
        return [_describe(root, root.parent.parts[-2:], ())]
    if not root.is_dir():
        raise DataError("neither a folder nor a file", where=root, hint=hint)
    paths = _walk(root)
    found = [p for p in paths if p.suffix.lower() in EXTENSIONS]
    if ignored := len(paths) - len(found):
        _log.info("%s: files of other kinds that are ignored: %d", root, ignored)
    if not found:
        problem = "the folder is empty"
        if ignored:
            problem = f"no capture in the folder (files of other kinds: {ignored})"
        raise DataError(
            problem, where=root, hint=f"Captures end in {', '.join(sorted(EXTENSIONS))}."
        )
    if links == "inside":
        require_inside(root, found)
    above = root.resolve().parts[-2:]
    captures = [_describe(p, above, p.relative_to(root).parent.parts) for p in found]
    return sorted(captures, key=lambda c: (c.group, c.split, c.name, str(c.path)))


def attack_of(name: str) -> str:
    """The kind of attack that a capture's name tells.

    1. A name that starts with attack-free, accessory (a parked car), normal, benign, ambient or
       free-driving is ``attack-free``.
    2. A name that starts or ends with masquerade is ``masquerade``.
    3. Else trailing words are dropped while they are a number, a vehicle, or one of accessory,
       timed, untimed, attack, dataset, data, native; what is left is the attack:
       ``rpm-accessory-1`` is ``rpm``, ``DoS-sonata`` is ``DoS``.
    """
    if _BENIGN.match(name):
        return BENIGN_ATTACK
    if re.match(r"masquerade|.*masquerade$", name, re.IGNORECASE):
        return "masquerade"
    rest = name
    while found := re.fullmatch(r"(.+)[-_]([^-_]+)", rest):
        word = found[2].lower()
        if not word.isdigit() and word not in _TRAILING:
            break
        rest = found[1]
    return rest


def named_for_attack(name: str) -> bool:
    """Whether a capture's name holds a word that only attacks have, such as ``fuzzing``."""
    return attack_of(name) != BENIGN_ATTACK and _ATTACK.search(name) is not None


def vehicle_of(name: str) -> str:
    """The vehicle that a capture's name tells, ``kia soul`` of ``DoS-kia-soul``; or nothing."""
    words = re.split(r"[-_ .]+", name.lower())
    return " ".join(word for word in words if word in _VEHICLES)


def _describe(path: Path, above: tuple[str, ...], below: tuple[str, ...]) -> CaptureFile:
    """Tell a capture from its name and its folders, those down to the root and those below it."""
    split, name = _split_of(path.stem, above, below)
    group = next((f for f in reversed((*above, *below)) if _SET.fullmatch(f)), "")
    attack = attack_of(name.lstrip("0123456789_-. ") or name)
    return CaptureFile(path=path, split=split, name=name, attack=attack, group=group)


def _split_of(stem: str, above: tuple[str, ...], below: tuple[str, ...]) -> tuple[str, str]:
    """A capture's split and its name without it: told by the file, else by the nearest folder.

    ``SPLIT__NAME`` goes before a folder below the root, that before a file's prefix, and that
    before the folders down to the root, which only count with a number (``train_01…``): they may be
    called anything.
    """
    split, mark, name = stem.rpartition("__")
    if mark and name and _SPLIT.match(split):
        return split, name
    for folder in reversed(below):
        if _SPLIT.match(folder):
            return folder, stem
    if prefix := _SPLIT.match(stem):
        return prefix[1], stem[prefix.end() :].strip("_-. ") or stem
    return next((f for f in reversed(above) if _NUMBERED.match(f)), ""), stem


def _walk(root: Path) -> list[Path]:
    """Every file that is neither hidden nor a README."""

    def refuse(error: OSError) -> None:
        raise DataError(
            f"can't be read: {error.strerror}",
            where=error.filename or root,
            hint="Change its permissions, or give another folder.",
        ) from error

    paths, seen = [], {root.resolve()}
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        places = {f: Path(folder, f).resolve() for f in sorted(folders) if not f.startswith(".")}
        folders[:] = [f for f, place in places.items() if place not in seen]  # links may go round
        seen.update(places.values())
        paths += [
            Path(folder, f)
            for f in files
            if not f.startswith(".") and not f.lower().startswith(("readme", "license"))
        ]
    return paths
