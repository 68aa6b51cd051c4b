"""`tutelage ui`: every run and study on MLflow's own page, or studies on Optuna's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tutelage.cli.console import err, showing_log
from tutelage.core.errors import ConfigError, TrackingError

if TYPE_CHECKING:
    from subprocess import Popen

    from tutelage.tracking.mirror import Mirror

REFRESH_SECONDS = 5.0
RUNS = "/#/experiments?workflowType=machine_learning"
"""Where MLflow's page lists experiments, with what suits training around it."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="ui")(ui)


def ui(
    study: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="A study to show on Optuna's page, or @last."),
    ] = None,
    studies: Annotated[
        bool, typer.Option("--studies", help="Show all studies, as they are now, on Optuna's page.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes any free one.")
    ] = 5000,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open it in the browser.")
    ] = True,
    uri: Annotated[
        str | None,
        typer.Option(help="MLflow's server or database; else MLFLOW_TRACKING_URI or mlflow.db."),
    ] = None,
) -> None:
    """Look at runs and studies in the browser, until Ctrl-C.

    All that MLflow lacks is sent to it first, and goes on being sent. It listens on this machine
    alone: there is no password.

    Examples:

        tutelage ui

        tutelage ui @last --port 8080
    """
    try:
        if study is not None or studies:
            _show_studies(study, port, open_page)
        else:
            _show_runs(uri, port, open_page)
    except KeyboardInterrupt:
        err.print("closed", markup=False)


def _show_runs(uri: str | None, port: int, open_page: bool) -> None:
    from tutelage.core.store import RunStore
    from tutelage.core.tracking import check_tracking_uri
    from tutelage.tracking.environment import require, shown, tracking_uri
    from tutelage.tracking.mirror import Mirror
    from tutelage.tracking.pages import HOST, free_port, mlflow_page

    require("mlflow")
    store = RunStore.default()
    try:
        address = tracking_uri(uri and check_tracking_uri(uri), store.home)
    except ValueError as error:
        raise ConfigError(str(error), where=f"--uri={uri}") from error
    mirror = Mirror(store, address)
    with showing_log(quiet=True):
        served = address.startswith("http")
        place = 0 if served else free_port(port)
        err.print(
            f"sending to MLflow ({shown(address)}) what it lacks …", markup=False, soft_wrap=True
        )
        err.print(f"{mirror.update().sent} runs, trials and studies were new or had changed")
        if served:
            _keep_fresh(mirror, shown(address).rstrip("/"), open_page)
            return
        files = store.home / "mlflow-files"
        with mlflow_page(address, place, files, store.cache("tracking") / "page.log") as server:
            _keep_fresh(mirror, f"http://{HOST}:{place}", open_page, server)


def _keep_fresh(
    mirror: Mirror, page: str, open_page: bool, server: Popen[bytes] | None = None
) -> None:
    """Say where the page is, and send what changes while it is looked at.

    Raises:
        TrackingError: The page's server has ended.
    """
    import time

    _say(f"{page}{RUNS}", open_page)
    silent = False
    while server is None or server.poll() is None:
        time.sleep(REFRESH_SECONDS)
        try:
            mirror.update()
            silent = False
        except TrackingError as error:
            if not silent:
                err.print(str(error), markup=False)
            silent = True
    raise TrackingError("MLflow's page has ended", where=page)


def _show_studies(study: str | None, port: int, open_page: bool) -> None:
    from tutelage.core.store import RunStore
    from tutelage.tracking.environment import require
    from tutelage.tracking.pages import HOST

    require("optuna_dashboard")
    from tutelage.hpo.dashboard import dashboard, storage_of

    storage = storage_of(RunStore.default().home, study)
    with dashboard(storage, HOST, port) as server:
        _say(f"http://{HOST}:{server.server_port}", open_page)
        server.serve_forever()


def _say(page: str, open_page: bool) -> None:
    import webbrowser

    err.print(f"{page}  (Ctrl-C ends)", markup=False, soft_wrap=True)
    if open_page:
        webbrowser.open(page)
