"""What is wrong with one field of one bad line, in words a person can act on."""

from __future__ import annotations

import re

_BYTE = re.compile(r"[0-9a-fA-F]{2}")
LABEL_WORDS = {
    "0": 0, "1": 1, "r": 0, "t": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1,
    "no": 0, "yes": 1, "normal": 0, "benign": 0, "attack": 1,
}  # fmt: skip

WORDS = "benign/attack, normal/attack, no/yes, false/true, R/T"
"""Pairs of them, as messages name them."""


def shown(text: str, limit: int = 60) -> str:
    """A field or line as it goes into a message: quoted and not too long."""
    return repr(text if len(text) <= limit else text[:limit] + "…")


def timestamp(text: str) -> str | None:
    """What is wrong with a timestamp in seconds, or None."""
    if re.fullmatch(r"-?\d+,\d+", text):
        return f"the timestamp {shown(text)} has a decimal comma; write a point"
    try:
        float(text)
    except ValueError:
        return f"the timestamp {shown(text)} is not a number"
    return f"the timestamp {shown(text)} is not a number" if "_" in text else None


def arbitration_id(text: str) -> str | None:
    """What is wrong with a hex identifier, or None."""
    digits = text[2:] if text[:2].lower() == "0x" else text
    if not re.fullmatch(r"[0-9a-fA-F]+", digits):
        return f"the arbitration id {shown(text)} is not hex"
    if int(digits, 16) > 0x1FFFFFFF or len(digits) > 8:
        return f"the arbitration id {shown(text)} is wider than 29 bits"
    return None


def payload(text: str) -> str | None:
    """What is wrong with a payload written as hex digits without gaps, or None."""
    for at in range(0, len(text) - 1, 2):
        if not _BYTE.fullmatch(text[at : at + 2]):
            return f"bad hex byte {shown(text[at : at + 2])} in the payload {shown(text)}"
    if len(text) % 2:
        return f"the payload {shown(text)} has an odd number of hex digits"
    if len(text) > 16:
        return f"the payload {shown(text)} has {len(text) // 2} bytes; classic CAN has at most 8"
    return None


def byte_fields(fields: list[str]) -> str | None:
    """What is wrong with payload bytes that are fields of their own, or None."""
    bad = next((f for f in fields if not _BYTE.fullmatch(f)), None)
    return None if bad is None else f"bad hex byte {shown(bad)} in the payload"


def dlc(text: str) -> str | None:
    """What is wrong with a payload length, or None."""
    if re.fullmatch(r"[0-8]", text):
        return None
    return f"the payload length {shown(text)} is not a number from 0 to 8"


def label(text: str) -> str | None:
    """What is wrong with a label, or None."""
    if text.lower() in LABEL_WORDS:
        return None
    return f"the label {shown(text)} is neither 0 nor 1, nor one of {WORDS}"


def first(*problems: str | None) -> str | None:
    """The first problem that there is."""
    return next((p for p in problems if p is not None), None)


def nul(text: str) -> str | None:
    """The complaint about NUL bytes, when there are any."""
    n = text.count("\0")
    return f"{n} NUL byte{'s' if n > 1 else ''}: the file was damaged when written" if n else None
