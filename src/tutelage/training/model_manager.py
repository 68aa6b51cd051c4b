"""`ModelManager`: weights as one safetensors file plus a JSON card that rebuilds the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from torch import Tensor, nn

from tutelage.core.errors import CheckpointError
from tutelage.core.files import digest_file, storage_errors, write_json
from tutelage.training.json_values import sanitize_for_json
from tutelage.training.model_card import ModelCard, TensorInfo, read_card
from tutelage.training.tensorfile import (
    open_tensors,
    refuse_foreign,
    storable,
    write_tensors,
)

WEIGHTS = "model.safetensors"
CARD = "model.json"


@dataclass(frozen=True)
class CardInfo:
    """What the caller knows of a model and the file of weights does not.

    Attributes:
        task: Name of the task, such as ``"can"``.
        model: Name of the model in the task's registry, such as ``"gat"``.
        config: Arguments that build it again.
        preprocessing: State that turns raw data into its inputs: vocabulary, scaler, threshold.
        preprocessing_version: The task's version of that state.
    """

    task: str
    model: str
    config: dict[str, object]
    preprocessing: dict[str, object]
    preprocessing_version: int


@dataclass(frozen=True)
class ModelInfo:
    """Size and shape of a model; tied tensors count once.

    Attributes:
        class_name: Its class.
        parameters: Numbers of its parameters.
        trainable: Those of them that require a gradient.
        bytes: Size of parameters and buffers.
        tensors: Shape and dtype of each entry of its state dict.
    """

    class_name: str
    parameters: int
    trainable: int
    bytes: int
    tensors: dict[str, TensorInfo]


class ModelManager:
    """Saves, loads and describes models; it has no state of its own."""

    @staticmethod
    def sanitize_for_json(value: object) -> JsonValue:
        """Return a value as JSON can hold it: `sanitize_for_json`."""
        return sanitize_for_json(value)

    @staticmethod
    def save_state_dict(model: nn.Module, folder: Path, info: CardInfo) -> ModelCard:
        """Write ``model.safetensors`` and, last, ``model.json``.

        Tied tensors are stored once. A compiled model is stored as the model that was compiled.

        Raises:
            CheckpointError: The state holds something that is no storable tensor.
            StorageError: The disk is full, or the folder can't be written.
        """
        state = _state(model)
        stored, tied = _untie(state, folder / WEIGHTS)
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        config, preprocessing = _json_dict(info.config), _json_dict(info.preprocessing)
        written = write_tensors(folder / WEIGHTS, stored, {"format": "pt"})
        card = ModelCard(
            task=info.task,
            model=info.model,
            config=config,
            preprocessing=preprocessing,
            preprocessing_version=info.preprocessing_version,
            digest=written.digest,
            bytes=written.bytes,
            tensors={name: TensorInfo.of(value) for name, value in state.items()},
            tied=tied,
        )
        write_json(folder / CARD, card.model_dump(mode="json"))
        return card

    @staticmethod
    def load_state_dict(source: Path, model: nn.Module) -> ModelCard:
        """Load weights into ``model`` after checking card, digest and every shape and dtype.

        Args:
            source: The folder, or the weights file in it.
            model: A model of the same build; it is changed only when all checks have passed.

        Raises:
            CheckpointError: The file is truncated, altered, foreign or of another shape,
                or the card is missing or altered.
        """
        path = source / WEIGHTS if source.is_dir() else source
        card, state = ModelManager.read_state_dict(path)
        ModelManager.verify_state_dict_compatible(model, state, where=path)
        _bare(model).load_state_dict(state, strict=True)
        return card

    @staticmethod
    def read_state_dict(source: Path) -> tuple[ModelCard, dict[str, Tensor]]:
        """Read card and tensors, tied ones too, after checking the digest.

        Args:
            source: The folder, or the weights file in it.

        Raises:
            CheckpointError: The file is truncated, altered or foreign, or the card is missing or
                altered.
        """
        path = source / WEIGHTS if source.is_dir() else source
        refuse_foreign(path)
        card = read_card(path.parent)
        if path.stat().st_size != card.bytes or digest_file(path) != card.digest:
            hint = "The file is truncated or altered: use another copy."
            raise CheckpointError("differs from its card's digest", where=path, hint=hint)
        with open_tensors(path) as reader:
            state = {name: reader.get_tensor(name) for name in reader.keys()}  # noqa: SIM118
        missing = sorted(set(card.tied.values()) - state.keys())
        if missing:
            raise CheckpointError(f"the card ties tensors that are missing: {missing}", where=path)
        state |= {alias: state[name] for alias, name in card.tied.items()}
        return card, state

    @staticmethod
    def get_model_info(model: nn.Module) -> ModelInfo:
        """Return class, size and tensors of ``model``.

        Raises:
            CheckpointError: A lazy layer has no shape yet.
        """
        tensors = {name: TensorInfo.of(value) for name, value in _state(model).items()}
        parameters, buffers = list(model.parameters()), list(model.buffers())
        return ModelInfo(
            class_name=type(_bare(model)).__name__,
            parameters=sum(value.numel() for value in parameters),
            trainable=sum(value.numel() for value in parameters if value.requires_grad),
            bytes=sum(value.numel() * value.element_size() for value in [*parameters, *buffers]),
            tensors=tensors,
        )

    @staticmethod
    def verify_state_dict_compatible(
        model: nn.Module, state_dict: dict[str, Tensor], where: Path | None = None
    ) -> None:
        """Check that ``state_dict`` fits ``model`` name by name.

        Raises:
            CheckpointError: It does not; every difference is listed.
        """
        wanted = {name: TensorInfo.of(value) for name, value in _state(model).items()}
        given = {name: TensorInfo.of(value) for name, value in state_dict.items()}
        lines = [f"missing: {name} {wanted[name]}" for name in sorted(wanted.keys() - given.keys())]
        lines += [
            f"unexpected: {name} {given[name]}" for name in sorted(given.keys() - wanted.keys())
        ]
        lines += [
            f"differs: {name} is {given[name]}, the model has {wanted[name]}"
            for name in sorted(wanted.keys() & given.keys())
            if wanted[name] != given[name]
        ]
        if lines:
            problem = f"the weights don't fit a {type(_bare(model)).__name__}:"
            hint = "Build the model with the configuration on the weights' card."
            text = "\n  ".join([problem, *lines])
            raise CheckpointError(text, where=where, hint=hint)


def _bare(model: nn.Module) -> nn.Module:
    """Return the model that torch.compile wrapped, or the model itself."""
    inner = getattr(model, "_orig_mod", model)
    return inner if isinstance(inner, nn.Module) else model


def _state(model: nn.Module) -> dict[str, Tensor]:
    bare = _bare(model)
    state: dict[str, Tensor] = {}
    for name, value in bare.state_dict().items():
        if not isinstance(value, Tensor) or isinstance(value, nn.UninitializedParameter):
            problem = (
                f"{name} of {type(bare).__name__} holds no tensor but a {type(value).__name__}"
            )
            hint = "Run one batch first where layers are lazy; keep extra state in the card."
            raise CheckpointError(problem, hint=hint)
        state[name] = value
    return state


def _untie(state: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Split a state dict into the tensors to store and, for each tied name, the stored one."""
    stored: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    for name, value in state.items():
        if (problem := storable(value)) is not None:
            raise CheckpointError(f"{name} is {problem}, which can't be stored", where=path)
        view = (value.data_ptr(), value.device, value.dtype, value.shape, value.stride())
        key = view if value.numel() else (name,)
        if key in first:
            tied[name] = first[key]
        else:
            first[key] = name
            stored[name] = value
    return stored, tied


def _json_dict(value: dict[str, object]) -> dict[str, JsonValue]:
    result = sanitize_for_json(value)
    assert isinstance(result, dict)
    return result
