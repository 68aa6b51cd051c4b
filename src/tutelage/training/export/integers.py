"""Matrices of an ONNX file as 8-bit integers: smaller, and faster where the CPU multiplies them."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from tutelage.training.export.runtime import require_exporter

_MULTIPLIED = ["MatMul", "Gemm"]


def to_int8(content: bytes) -> bytes:
    """Return an ONNX model whose constant matrices are 8-bit integers with a scale a column.

    What they are multiplied by is quantised as it comes (dynamic quantisation); embeddings, norms
    and recurrent layers stay as they are.

    Args:
        content: A model with all its weights in it.

    Raises:
        RequestError: The extra ``onnx`` is not installed.
    """
    require_exporter()
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load_from_string(content)
    del model.graph.value_info[
        :
    ]  # it turns matrices over, and then takes their old shapes for true
    logger = logging.getLogger()
    level, handlers = logger.level, list(logger.handlers)
    logger.setLevel(logging.ERROR)  # it recommends a step that changes nothing here
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            quantize_dynamic(
                model,
                path,
                op_types_to_quantize=_MULTIPLIED,
                per_channel=True,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            return path.read_bytes()
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers  # its first word gives the root one, which prints tracebacks
