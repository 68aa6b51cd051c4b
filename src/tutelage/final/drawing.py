"""Draw a run's ancestry as an SVG picture: files on the left, the run on the right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Final

from tutelage.core.errors import StoreError
from tutelage.core.inputs import read_inputs
from tutelage.core.records import RunRecord
from tutelage.core.store import INPUTS, Run
from tutelage.final.ancestry import Ancestor, Ancestry
from tutelage.report.tables import headline_of, headline_value

_WIDTH, _LINE, _PAD = 344, 17, 12
_ACROSS, _DOWN, _MARGIN = 104, 26, 28
_FILES: Final = 3
_LETTERS: Final = 48
_STYLE: Final = """
svg { --paper: #ffffff; --ink: #1c2526; --soft: #5c6b6e; --line: #8fa3a7;
  --run: #eef6f6; --edge: #2d7d7d; --data: #f6f2e8; --file: #a8833a; --gone: #b3402e; }
@media (prefers-color-scheme: dark) { svg { --paper: #14191a; --ink: #e8eeee; --soft: #9db0b3;
  --line: #5d7175; --run: #1d2b2c; --edge: #5bb5b0; --data: #2b2619; --file: #d2ad62;
  --gone: #ef8b78; } }
.paper { fill: var(--paper); }
.box { fill: var(--run); stroke: var(--edge); stroke-width: 1.2; }
.first { stroke-width: 3; }
.data { fill: var(--data); stroke: var(--file); }
.gone { stroke: var(--gone); stroke-dasharray: 5 4; }
.link { fill: none; stroke: var(--line); stroke-width: 1.6; }
text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.name { font-weight: 600; font-size: 13.5px; }
.small { font: 10.5px ui-monospace, monospace; fill: var(--soft); }
.role { font-size: 11px; fill: var(--soft); paint-order: stroke; stroke: var(--paper);
  stroke-width: 5px; stroke-linejoin: round; }
"""


@dataclass(frozen=True, slots=True)
class _Box:
    """Something in the picture.

    Args:
        column: 0 is the right-most.
        lines: Its text: class and words; the first is its name.
        kind: Classes of its frame.
    """

    column: int
    lines: tuple[tuple[str, str], ...]
    kind: str

    @property
    def height(self) -> int:
        """In units of the picture; what has no lines is a gap that a link passes."""
        return 2 * _PAD + _LINE * len(self.lines) - 3 if self.lines else _LINE


def draw(chain: Ancestry) -> str:
    """Return the picture as SVG, readable on light and dark pages and by a screen reader."""
    boxes, links = _contents(chain)
    ways = [_way(boxes, link) for link in links]
    places, width, height = _layout(boxes, ways)
    leaves, comes = (_ports(boxes, places, ways, back) for back in (False, True))
    first = next(iter(chain.runs.values()))
    title = f"Lineage of the run {first.id}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(_described(chain))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}"/>',
        *(_line(places, way, leaves, comes) for way in ways),
        *(_frame(box, *places[name]) for name, box in boxes.items() if box.lines),
        *(
            _role(places, way, link[2], leaves)
            for way, link in zip(ways, links, strict=True)
            if link[2]
        ),
        *_footer(first, height),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


_Link = tuple[str, str, str]
_Places = Mapping[str, tuple[float, float]]
_Heights = Mapping[tuple[str, str], float]


def _contents(chain: Ancestry) -> tuple[dict[str, _Box], list[_Link]]:
    """The boxes by name, those of data after those of runs, and what leads from which to which."""
    generations = chain.generations
    boxes = {
        name: _run_box(ancestor, generations[name], first=number == 0)
        for number, (name, ancestor) in enumerate(chain.runs.items())
    }
    links = [(link.parent, link.child, link.role) for link in chain.links]
    last = max(generations.values()) + 1
    for ancestor in chain.runs.values():
        for name, box in _data_boxes(ancestor, last):
            boxes.setdefault(name, box)
            if not _reaches(name, ancestor, chain):
                links.append((name, ancestor.id, "folds" if name.startswith("folds ") else ""))
    return boxes, links


def _reaches(name: str, ancestor: Ancestor, chain: Ancestry) -> bool:
    """Whether data lead to a run by way of a parent that has the same: one line is enough."""
    parents = (chain.runs[link.parent] for link in chain.links if link.child == ancestor.id)
    return any(name == other for parent in parents for other, _ in _data_boxes(parent, 0))


def _run_box(ancestor: Ancestor, column: int, first: bool) -> _Box:
    record = ancestor.record
    if record is None or ancestor.run is None:
        said = ancestor.problem or "can't be read"
        return _Box(
            column, (("name", "a run"), ("small", _short(ancestor.id)), ("", said)), "box gone"
        )
    lines = [
        ("name", f"{record.model} · {record.mode}"),
        ("small", _short(record.id)),
        ("", " · ".join(filter(None, (record.task, record.status, _score(record))))),
        ("small", f"fingerprint {record.fingerprints.run[:12]}"),
    ]
    if record.of_study is not None:
        what, _, study = record.of_study.partition(" of study ")
        lines += [("", what), ("small", _short(f"study {study}"))]
    weights = record.artifacts.get("model.safetensors")
    if weights is not None:
        lines.append(("small", f"weights     {weights.digest[:12]}"))
    return _Box(column, tuple(lines), "box first" if first else "box")


def _score(record: RunRecord) -> str:
    name = headline_of(record)
    value = headline_value(record, name)
    return "" if value is None else f"{name} {value:.4g}"


def _data_boxes(ancestor: Ancestor, column: int) -> Iterator[tuple[str, _Box]]:
    """The data of a run, and the file of its folds; runs on the same data share the box."""
    run, record = ancestor.run, ancestor.record
    if run is None or record is None:
        return
    prints = record.fingerprints
    root, split, files = _read(run)
    name = Path(root).name if root else "data that ship with it"
    kept = [("", _short(file)) for file in files[:_FILES]]
    if len(files) > _FILES:
        kept.append(("", f"and {len(files) - _FILES} more files"))
    lines = [("name", name), *([("small", _short(root))] if root else []), *kept]
    lines.append(("small", f"content     {prints.data[:12]}"))
    yield f"data {prints.data}", _Box(column, tuple(lines), "box data")
    if prints.split is not None:
        lines = [("name", Path(split).name), ("small", f"content     {prints.split[:12]}")]
        yield f"folds {prints.split}", _Box(column, tuple(lines), "box data")


def _read(run: Run) -> tuple[str, str, list[str]]:
    """Where a run's data and folds lay, and the names of its files of data."""
    try:
        data, inputs = run.settings.get("data"), read_inputs(run.path / INPUTS)
    except StoreError:
        return "", "", []
    said = data if isinstance(data, dict) else {}
    files = sorted({**inputs.data, **inputs.package}) if inputs else []
    return str(said.get("root") or ""), str(said.get("split_file") or "folds"), files


def _short(text: str) -> str:
    """Leave out the middle of what is too long for a box."""
    half = _LETTERS // 2
    return text if len(text) <= _LETTERS else f"{text[: half - 1]}…{text[-half:]}"


def _way(boxes: dict[str, _Box], link: _Link) -> tuple[str, ...]:
    """What a link passes: its ends and, in each column between them, a gap that is added for it."""
    one, to, _ = link
    between = range(boxes[one].column - 1, boxes[to].column, -1)
    gaps = {f"{one} to {to} at {column}": _Box(column, (), "gap") for column in between}
    boxes.update(gaps)
    return (one, *gaps, to)


def _layout(
    boxes: Mapping[str, _Box], ways: Sequence[tuple[str, ...]]
) -> tuple[dict[str, tuple[float, float]], float, float]:
    """Place the boxes: columns from right to left, each box near what it leads to.

    Returns:
        The left upper corner of each box, and the width and height of the picture.
    """
    steps = [step for way in ways for step in pairwise(way)]
    columns = range(max(box.column for box in boxes.values()) + 1)
    of = {c: [name for name, box in boxes.items() if box.column == c] for c in columns}
    tall = {c: sum(boxes[name].height + _DOWN for name in of[c]) - _DOWN for c in columns}
    room = max(tall.values())
    places: dict[str, tuple[float, float]] = {}
    for c in columns:
        x = _MARGIN + (columns[-1] - c) * (_WIDTH + _ACROSS)
        y = _MARGIN + (room - tall[c]) / 2
        for name in sorted(of[c], key=lambda name: _wanted(name, boxes, places, steps)):
            places[name] = (x, y)
            y += boxes[name].height + _DOWN
    width = 2 * _MARGIN + len(columns) * _WIDTH + (len(columns) - 1) * _ACROSS
    return places, width, 2 * _MARGIN + room + _LINE + _PAD


def _wanted(
    name: str, boxes: Mapping[str, _Box], places: _Places, steps: Sequence[tuple[str, str]]
) -> float:
    """Mean height of what a box leads to."""
    heights = [places[to][1] + boxes[to].height / 2 for one, to in steps if one == name]
    return sum(heights) / len(heights) if heights else 0.0


def _ports(
    boxes: Mapping[str, _Box], places: _Places, ways: Sequence[tuple[str, ...]], back: bool
) -> dict[tuple[str, str], float]:
    """The height at which each step leaves a box, or (``back``) comes to one: each its own."""
    steps = [(to, one) if back else (one, to) for way in ways for one, to in pairwise(way)]
    found: dict[tuple[str, str], float] = {}
    for name, box in boxes.items():
        others = sorted({b for a, b in steps if a == name}, key=lambda other: places[other][1])
        middle = places[name][1] + box.height / 2
        for n, other in enumerate(others):
            found[name, other] = middle + _LINE * (n - (len(others) - 1) / 2)
    return found


def _line(places: _Places, way: Sequence[str], leaves: _Heights, comes: _Heights) -> str:
    """A curve from box to box, straight through the gaps between."""
    bend = _ACROSS * 0.55
    path = ""
    for one, to in pairwise(way):
        x, u = places[one][0] + _WIDTH, places[to][0]
        y, v = leaves[one, to], comes[to, one]
        path += f"{'L' if path else 'M'}{x:.0f},{y:.1f} "
        path += f"C{x + bend:.0f},{y:.1f} {u - bend:.0f},{v:.1f} {u:.0f},{v:.1f} "
    return f'<path class="link" d="{path.strip()}"/>'


def _role(places: _Places, way: Sequence[str], role: str, leaves: _Heights) -> str:
    """The role, on the line where it leaves the parent."""
    at = f'x="{places[way[0]][0] + _WIDTH + 7:.0f}" y="{leaves[way[0], way[1]] + 4:.1f}"'
    return f'<text class="role" {at}>{escape(role)}</text>'


def _frame(box: _Box, x: float, y: float) -> str:
    lines = [
        f'<text class="{kind}" x="{x + _PAD:.0f}" y="{y + _PAD + 10 + n * _LINE:.1f}">'
        f"{escape(words)}</text>"
        for n, (kind, words) in enumerate(box.lines)
    ]
    frame = (
        f'<rect class="{box.kind}" x="{x:.0f}" y="{y:.1f}" width="{_WIDTH}" '
        f'height="{box.height}" rx="7"/>'
    )
    return "\n".join(["<g>", frame, *lines, "</g>"])


def _footer(first: Ancestor, height: float) -> Iterator[str]:
    """What the run was made with."""
    if first.record is None:
        return
    where = first.record.environment
    said = [f"tutelage {where.tutelage}", f"Python {where.python}"]
    said += [f"{name} {version}" for name, version in list(where.packages.items())[:2]]
    if where.revision is not None:
        changes = " and changes" if where.revision.dirty else ""
        said.insert(1, f"revision {where.revision.commit[:12]}{changes}")
    words = escape(" · ".join(said))
    yield f'<text class="small" x="{_MARGIN}" y="{height - _MARGIN + 6:.0f}">{words}</text>'


def _described(chain: Ancestry) -> str:
    """The same in words."""
    first = next(iter(chain.runs))
    said = [f"The run {first} was made from {len(chain.runs) - 1} other runs."]
    said += [f"{link.child} was made from {link.parent} ({link.role})." for link in chain.links]
    for ancestor in chain.runs.values():
        if ancestor.run is None or ancestor.record is None:
            said.append(f"{ancestor.id} {ancestor.problem}.")
            continue
        root, _, files = _read(ancestor.run)
        where = root or "what ships with Tutelage"
        said.append(f"{ancestor.id} read {where} ({len(files)} files).")
    return " ".join(said)
