"""The tree of what a run was made from and what was made from it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.tree import Tree

from tutelage.core.errors import StoreError
from tutelage.core.files import atomic_file
from tutelage.core.store import Run, RunStore

GONE = "gone"


@dataclass(frozen=True, slots=True)
class Node:
    """A run in the tree.

    Args:
        run: Its id.
        role: What it gave to the run below it; empty for the run that was asked for.
        status: Its status, or ``gone`` where the store no longer has a readable record of it.
        what: Task, model and mode.
        data: Fingerprint of its data.
        source: The file or folder of its data, or ``embedded``; empty where that is unknown.
        study: What it is to the study that made it; empty where none did.
        parents: The runs it was made from.
        children: The runs made from it, with the role it had; only of the run asked for.
    """

    run: str
    role: str
    status: str
    what: str = ""
    data: str = ""
    source: str = ""
    study: str = ""
    parents: tuple[Node, ...] = ()
    children: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> dict[str, object]:
        """The nested values that ``--json`` prints."""
        return {
            "run": self.run,
            "role": self.role,
            "status": self.status,
            "data": self.data,
            "source": self.source,
            "study": self.study,
            "parents": [parent.as_json() for parent in self.parents],
            "children": [{"run": run, "role": role} for run, role in self.children],
        }


def trace(run: Run, store: RunStore) -> Node:
    """Follow a run's parents up to their data, and name its children.

    Raises:
        StoreError: The run's own record can't be read.
    """
    children = tuple(
        (child.id, parent.role)
        for child in store.children(run)
        for parent in child.record.parents
        if parent.run == run.id
    )
    return _node(run, store, "", children, frozenset())


def _node(
    run: Run,
    store: RunStore,
    role: str,
    children: tuple[tuple[str, str], ...],
    below: frozenset[str],
) -> Node:
    record = run.record
    parents = []
    for parent in record.parents:
        above = Run(store.home / Path(parent.run).name)
        try:
            if above.id in below | {run.id}:
                raise StoreError("a run can't descend from itself", where=run.id)
            parents.append(_node(above, store, parent.role, (), below | {run.id}))
        except StoreError:
            parents.append(Node(parent.run, parent.role, GONE))
    what = f"{record.task} · {record.model} · {record.mode}"
    return Node(
        run.id,
        role,
        run.status,
        what,
        data=record.fingerprints.data,
        source=_source(run),
        study=record.of_study or "",
        parents=tuple(parents),
        children=children,
    )


def _source(run: Run) -> str:
    """Where a run's data lay; empty where its configuration can't be read."""
    with suppress(StoreError):
        data = run.settings.get("data")
        return str(data.get("root") or "embedded") if isinstance(data, dict) else ""
    return ""


def as_tree(node: Node) -> Tree:
    """Draw the run, its parents above their data, and its children."""
    tree = Tree(_label(node))
    _grow(tree, node)
    if node.children:
        branch = tree.add("[dim]children[/]")
        for run, role in node.children:
            branch.add(f"{escape(run)} [dim]({escape(role)})[/]")
    return tree


def draw_to(path: Path, run: Run, store: RunStore) -> None:
    """Draw a run's ancestry as SVG in a file.

    Raises:
        StorageError: The file can't be written.
    """
    from tutelage.final.ancestry import ancestry
    from tutelage.final.drawing import draw

    with atomic_file(path) as file:
        file.write(draw(ancestry(run, store)).encode())


def _grow(tree: Tree, node: Node) -> None:
    for parent in node.parents:
        _grow(tree.add(_label(parent)), parent)
    if node.study:
        tree.add(f"[dim]{escape(node.study)}[/]")
    if node.data:
        tree.add(f"[dim]data[/] {escape(node.data)} [dim]{escape(node.source)}[/]")


def _label(node: Node) -> str:
    role = f"[dim]{escape(node.role)}:[/] " if node.role else ""
    return f"{role}{escape(node.run)} [dim]{escape(node.what)}[/] {node.status}"
