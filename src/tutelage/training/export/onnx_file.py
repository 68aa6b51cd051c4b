"""Write a model as one ONNX file, and refuse one that says something else than what was trained."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.core.errors import ConfigError, RunFailedError
from tutelage.core.files import atomic_file, digest_bytes, write_json
from tutelage.training.export.card import ExportCard, Kept, Parity, TensorForm, card_path
from tutelage.training.export.form import Exportable, Quality, Results
from tutelage.training.export.integers import to_int8
from tutelage.training.export.latency import time_calls
from tutelage.training.export.runtime import open_session, require_exporter

if TYPE_CHECKING:
    import onnx
    import onnxruntime

OPSET = 20
TOLERANCE = 1e-5
"""Largest difference between what was trained and what was exported, as a share of a sample's
largest result where that is beyond ±1."""
_KINDS = {"tensor(float)": "float32", "tensor(int64)": "int64"}


def export_onnx(
    form: Exportable,
    path: Path,
    *,
    run: str,
    task: str,
    model: str,
    parameters: int,
    preprocessing_digest: str,
    format: Literal["onnx", "onnx-int8"] = "onnx",
) -> ExportCard:
    """Write a model to ``path`` and its card beside it, if it proves true.

    Args:
        form: The model, and samples to prove it by.
        path: The file; the card's name is that and ``.json``.
        run: Id of the run it comes from.
        task: The run's task.
        model: Its model's name.
        parameters: Numbers of its parameters.
        preprocessing_digest: Digest of what makes its inputs.
        format: As it was trained, or with matrices of 8-bit integers, which are held to a metric.

    Raises:
        RequestError: The extra ``onnx`` is not installed.
        ConfigError: There is no metric to hold 8-bit integers to.
        RunFailedError: The model can't be expressed in ONNX, or the file says something else than
            it does; nothing was written.
        StorageError: The disk is full, or the folder can't be written.
    """
    if format == "onnx-int8" and form.quality is None:
        raise ConfigError("this model has no metric to hold 8-bit integers to", where=run)
    content = to_onnx(form)
    if format == "onnx-int8":
        content = to_int8(content)
    session = open_session(content)
    parity, kept = _proved(session, form, format, where=run)
    card = ExportCard(
        format=format,
        run=run,
        task=task,
        model=model,
        opset=OPSET,
        exporter=f"torch {torch.__version__}",
        parameters=parameters,
        bytes=len(content),
        digest=digest_bytes(content),
        inputs=_forms(session.get_inputs()),
        outputs=_forms(session.get_outputs()),
        preprocessing_digest=preprocessing_digest,
        facts=dict(form.facts),
        parity=parity,
        kept=kept,
        latency=time_calls(session, form, format),
    )
    with atomic_file(path) as file:
        file.write(content)
    write_json(card_path(path), card.model_dump(mode="json"))
    return card


def _proved(
    session: onnxruntime.InferenceSession, form: Exportable, format: str, where: str
) -> tuple[Parity, Kept | None]:
    """Say how near a file comes to the model, and what its metric keeps, if it has one.

    Raises:
        RunFailedError: It says something else, or the metric falls too far.
    """
    results = run_samples(session, form, where=where)
    tolerance = TOLERANCE if format == "onnx" else None
    parity = compare(results, form, where=where, tolerance=tolerance)
    if form.quality is None:
        return parity, None
    return parity, hold(form.quality, results, form.expected, where=where)


def to_onnx(form: Exportable) -> bytes:
    """Return the model as the content of an ONNX file, with all its weights in it.

    Raises:
        RequestError: The extra ``onnx`` is not installed.
        RunFailedError: The exporter can't express the model.
    """
    require_exporter()
    import onnx

    axes = tuple(dict(form.axes.get(name, {})) or None for name in form.inputs)
    try:
        with _quietly(), torch.no_grad():
            program = torch.onnx.export(
                form.module.eval(),
                form.example,
                input_names=list(form.inputs),
                output_names=[form.output],
                dynamic_shapes=axes,
                opset_version=OPSET,
                custom_translation_table=dict(form.translations or {}) or None,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        said = f"torch {torch.__version__} can't express this model in ONNX: {error}"
        hint = "Use the versions of constraints.txt, or report this."
        raise RunFailedError(said, hint=hint) from error
    assert program is not None
    proto = program.model_proto
    _remove_traces(proto)
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def run_samples(
    session: onnxruntime.InferenceSession, form: Exportable, where: str
) -> list[NDArray[np.float32]]:
    """Return what a session says of every sample of ``form``.

    Raises:
        RunFailedError: There is none.
    """
    if not form.samples:
        hint = "Name data with at least one sample: data.root=…"
        raise RunFailedError("there is no sample to compare by", where=where, hint=hint)
    return [session.run([form.output], feeds(form, sample))[0] for sample in form.samples]


def feeds(form: Exportable, sample: tuple[Tensor, ...]) -> dict[str, NDArray[Any]]:
    """Return a sample as a session takes it."""
    return {n: value.numpy() for n, value in zip(form.inputs, sample, strict=True)}


def compare(
    results: Sequence[NDArray[np.float32]],
    form: Exportable,
    where: str,
    tolerance: float | None = TOLERANCE,
) -> Parity:
    """Compare results with what is expected.

    Args:
        results: For each sample of ``form``.
        form: The model that was exported.
        where: What messages are about.
        tolerance: Largest difference allowed; null allows any.

    Raises:
        RunFailedError: A result is off by more.
    """
    import onnxruntime

    pairs = zip(results, form.expected, strict=True)
    differences = [_apart(result, expected.numpy()) for result, expected in pairs]
    worst = int(np.argmax(differences))  # of a NaN, its place
    allowed = np.finfo(np.float64).max if tolerance is None else tolerance
    if not differences[worst] <= allowed:
        lengths = [tuple(value.shape) for value in form.samples[worst]]
        raise RunFailedError(
            f"the exported model is off by {differences[worst]:.3g}, more than {allowed:g}, on "
            f"sample {worst} of {len(differences)} (inputs {lengths}); nothing was written",
            where=where,
            hint=f"Another onnxruntime than {onnxruntime.__version__} may be right; report this.",
        )
    return Parity(
        samples=len(differences),
        largest_difference=differences[worst],
        tolerance=tolerance,
        runtime=f"onnxruntime {onnxruntime.__version__}",
    )


def hold(quality: Quality, results: Results, expected: Sequence[Tensor], where: str) -> Kept:
    """Hold results to what the trained model's are worth.

    Raises:
        RunFailedError: They are worth too little.
    """
    trained = quality.of([one.numpy() for one in expected])
    exported = quality.of(results)
    if not exported >= trained - quality.allowed_drop:
        raise RunFailedError(
            f"the exported model's {quality.name} is {exported:.4f}, the trained one's "
            f"{trained:.4f}: more than {quality.allowed_drop:g} is lost; nothing was written",
            where=where,
            hint="Export it with --format onnx.",
        )
    return Kept(
        metric=quality.name,
        trained=trained,
        exported=exported,
        allowed_drop=quality.allowed_drop,
    )


def _apart(result: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference, as a share of the largest result where that is beyond ±1.

    What rounding leaves of a small logit comes from large numbers that all but cancel. Infinite
    where the shapes differ.
    """
    if result.shape != expected.shape:
        return float("inf")
    difference = np.abs(result.astype(np.float64) - expected).max()
    return float(difference / max(float(np.abs(expected).max()), 1.0))


def _forms(nodes: Sequence[onnxruntime.NodeArg]) -> dict[str, TensorForm]:
    return {n.name: TensorForm(dtype=_KINDS[n.type], shape=tuple(n.shape)) for n in nodes}


@contextmanager
def _quietly() -> Iterator[None]:
    """Leave out what the exporter says of itself: missing torchvision, its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _remove_traces(proto: onnx.ModelProto) -> None:
    """Remove where in which source file each step was written: paths of this machine."""
    graph = proto.graph
    proto.ClearField("metadata_props")
    parts = (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info)
    for part in (graph, *parts):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
