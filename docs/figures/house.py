"""Draw the house: its rooms, what each is for by its own first line, and who imports whom.

Usage: python docs/figures/house.py docs/figures/house.svg
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from itertools import product
from pathlib import Path

import grimp

SOURCE = Path(__file__).parents[2] / "src" / "tutelage"
ROOMS: Mapping[str, tuple[float, int, str]] = {
    "cli": (0.5, 0, "meet"),
    "testing": (1.5, 0, "meet"),
    "api": (1, 1, "meet"),
    "final": (1.5, 2, "run"),
    "tasks": (0, 3, "learn"),
    "classification": (1, 3, "learn"),
    "hpo": (2, 3, "run"),
    "training": (1, 4, "learn"),
    "losses": (0, 5, "learn"),
    "tracking": (1.5, 5, "run"),
    "execution": (1, 6, "run"),
    "report": (2, 6, "run"),
    "task": (1.5, 7, "meet"),
    "capabilities": (1.5, 8, "meet"),
    "core": (0.5, 9, "meet"),
}
"""Names of modules in a room: its column, its row, and whether it learns, runs or joins both."""
WIDE, HIGH, ACROSS, DOWN, EDGE = 300, 88, 40, 40, 24
STYLE = """
svg { --paper: #ffffff; --ink: #1c2526; --soft: #5c6b6e; --line: #8fa3a7; }
@media (prefers-color-scheme: dark) { svg { --paper: #14191a; --ink: #e8eeee; --soft: #9db0b3;
  --line: #5d7175; } }
.paper { fill: var(--paper); } .arrow { stroke: var(--line); stroke-width: 1.4; fill: none; }
.head { fill: var(--line); } rect { stroke-width: 1.4; }
.learn, .run, .meet { fill-opacity: 0.12; }
.learn { fill: #2d7d7d; stroke: #2d7d7d; } .run { fill: #a8833a; stroke: #a8833a; }
.meet { fill: #6a7fb0; stroke: #6a7fb0; }
text { font: 11.5px system-ui, sans-serif; fill: var(--soft); }
.name { font: 600 13.5px ui-monospace, monospace; fill: var(--ink); }
"""


def imports() -> set[tuple[str, str]]:
    """Return which room imports from which, without those that follow from others."""
    room = {name: names for names in ROOMS for name in names.split()}
    graph = grimp.build_graph("tutelage", exclude_type_checking_imports=True, cache_dir=None)
    found = set()
    for module in graph.modules - {"tutelage", "tutelage.__main__"}:
        for other in graph.find_modules_directly_imported_by(module) - {"tutelage"}:
            found.add((room[module.split(".")[1]], room[other.split(".")[1]]))
    direct = {(above, below) for above, below in found if above != below}
    reached = set(direct)
    for middle, above, below in product(ROOMS, repeat=3):
        if (above, middle) in reached and (middle, below) in reached:
            reached.add((above, below))
    return {
        (above, below)
        for above, below in direct
        if not any((above, m) in reached and (m, below) in reached for m in ROOMS)
    }


def sentence(names: str) -> str:
    """Return the first line of a room's only or first module."""
    path = SOURCE / names.split()[0]
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()[0]


def corner(names: str) -> tuple[float, float]:
    """Return where a room's left upper corner lies."""
    column, row, _ = ROOMS[names]
    return EDGE + column * (WIDE + ACROSS), EDGE + row * (HIGH + DOWN)


def drawn() -> Iterator[str]:
    """Yield the elements of the picture."""
    width, height = 2 * EDGE + 3 * WIDE + 2 * ACROSS, 2 * EDGE + 10 * HIGH + 9 * DOWN
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    yield "<title>Who imports whom in Tutelage; arrows point to what is imported</title>"
    yield f"<style>{STYLE}</style>"
    yield (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker>'
    )
    yield f'<rect class="paper" width="{width}" height="{height}"/>'
    for above, below in sorted(imports()):
        (x, y), (u, v) = corner(above), corner(below)
        start, end = x + WIDE / 2 + (u - x) * 0.25, u + WIDE / 2 + (x - u) * 0.25
        path = f"M{start:.0f} {y + HIGH:.0f}C{start:.0f} {(y + HIGH + v) / 2:.0f}"
        path += f" {end:.0f} {(y + HIGH + v) / 2:.0f} {end:.0f} {v:.0f}"
        yield f'<path class="arrow" d="{path}" marker-end="url(#head)"/>'
    for names, (_, _, kind) in ROOMS.items():
        x, y = corner(names)
        first, *more = textwrap.wrap(names.replace(" ", ", "), 34)
        lines = [("name", first), *(("name", line) for line in more)]
        if " " not in names:
            lines += [("", line) for line in textwrap.wrap(sentence(names), 45)]
        box = f'x="{x:.0f}" y="{y:.0f}" width="{WIDE}" height="{HIGH}" rx="6"'
        yield f'<rect class="paper" {box}/><rect class="{kind}" {box}/>'
        for number, (style, line) in enumerate(lines):
            place = f'x="{x + 14:.0f}" y="{y + 24 + 18 * number:.0f}"'
            yield f'<text class="{style}" {place}>{escape(line)}</text>'
    yield "</svg>"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text("\n".join(drawn()) + "\n", encoding="utf-8")
