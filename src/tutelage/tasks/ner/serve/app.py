"""The service: health, lineage, and the entities of a text, of several, and of a file's lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from tutelage.tasks.ner.serve.engine import Engine, Entity
from tutelage.tasks.ner.serve.limits import BodyGuard, Limits

_TOLD: Final = 3
"""Mistakes of a request that are told."""
_SHAPES: Final = {"/predict": '{"text": "…"}', "/predict/batch": '{"texts": ["…", "…"]}'}
"""What each path takes."""


class Question(BaseModel):
    """A text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str


class Questions(BaseModel):
    """Several texts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    texts: list[str]


class Found(BaseModel):
    """The entities of a text, in its characters."""

    spans: list[Entity]


class AllFound(BaseModel):
    """The entities of each text, in the order of the request."""

    results: list[Found]


def build_app(engine: Engine, lineage: Mapping[str, object], limits: Limits) -> BodyGuard:
    """Return the application.

    Args:
        engine: Finds the entities.
        lineage: What is said of where the model comes from.
        limits: The most that a request may ask.
    """
    app = FastAPI(title="tutelage ner", docs_url=None, redoc_url=None)

    @app.exception_handler(RequestValidationError)
    def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
        """Say what is wrong without what was sent, which may be long or no text."""
        said = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:_TOLD]]
        shape = _SHAPES[request.scope["route"].path]
        wrong = "; ".join(said)
        return JSONResponse({"detail": f"{wrong}. Send {shape} as application/json."}, 422)

    @app.exception_handler(400)
    def refuse_bytes(_: Request, __: Exception) -> JSONResponse:
        """Say what FastAPI calls an error in parsing: bytes that are no text."""
        return JSONResponse({"detail": "the body is not JSON in UTF-8"}, 422)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/info")
    def info() -> dict[str, object]:
        return {**lineage, "labels": list(engine.labels.types), "limits": asdict(limits)}

    @app.post("/predict")
    def predict(question: Question) -> Found:
        _check([question.text], limits)
        return Found(spans=engine.find([question.text])[0])

    @app.post("/predict/batch")
    def batch(questions: Questions) -> AllFound:
        _check(questions.texts, limits)
        found = engine.find(questions.texts) if questions.texts else []
        return AllFound(results=[Found(spans=entities) for entities in found])

    @app.post("/predict/file", response_class=Response)
    async def file(request: Request) -> Response:
        try:
            lines = (await request.body()).decode("utf-8").splitlines()
        except UnicodeDecodeError as error:
            said = f"the file is not in UTF-8: {error.reason} at byte {error.start}"
            raise HTTPException(422, said) from error
        _check(lines, limits)
        found = await run_in_threadpool(engine.find, lines) if lines else []
        rows = (
            {"text": text, "spans": [asdict(entity) for entity in entities]}
            for text, entities in zip(lines, found, strict=True)
        )
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return Response(content, media_type="application/x-ndjson")

    return BodyGuard(app, limits)


def _check(texts: Sequence[str], limits: Limits) -> None:
    """Refuse too many texts, too long ones, and those that are no text.

    Raises:
        HTTPException: 413 or 422, before any work.
    """
    if len(texts) > limits.texts:
        raise HTTPException(413, f"{len(texts)} texts; at most {limits.texts} are taken")
    for number, text in enumerate(texts):
        if len(text) > limits.characters:
            said = f"text {number} has {len(text)} characters"
            raise HTTPException(413, f"{said}; at most {limits.characters} are taken")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise HTTPException(422, f"text {number} holds half of a character (a lone surrogate)")
