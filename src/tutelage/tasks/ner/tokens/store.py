"""`EncodedTexts`: tokenised texts as flat arrays, kept in the cache; a batch is a slice of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from xxhash import xxh3_128

from tutelage.core.errors import CheckpointError
from tutelage.core.files import digest_json, storage_errors
from tutelage.tasks.ner.documents import Document
from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.tokens.batch import TokenBatch
from tutelage.tasks.ner.tokens.coders import Coder
from tutelage.tasks.ner.tokens.windows import Integers, Windows, cut_windows
from tutelage.training.tensorfile import open_tensors, write_tensors

_log = logging.getLogger(__name__)
_VERSION = 1
"""Raise it when the same texts become other arrays."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a window has besides the tokens of its words.

    Args:
        prefix: Tokens before them.
        suffix: Tokens after them.
        pad: The token of padding.
        max_length: Tokens of a window, at most.
        stride: Tokens that two windows of a text share.
    """

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    max_length: int
    stride: int

    @classmethod
    def of(cls, coder: Coder, max_length: int, stride: int) -> Frame:
        """Return the frame of a coder's windows."""
        return cls(coder.prefix, coder.suffix, coder.pad, max_length, stride)

    @property
    def capacity(self) -> int:
        """Tokens of words that a window takes."""
        return self.max_length - len(self.prefix) - len(self.suffix)


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """D texts with W words in N windows.

    Args:
        frame: What windows have besides their words.
        starts: (D + 1,) int64, first word of each text; the last is W.
        pieces: (P,) int32, tokens of all words.
        piece_ptr: (W + 1,) int64, tokens before each word.
        labels: (W,) int64 tags.
        form: (W,) int32, row of each word in ``characters``; none without them.
        characters: (F, K) uint16 bytes of each distinct word plus one; none without them.
        windows: The windows.
    """

    frame: Frame
    starts: Integers
    pieces: NDArray[np.int32]
    piece_ptr: Integers
    labels: Integers
    form: NDArray[np.int32] | None
    characters: NDArray[np.uint16] | None
    windows: Windows

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def lengths(self) -> Tensor:
        """(N,) int64, tokens of each window."""
        shown = self.piece_ptr[self.windows.stop] - self.piece_ptr[self.windows.first]
        return torch.from_numpy(shown + self.frame.max_length - self.frame.capacity)

    def batch(self, windows: Tensor) -> TokenBatch:
        """Return some windows, (B,) int64, padded to the longest of them."""
        at, frame = windows.numpy(), self.frame
        begin = self.piece_ptr[self.windows.first[at]]
        count = self.piece_ptr[self.windows.stop[at]] - begin
        before, after = len(frame.prefix), len(frame.suffix)
        lengths = count + before + after
        width = int(lengths.max())
        places = np.arange(width)
        inner = (places >= before) & (places < before + count[:, None])
        source = (begin[:, None] + places - before)[inner]
        ids = np.full((len(at), width), frame.pad, np.int64)
        ids[:, :before] = frame.prefix
        ids[inner] = self.pieces[source]
        for k, token in enumerate(frame.suffix):
            ids[np.arange(len(at)), before + count + k] = token
        own_first = self.windows.own_first[at]
        owned = self.windows.own_stop[at] - own_first
        row = np.repeat(np.arange(len(at)), owned)
        word = _ranges(own_first, owned)
        position = row * width + before + self.piece_ptr[word] - begin[row]
        padded = None if int(lengths.min()) == width else places < lengths[:, None]
        return TokenBatch(
            input_ids=torch.from_numpy(ids),
            attention_mask=None if padded is None else torch.from_numpy(padded.astype(np.int64)),
            characters=self._characters(source, inner),
            position=torch.from_numpy(position),
            row=torch.from_numpy(row),
            labels=torch.from_numpy(self.labels[word]),
            word=torch.from_numpy(word),
        )

    def _characters(self, words: Integers, inner: NDArray[np.bool_]) -> Tensor | None:
        """Return the bytes of some words, (B, T, K), each at its place; a word is one token."""
        if self.form is None or self.characters is None:
            return None
        found = np.zeros((*inner.shape, self.characters.shape[1]), np.int64)
        found[inner] = self.characters[self.form[words]]
        return torch.from_numpy(found)

    def windows_of(self, words: Integers) -> Integers:
        """Return the windows, ascending, in which some words count."""
        found: Integers = np.unique(np.searchsorted(self.windows.own_stop, words, side="right"))
        return found

    def tag_counts(self, tags: int) -> Tensor:
        """Return (tags,) how many words have each tag."""
        return torch.from_numpy(np.bincount(self.labels, minlength=tags))


def _ranges(first: Integers, counts: Integers) -> Integers:
    """Return the numbers ``first[i]`` up to ``first[i] + counts[i]`` of every i, end to end."""
    before = np.cumsum(counts) - counts
    found: Integers = np.arange(int(counts.sum())) + np.repeat(first - before, counts)
    return found


def with_teacher(batch: TokenBatch, teacher: EncodedTexts) -> TokenBatch:
    """Return a batch with its words as a teacher reads them, in all windows that they count in.

    Student and teacher may have other tokens, and cut the same text into other windows; words are
    what they share.
    """
    words = batch.word.numpy()
    taught = teacher.batch(torch.from_numpy(teacher.windows_of(words)))
    theirs = taught.word.numpy()  # ascending, as the windows are
    rows = torch.from_numpy(np.searchsorted(theirs, words))
    return replace(batch, taught=taught, taught_rows=rows)


def encode_texts(
    documents: Sequence[Document], labels: LabelSet, coder: Coder, frame: Frame
) -> EncodedTexts:
    """Tokenise texts: each distinct word once."""
    words = [word for document in documents for word in document.word_texts()]
    numbers: dict[str, int] = {}
    form = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int32)
    pieces = coder.pieces(list(numbers), frame.capacity)
    form_ptr = np.concatenate([[0], np.cumsum(pieces.counts)]).astype(np.int64)
    counts = pieces.counts[form] if words else np.zeros(0, np.int64)
    piece_ptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    starts = np.cumsum([0, *(len(document.words) for document in documents)]).astype(np.int64)
    tags = [labels.encode(document.words, document.spans) for document in documents]
    reads = pieces.characters is not None
    return EncodedTexts(
        frame=frame,
        starts=starts,
        pieces=pieces.ids[_ranges(form_ptr[form], counts)],
        piece_ptr=piece_ptr,
        labels=np.concatenate([np.zeros(0, np.int64), *tags]),
        form=form if reads else None,
        characters=pieces.characters,
        windows=cut_windows(starts, piece_ptr, frame.capacity, frame.stride),
    )


class TokenCache:
    """Tokenised texts in a folder, found again by what they are made of.

    Args:
        root: The folder, made when needed.
        coder: Turns words into tokens.
        frame: What windows have besides their words.
    """

    def __init__(self, root: Path, coder: Coder, frame: Frame) -> None:
        self.root, self.coder, self.frame = root, coder, frame
        made_by = (_VERSION, coder.to_json(), frame.max_length, frame.stride)
        self._key = digest_json(list(made_by))

    def load(self, documents: Sequence[Document], labels: LabelSet) -> EncodedTexts:
        """Return texts as arrays: from the folder, or tokenised now and kept there.

        Raises:
            StorageError: The folder can't be written.
        """
        path = self.root / f"{_content(documents, labels, self._key)}.safetensors"
        if path.exists():
            try:
                return self._read(path)
            except (CheckpointError, KeyError):
                _log.warning("%s is damaged; its texts are tokenised again", path)
        encoded = encode_texts(documents, labels, self.coder, self.frame)
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        write_tensors(path, _arrays(encoded), {"format": "tutelage-ner-tokens"})
        return encoded

    def _read(self, path: Path) -> EncodedTexts:
        with open_tensors(path) as reader:
            found = {name: reader.get_tensor(name).numpy() for name in reader.keys()}  # noqa: SIM118
        return EncodedTexts(
            self.frame,
            found["starts"],
            found["pieces"],
            found["piece_ptr"],
            found["labels"],
            found.get("form"),
            found.get("characters"),
            Windows(*found["windows"]),
        )


def _arrays(encoded: EncodedTexts) -> dict[str, Tensor]:
    windows = encoded.windows
    rows = np.stack([windows.first, windows.stop, windows.own_first, windows.own_stop])
    names = ("starts", "pieces", "piece_ptr", "labels", "form", "characters")
    arrays = {name: getattr(encoded, name) for name in names} | {"windows": rows}
    return {name: torch.from_numpy(a) for name, a in arrays.items() if a is not None}


def _content(documents: Sequence[Document], labels: LabelSet, key: str) -> str:
    """Digest the words and tags of texts."""
    state = xxh3_128(f"{key}{labels.to_json()}".encode())
    for document in documents:
        spans = [(span.start, span.end, span.label) for span in document.spans]
        state.update(f"{len(document.text)}:{document.text}{spans}".encode(errors="surrogatepass"))
        state.update(np.ascontiguousarray(document.words).tobytes())
    return state.hexdigest()
