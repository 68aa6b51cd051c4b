"""Mutations of bytes and of JSON trees: the same for the same `Random`."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Final

Mutate = Callable[[Random, bytes, bytes], bytes]
"""Makes an input of a seed and another seed of the same reader."""

LONGEST: Final = 1 << 16
"""Bytes of an input, but for what a structure makes of them."""
NUMBERS: Final = (
    b"0",
    b"-1",
    b"1",
    b"255",
    b"256",
    b"65536",
    b"2147483648",
    b"4294967296",
    b"1e308",
    b"1e999",
    b"-0.0",
    b"nan",
    b"inf",
    b"9223372036854775808",
    b"0x1FFFFFFF",
    b"1_000",
    b"9" * 5000,
    b"1e-400",
    b"0.1.2",
    b"\xd9\xa3",
)
WORDS: Final = (
    b"\0",
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b",",
    b";",
    b'"',
    b"'",
    b" ",
    b"  ",
    b"#",
    b"[",
    b"]",
    b"{",
    b"}",
    b":",
    b"-",
    b"=",
    b"null",
    b"true",
    b"NaN",
    b"../../etc/passwd",
    b"/etc/passwd",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\\ud800",
    b"\\u0000",
    b"\xed\xa0\x80",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\x1b[2J",
    b"[" * 2000,
    b'{"a":' * 2000,
    b"O",
    b"B-",
    b"I-",
    b"-DOCSTART-",
    b"# newdoc",
    b"\xf0\x9f\x98\x80",
)
YAML_WORDS: Final = (
    b"&a ",
    b"*a",
    b"<<: *a",
    b"<<: [*a, *a]",
    b"!!python/object/apply:os.system [id]",
    b"!!binary ",
    b"!!timestamp 2020-13-45",
    b"!!int x",
    b"!!float z",
    b"!!set {a}",
    b"!!omap [a: 1]",
    b"---\n",
    b"...\n",
    b"%YAML 9.9\n",
    b"? ",
    b"| ",
    b"> ",
    b"- " * 3,
    b"\t",
    b"!!bool q",
    b"!!null z",
    b"!x ",
    b"!!pairs [a: 1]",
    b"? [a, b]\n: 1\n",
    b"1e-3",
    b"~",
    b"!!str [1]",
    b"!!map 1",
    b"!!seq {a: 1}",
)
INTEGERS: Final = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63,
    2**64 - 1,
)
ODD: Final[tuple[object, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    0.5,
    -0.0,
    "",
    "x",
    "0",
    "1e3",
    "nan",
    "\0",
    "\ud800",
    "../../x",
    "/etc/passwd",
    "@last",
    "é",
    "a" * 300,
    [],
    {},
    [[]],
    [{}],
    [None],
    {"": None},
    {"name": "gat"},
    [0, "x"],
    "\x1b[2J",
    "\u2028",
    -(2**63),
    [1, 2, 3],
    {"a": {"b": {"c": 1}}},
    "null",
    "2020-01-01T00:00:00Z",
    "9999-99-99",
)


def mutate_bytes(words: Sequence[bytes] = ()) -> Mutate:
    """Return what changes a few places of the bytes; ``words`` are tokens of the format."""
    tokens = (*WORDS, *NUMBERS, *words, *words)

    def mutate(random: Random, seed: bytes, other: bytes) -> bytes:
        data = bytearray(seed)
        for _ in range(1 + min(int(random.expovariate(0.7)), 8)):
            _change(random, data, other, tokens)
        return bytes(data[:LONGEST])

    return mutate


def _change(random: Random, data: bytearray, other: bytes, tokens: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    kind = random.randrange(10)
    if kind == 0 and data:
        data[at % len(data)] ^= 1 << random.randrange(8)
    elif kind == 1 and data:
        data[at % len(data)] = random.randrange(256)
    elif kind == 2:
        del data[at : at + random.choice((1, 2, 4, 8, 64))]
    elif kind == 3:
        data[at:at] = data[at : at + random.choice((1, 4, 16, 64, 256))] * random.choice((1, 2, 9))
    elif kind in (4, 5):
        word = random.choice(tokens)
        data[at : at + random.choice((0, len(word)))] = word
    elif kind == 6:
        start = random.randrange(len(other) + 1)
        data[at : at + random.choice((0, 16))] = other[start : start + random.choice((4, 16, 128))]
    elif kind == 7:
        form = random.choice(("<B", "<H", "<I", "<Q", ">H", ">I", ">Q"))
        size = struct.calcsize(form)
        data[at : at + size] = struct.pack(form, random.choice(INTEGERS) % 256**size)
    elif kind == 8 and random.random() < 0.3:
        del data[at:]
    else:
        _number(random, data)


def _number(random: Random, data: bytearray) -> None:
    """Put another number in place of a digit's run."""
    digits = [i for i, byte in enumerate(data[:4096]) if 48 <= byte <= 57]
    if not digits:
        return
    start = end = random.choice(digits)
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    data[start:end] = random.choice(NUMBERS)


def mutate_json(random: Random, seed: bytes, other: bytes) -> bytes:
    """Change a few nodes of a JSON document."""
    tree = json.loads(seed)
    for _ in range(1 + min(int(random.expovariate(0.7)), 4)):
        tree = change_tree(random, tree)
    return json.dumps(tree).encode()


def json_lines(random: Random, seed: bytes, other: bytes) -> bytes:
    """Change one line of a file of JSON documents."""
    lines = [line for line in seed.split(b"\n") if line.strip()]
    at = random.randrange(len(lines))
    lines[at] = mutate_json(random, lines[at], other)
    return b"\n".join(lines) + b"\n"


def change_tree(random: Random, tree: object) -> object:
    """Return a tree with one node changed; the tree itself is changed too."""
    places = list(_places(tree))
    if not places or random.random() < 0.02:
        return deepcopy(random.choice(ODD))
    holder, key = random.choice(places)
    _change_node(random, holder, key)
    return tree


def _places(tree: object) -> list[tuple[dict[str, object] | list[object], str | int]]:
    found: list[tuple[dict[str, object] | list[object], str | int]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            found += [(node, key) for key in node]
            waiting += node.values()
        elif isinstance(node, list):
            found += [(node, place) for place in range(len(node))]
            waiting += node
    return found


def _change_node(random: Random, holder: dict[str, object] | list[object], key: str | int) -> None:
    value = holder[key]  # type: ignore[index,call-overload]
    kind = random.randrange(8)
    if kind < 3:
        new: object = deepcopy(random.choice(ODD))
    elif kind == 3:
        new = _nested(random, value)
    elif kind == 4 and isinstance(value, int | float):
        new = value * random.choice((-1, 0, 2, 1000, 1e12)) + random.choice((0, 1, 0.5))
    elif kind == 4:
        new = [value, deepcopy(value)]
    elif kind == 5 and isinstance(holder, dict):
        holder[random.choice(("name", "x", "", "type", "schema_version"))] = holder.pop(str(key))
        return
    elif kind == 6:
        del holder[key]  # type: ignore[arg-type]
        return
    else:
        new = _near(random, value)
    holder[key] = new  # type: ignore[index,call-overload]


def _nested(random: Random, value: object) -> object:
    for _ in range(random.choice((1, 3, 200))):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def _near(random: Random, value: object) -> object:
    """Something of the same kind."""
    if isinstance(value, str):
        at = random.randrange(len(value) + 1)
        return (
            value[:at]
            + random.choice(("", "é", "\0", "..", "/", "\ud800", " ", "9"))
            + value[at + 1 :]
        )
    if isinstance(value, list):
        return deepcopy(value) * (20 if len(value) < 4 else 2)
    if isinstance(value, dict):
        return value | {"extra": 1}
    return str(value)


def either(*ways: Mutate) -> Mutate:
    """Return what takes one of several ways each time."""

    def mutate(random: Random, seed: bytes, other: bytes) -> bytes:
        return random.choice(ways)(random, seed, other)

    return mutate


def both(first: Mutate, second: Mutate) -> Mutate:
    """Return what takes two ways, one after the other."""

    def mutate(random: Random, seed: bytes, other: bytes) -> bytes:
        return second(random, first(random, seed, other), other)

    return mutate
