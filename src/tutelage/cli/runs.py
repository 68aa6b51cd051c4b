"""`tutelage runs`: list, show, compare, trace, verify, reproduce, export and remove runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli.again import reproduce, verify
from tutelage.cli.console import err, out, print_json, render
from tutelage.cli.options import Json, RunName, RunNames
from tutelage.cli.run_log import log
from tutelage.cli.runs_export import export_runs
from tutelage.core.errors import RequestError

if TYPE_CHECKING:
    from tutelage.core.store import Run


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(
        name="runs",
        help="List, show, compare, trace, verify, export, remove runs; show their logs.",
        no_args_is_help=True,
    )
    group.command("list")(list_runs)
    group.command("show")(show)
    group.command("log")(log)
    group.command("compare")(compare)
    group.command("lineage")(lineage)
    group.command("verify")(verify)
    group.command("reproduce")(reproduce)
    group.command("export")(export_runs)
    group.command("rm")(remove)
    app.add_typer(group)


def list_runs(
    task: Annotated[str | None, typer.Option(help="Only runs of this task.")] = None,
    status: Annotated[str | None, typer.Option(help="Only runs of this status.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME=WORD", help="Only runs with this tag.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Also the folds of studies' trials.")
    ] = False,
    json: Json = False,
) -> None:
    """List the runs of the store, oldest first.

    Examples:

        tutelage runs list --task can --status finished

        tutelage runs list --tag purpose=refit
    """
    from tutelage.cli.run_views import STATUSES, overview, overview_table
    from tutelage.core.errors import UnknownNameError
    from tutelage.core.records import TRIAL_FOLD
    from tutelage.core.store import RunStore

    if status is not None and status not in STATUSES:
        raise UnknownNameError("status", status, STATUSES)
    tags = dict(map(_tag, tag or ()))
    store = RunStore.default()
    there = [(run, overview(run)) for run in store.runs()]
    fitting = [
        row
        for run, row in there
        if run.path.exists()  # it may have been removed meanwhile
        and task in (None, row.task)
        and status in (None, row.status)
        and tags.items() <= row.tags.items()
    ]
    rows = [r for r in fitting if everything or tags or not TRIAL_FOLD.items() <= r.tags.items()]
    left_out = len(fitting) - len(rows)
    if json:
        listed = [row.as_json() for row in rows]
        print_json({"home": str(store.home), "runs": listed, "left_out": left_out})
        return
    if rows:
        out.print(render(overview_table(rows)))
    else:
        what = " that fit" if task or status or tags else ""
        out.print(f"No runs{what} in {store.home}; `tutelage train` makes one.", highlight=False)
    if left_out:
        out.print(f"{left_out} folds of trials are not shown; --all shows them.", highlight=False)


def _tag(text: str) -> tuple[str, str]:
    """Part the name of a tag from its word."""
    name, equals, word = text.partition("=")
    if not (name and equals):
        hint = "Name the tag and its word: --tag purpose=refit."
        raise RequestError(f"{text!r} is no tag", where="--tag", hint=hint)
    return name, word


def show(run: RunName, json: Json = False) -> None:
    """Show what is known about a run: results, phases, parents, audit, files."""
    from tutelage.cli.run_views import detail, detail_tables, facts
    from tutelage.core.store import RunStore

    found = RunStore.default().find(run)
    if json:
        print_json(detail(found))
        return
    _print_facts(facts(found))
    for table in detail_tables(found):
        out.print()
        out.print(render(table))


def compare(runs: RunNames, json: Json = False) -> None:
    """Compare runs: what differs, in which settings, and whether it may be chance.

    Runs that differ by their seed or fold alone are one side. Each side is tested against the first
    one, over seeds, folds or test items. Runs of a mode are set against the same without it.

    Examples:

        tutelage runs compare 20261122-0930 20261122-1015

        tutelage runs compare @last 20261122-0930 --json
    """
    from tutelage.core.store import RunStore
    from tutelage.report.compare import compare as compared
    from tutelage.report.seeds import seed_intervals, seeds_of
    from tutelage.report.settings import differences

    store = RunStore.default()
    found = [store.find(name) for name in runs]
    if len(found) < 2:
        raise RequestError("there is nothing to compare with", hint="Name two runs or more.")
    records = [run.record for run in found]
    if len(tasks := sorted({record.task for record in records})) > 1:
        hint = "Name runs of one task."
        raise RequestError(f"runs of {' and '.join(tasks)} have no score in common", hint=hint)
    whole = compared(found)
    if json:
        shown = [record.summary(run.path) for record, run in zip(records, found, strict=True)]
        settings = {key: list(values) for key, values in differences(found).items()}
        first = records[0].metrics
        apart = [
            {key: value - first[key] for key, value in record.metrics.items() if key in first}
            for record in records[1:]
        ]
        seeds = seed_intervals(records) if seeds_of(found) else {}
        print_json(
            {
                "runs": shown,
                "differences": apart,
                "headlines": [one.as_json() for one in whole.found],
                "tests": [one.as_json() for one in whole.tests],
                "settings": settings,
                "over_seeds": {key: of.as_json() for key, of in seeds.items()},
            }
        )
        return
    for table in (whole.metrics[0], *whole.headline):
        if table.rows:
            out.print(render(table))
            out.print()
    out.print(render(whole.settings) if whole.settings.rows else "The settings are the same.")


def lineage(
    run: RunName,
    svg: Annotated[Path | None, typer.Option(help="File to draw it in, as SVG.")] = None,
    json: Json = False,
) -> None:
    """Show what a run was made from, up to its data, and what was made from it.

    Examples:

        tutelage runs lineage @last

        tutelage runs lineage @last --svg lineage.svg
    """
    from tutelage.cli.lineage import as_tree, draw_to, trace
    from tutelage.core.store import RunStore

    store = RunStore.default()
    start = store.find(run)
    if svg is not None:
        draw_to(svg, start, store)
    found = trace(start, store)
    if json:
        print_json(found.as_json())
    else:
        out.print(as_tree(found), highlight=False, soft_wrap=True)


def remove(
    run: RunName,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Delete all that descends from it too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete a run; one that others descend from is refused, and they are named.

    Others are runs that were made from it and studies that it has part in. With --cascade they are
    deleted as well, and all runs of those studies; what that is, is said before.

    Examples:

        tutelage runs rm @last

        tutelage runs rm 20261122-0930 --cascade
    """
    from tutelage.api.removing import carry_out, plan_removal

    removal = plan_removal(run)
    if cascade:
        for name, why in removal.reasons.items():
            err.print(f"with it goes {name} ({why})", markup=False, highlight=False, soft_wrap=True)
    if (cascade or removal.alone) and not yes and not _agreed(removal.run, len(removal.reasons)):
        raise RequestError("nothing was removed", where=removal.run.id)
    carry_out(removal, cascade=cascade)
    if json:
        print_json(removal.summary())
        return
    for path in removal.paths:
        out.print(f"removed {path}", highlight=False, soft_wrap=True)


def _agreed(run: Run, others: int) -> bool:
    if not sys.stdin.isatty():
        raise RequestError("removing needs --yes where nobody can be asked", where=run.id)
    what = f"{run.path} and all it holds" + (f", and these {others}" if others else "")
    return typer.confirm(f"Delete {what}?", err=True)


def _print_facts(pairs: list[tuple[str, str]]) -> None:
    from rich.markup import escape

    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        text = f"[dim]{name:<{width}}[/]  {escape(value)}"
        out.print(text, highlight=False, soft_wrap=True)
