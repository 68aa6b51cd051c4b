"""Optuna's own page, `optuna-dashboard`, for one study as it goes on or for all as they are now."""

from __future__ import annotations

from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna_dashboard import wsgi

from tutelage.core.errors import ConfigError, RequestError, StoreError
from tutelage.hpo.ledger import open_storage
from tutelage.hpo.results import STUDIES, STUDY, StudyFolder, find_study


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of a request."""


def storage_of(home: Path, study: str | None) -> BaseStorage:
    """Return the storage to show: that of one study, or a copy of all studies.

    Args:
        home: Where runs live.
        study: Id, unique prefix or path of a study, or ``@last``; null for all.

    Raises:
        StoreError: There is none.
        StorageError: It can't be read.
    """
    if study is not None:
        return _storage(find_study(home, study))
    folders = [StudyFolder(path.parent) for path in sorted((home / STUDIES).glob(f"*/{STUDY}"))]
    if not folders:
        hint = "`tutelage hpo TASK` makes one."
        raise StoreError("there are no studies", where=home / STUDIES, hint=hint)
    every = InMemoryStorage()
    for folder in folders:
        optuna.copy_study(
            from_study_name=folder.record.study_name,
            from_storage=_storage(folder),
            to_storage=every,
            to_study_name=folder.id,
        )
    return every


def _storage(folder: StudyFolder) -> BaseStorage:
    """A study's storage.

    Raises:
        ConfigError: It has a password, which is written nowhere.
        StorageError: It can't be read.
    """
    said = folder.record.hpo.get("storage")
    url = None if said is None else str(said)
    if url is not None and "***" in url:
        hint = f"Run optuna-dashboard with the whole URL: {url}."
        raise ConfigError(
            "the password of this study's storage is not kept", where=folder.id, hint=hint
        )
    return open_storage(url, folder.path)


def dashboard(storage: BaseStorage, host: str, port: int) -> WSGIServer:
    """Return the server of a storage's studies, which listens; `serve_forever` answers.

    Args:
        storage: What is shown.
        host: Address to listen on.
        port: 0 takes any free one, which its `server_port` says.

    Raises:
        RequestError: The address can't be listened on.
    """
    try:
        return make_server(host, port, wsgi(storage), _Server, _Quiet)
    except OSError as error:
        said = error.strerror or str(error)
        hint = "Name another --port; 0 takes any free one."
        where = f"{host}:{port}"
        raise RequestError(f"can't listen there: {said}", where=where, hint=hint) from error
