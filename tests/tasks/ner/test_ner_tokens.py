"""Words become tokens once, windows of long texts share words, and each word counts once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_encoders import TOKENS, few_texts, save_encoder, text
from transformers import AutoTokenizer

from tutelage.core.errors import DataError
from tutelage.tasks.ner.labels import LabelSet
from tutelage.tasks.ner.tokens.coders import Coder, coder_from_json
from tutelage.tasks.ner.tokens.store import EncodedTexts, Frame, TokenCache, encode_texts
from tutelage.tasks.ner.tokens.subwords import MAX_PIECES, SubwordCoder
from tutelage.tasks.ner.tokens.vocabulary import MASK, SPECIAL, UNKNOWN, VocabularyCoder
from tutelage.tasks.ner.tokens.windows import cut_windows

LABELS = LabelSet.of(["person", "place", "firm"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def subwords(folder: Path) -> SubwordCoder:
    return SubwordCoder((folder / "tokenizer.json").read_text(), pad=0)


def whole(encoded: EncodedTexts, *windows: int):  # type: ignore[no-untyped-def]
    return encoded.batch(torch.tensor(windows or range(len(encoded))))


def encode(coder: Coder, *texts, max_length: int = 64, stride: int = 4) -> EncodedTexts:  # type: ignore[no-untyped-def]
    return encode_texts(texts, LABELS, coder, Frame.of(coder, max_length, stride))


def test_the_tokens_are_those_of_the_encoders_own_tokenizer(
    folder: Path, subwords: SubwordCoder
) -> None:
    document = few_texts()[1]
    theirs = AutoTokenizer.from_pretrained(folder)(
        document.word_texts(), is_split_into_words=True, truncation=False
    )
    batch = whole(encode(subwords, document))
    assert batch.input_ids[0].tolist() == theirs["input_ids"]
    firsts = [theirs.word_to_tokens(i).start for i in range(len(document.words))]
    assert batch.position.tolist() == firsts


def test_each_word_keeps_its_tag_at_its_first_token(subwords: SubwordCoder) -> None:
    batch = whole(encode(subwords, *few_texts()))
    tags = [LABELS.tags[i] for i in batch.labels.tolist()]
    assert tags[:5] == ["B-person", "O", "O", "B-place", "O"]
    first = [TOKENS[batch.input_ids.reshape(-1)[p]] for p in batch.position.tolist()]
    assert first[:6] == ["anna", "lives", "in", "berlin", ".", "o"]


def test_a_text_without_words_has_no_window_and_breaks_nothing(subwords: SubwordCoder) -> None:
    encoded = encode(subwords, *few_texts())
    assert len(encoded) == 3
    assert encoded.starts.tolist() == [0, 5, 14, 15, 15]
    assert len(encode(subwords, text(0, ""))) == 0


def test_nothing_padded_has_no_mask_and_padding_has_one(subwords: SubwordCoder) -> None:
    encoded = encode(subwords, *few_texts())
    assert whole(encoded, 0).attention_mask is None
    mask = whole(encoded, 0, 2).attention_mask
    assert mask is not None and mask.sum(1).tolist() == [7, 3]


def test_a_word_that_the_tokenizer_sees_nothing_in_is_unknown(subwords: SubwordCoder) -> None:
    found = subwords.pieces(["\u200d", "anna"], 9)
    assert found.counts.tolist() == [1, 1]
    assert found.ids.tolist() == [TOKENS.index("[UNK]"), TOKENS.index("anna")]


def test_a_word_of_endless_letters_is_cut_to_what_a_window_takes(subwords: SubwordCoder) -> None:
    assert subwords.pieces(["x" * 90], 99).counts.tolist() == [MAX_PIECES]
    assert len(whole(encode(subwords, text(0, "x" * 90), max_length=10)).input_ids[0]) == 10


def test_a_coder_is_made_again_from_its_json(subwords: SubwordCoder) -> None:
    words = VocabularyCoder.learn(["a", "A", "b", "é"], min_count=1, word_bytes=4)
    for coder in (subwords, words):
        again = coder_from_json(coder.to_json())
        assert again.to_json() == coder.to_json()
        assert np.array_equal(again.pieces(["Berlin"], 9).ids, coder.pieces(["Berlin"], 9).ids)


def test_special_tokens_are_not_ordinary(subwords: SubwordCoder) -> None:
    assert subwords.mask == TOKENS.index("[MASK]")
    assert subwords.ordinary.tolist() == list(range(5, len(TOKENS)))
    assert (subwords.prefix, subwords.suffix) == ((2,), (3,))


def test_a_byte_level_tokenizer_sees_a_blank_before_each_word() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.BPE({"a": 0, "Ġ": 1, "Ġa": 2}, [("Ġ", "a")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert SubwordCoder(made.to_str(), 0).pieces(["a"], 5).ids.tolist() == [2]


def test_what_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(DataError, match="no tokenizer"):
        SubwordCoder('{"model": 3}', 0)


def test_a_tokenizer_whose_numbers_no_model_takes_is_refused() -> None:
    from tokenizers import Tokenizer, models

    made = json.loads(Tokenizer(models.WordLevel({"a": 0, "b": 2**31}, "a")).to_str())
    with pytest.raises(DataError, match="beyond 31 bits"):
        SubwordCoder(json.dumps(made), 0)


def test_the_vocabulary_is_of_frequent_words_in_lower_case() -> None:
    coder = VocabularyCoder.learn(["Anna", "anna", "in", "IN", "in", "rare"], 2, 8)
    assert coder.words == ("in", "anna")
    assert coder.pieces(["ANNA", "rare"], 1).ids.tolist() == [SPECIAL + 1, UNKNOWN]
    assert coder.mask == MASK and coder.ordinary.tolist() == [3, 4]


def test_the_bytes_of_a_long_word_are_its_first_and_last() -> None:
    found = VocabularyCoder([], 6).pieces(["ab", "abcdefghij"], 1).characters
    assert found is not None
    letters = [bytes(int(b) - 1 for b in row if b).decode() for row in found]
    assert letters == ["ab", "abcdij"]


def test_words_and_their_bytes_stand_at_the_same_place() -> None:
    coder = VocabularyCoder.learn(["anna", "lives", "in", "berlin"], 1, 8)
    batch = whole(encode(coder, *few_texts()))
    assert batch.characters is not None
    spelled = batch.characters[0, 3]
    assert bytes(int(b) - 1 for b in spelled if b).decode() == "Berlin"
    assert batch.characters[0, 5:].abs().sum() == 0


@given(
    st.lists(st.lists(st.integers(1, 6), max_size=60), min_size=1, max_size=5),
    st.integers(6, 20),
    st.data(),
)
def test_every_word_counts_in_one_window_that_shows_it(
    texts: list[list[int]], capacity: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(0, (capacity - 1) // 2))
    starts = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    sizes = np.array([n for one in texts for n in one], np.int64)
    pointer = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    found = cut_windows(starts, pointer, capacity, stride)
    owned = [w for a, b in zip(found.own_first, found.own_stop, strict=True) for w in range(a, b)]
    assert owned == list(range(len(sizes)))
    assert (found.first <= found.own_first).all() and (found.own_stop <= found.stop).all()
    assert (pointer[found.stop] - pointer[found.first] <= capacity).all()
    text_of = np.searchsorted(starts, found.first, side="right")
    assert (text_of == np.searchsorted(starts, found.stop - 1, side="right")).all()


def test_a_word_counts_where_more_is_shown_around_it() -> None:
    ones = np.arange(101, dtype=np.int64)
    found = cut_windows(np.array([0, 100]), ones, capacity=20, stride=8)
    inner = slice(1, -1)
    left = (found.own_first - found.first)[inner]
    right = (found.stop - found.own_stop)[inner]
    assert left.tolist() == right.tolist() == [4] * len(left)


def test_a_text_of_100_000_words_is_cut_at_once() -> None:
    coder = VocabularyCoder([], 4)
    long = encode(coder, text(0, "word " * 100_000), max_length=128, stride=32)
    assert len(long.labels) == 100_000
    assert int(long.lengths.max()) == 128


def test_windows_of_words_are_found_by_their_words(subwords: SubwordCoder) -> None:
    encoded = encode(subwords, text(0, "anna and anna " * 9), max_length=10, stride=3)
    for window in range(len(encoded)):
        word = whole(encoded, window).word.numpy()
        assert encoded.windows_of(word).tolist() == [window]


def test_texts_are_tokenised_once_and_damage_is_made_good(
    tmp_path: Path, subwords: SubwordCoder, caplog: pytest.LogCaptureFixture
) -> None:
    cache = TokenCache(tmp_path, subwords, Frame.of(subwords, 16, 4))
    first = cache.load(few_texts(), LABELS)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    again = cache.load(few_texts(), LABELS)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(whole(again).input_ids, whole(first).input_ids)
    file.write_bytes(file.read_bytes()[:-40])
    assert torch.equal(whole(cache.load(few_texts(), LABELS)).labels, whole(first).labels)
    assert "damaged" in caplog.text


def test_other_words_tags_or_tokens_are_kept_apart(tmp_path: Path, subwords: SubwordCoder) -> None:
    frame, words = Frame.of(subwords, 16, 4), VocabularyCoder(["anna"], 8)
    TokenCache(tmp_path, subwords, frame).load(few_texts(), LABELS)
    TokenCache(tmp_path, subwords, frame).load(few_texts()[:1], LABELS)
    TokenCache(tmp_path, subwords, frame).load(few_texts(), LabelSet.of(["person"]))
    TokenCache(tmp_path, subwords, Frame.of(subwords, 16, 5)).load(few_texts(), LABELS)
    TokenCache(tmp_path, words, Frame.of(words, 16, 4)).load(few_texts(), LABELS)
    assert len(list(tmp_path.iterdir())) == 5
