"""Augmentation follows from a key alone; orders give each position a key of its own."""

from __future__ import annotations

import torch

from tutelage.tasks.multimodal.config import Augmentation
from tutelage.tasks.multimodal.data.augment import as_input, augmented, uniform
from tutelage.tasks.multimodal.data.batches import KeyedOrder, keys_of, trimmed
from tutelage.tasks.multimodal.data.words import words_left_out
from tutelage.tasks.multimodal.towers.byte_text import byte_tokens
from tutelage.training.samplers import SeededBatchSampler

NONE = Augmentation(crop=1, shift=0, rotate=0, flip=False, colour=0)


def pictures(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 32, 32, 3), generator=generator, dtype=torch.uint8)


def test_a_key_gives_the_same_change_in_any_batch() -> None:
    images, keys = pictures(8), keys_of(3, 1, 8)
    whole = augmented(images, keys, Augmentation(erase=0.3))
    part = augmented(images[[5, 2]], keys[[5, 2]], Augmentation(erase=0.3))
    assert torch.allclose(part, whole[[5, 2]], atol=1e-3)


def test_keys_and_streams_differ() -> None:
    images = pictures(1).expand(64, -1, -1, -1)
    out = augmented(images, keys_of(0, 0, 64), Augmentation())
    assert len(torch.unique(out.flatten(1).sum(1))) == 64
    other = augmented(images, keys_of(0, 0, 64), Augmentation(), stream=1)
    assert not torch.allclose(out, other)


def test_nothing_asked_changes_nothing() -> None:
    images = pictures(3)
    out = augmented(images, keys_of(0, 0, 3), NONE)
    assert torch.allclose(out, as_input(images), atol=1e-2)


def test_each_option_acts() -> None:
    images, keys = pictures(32), keys_of(0, 0, 32)
    plain = as_input(images)
    for name, value in {"crop": 0.5, "shift": 0.3, "rotate": 40.0, "flip": True, "colour": 0.5,
                        "erase": 0.5}.items():  # fmt: skip
        out = augmented(images, keys, NONE.model_copy(update={name: value}))
        assert (out - plain).abs().mean() > 1, name
        assert out.min() >= -1e-3 and out.max() <= 255.001, name


def test_what_comes_from_outside_is_white() -> None:
    black = torch.zeros(16, 32, 32, 3, dtype=torch.uint8)
    out = augmented(black, keys_of(0, 0, 16), NONE.model_copy(update={"shift": 0.5}))
    assert set(out.amax((1, 2, 3)).round().tolist()) == {255.0}


def test_uniform_numbers_are_uniform() -> None:
    u = uniform(keys_of(0, 0, 4000), 4)
    assert u.min() >= 0 and u.max() < 1
    assert (u.mean(0) - 0.5).abs().max() < 0.02 and (u.var(0) - 1 / 12).abs().max() < 0.005
    assert torch.corrcoef(u.T).fill_diagonal_(0).abs().max() < 0.05


def test_keys_are_a_function_of_seed_epoch_and_position() -> None:
    order = KeyedOrder(SeededBatchSampler(10, 4, seed=1), seed=1)
    first, second = order.batches(0), order.batches(1)
    assert [tuple(b.shape) for b in first] == [(4, 2), (4, 2), (2, 2)]
    assert all(torch.equal(a, b) for a, b in zip(first, order.batches(0), strict=True))
    keys = torch.cat([b[:, 1] for b in (*first, *second)])
    assert len(keys.unique()) == 20 and bool((keys != 0).all())
    other = KeyedOrder(SeededBatchSampler(10, 4, seed=1), seed=2).batches(0)
    assert not torch.equal(other[0][:, 1], first[0][:, 1])


def test_tokens_lose_columns_that_are_empty_in_all_rows() -> None:
    tokens = torch.tensor([[1, 5, 0, 0], [1, 0, 0, 0]], dtype=torch.int16)
    assert trimmed(tokens).tolist() == [[1, 5], [1, 0]]
    assert trimmed(torch.zeros(2, 3)).shape == (2, 1)


def test_processes_share_the_keys_of_an_epoch() -> None:
    whole = KeyedOrder(SeededBatchSampler(16, 4, seed=1), 1).batches(2)
    ranks = [
        KeyedOrder(SeededBatchSampler(16, 2, 1, rank=r, world_size=2), 1, r, 2).batches(2)
        for r in (0, 1)
    ]
    for batch, one, two in zip(whole, *ranks, strict=True):
        both = torch.cat([one, two])
        assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, batch.tolist()))


def said(tokens: torch.Tensor) -> list[str]:
    """The texts of byte tokens."""
    return ["".join(chr(t - 2) for t in row if t > 1) for row in tokens.tolist()]


def test_captions_lose_words_but_never_all_of_them() -> None:
    whole = ["a red car, vehicle", "sun", "two old trees"] * 40
    tokens, keys = trimmed(byte_tokens(whole, 32)), keys_of(0, 0, len(whole))
    left = said(words_left_out(tokens, keys, 1.0, "bytes"))
    assert left == said(words_left_out(tokens, keys, 1.0, "bytes"))
    for text, before in zip(left, whole, strict=True):
        words = text.split()
        assert words and [w for w in before.split() if w in words] == words
    assert {"sun"} == {text.strip() for text in left[1::3]}
    assert len({text.strip() for text in left[::3]}) > 8
    kept = sum(len(text.split()) for text in left) / sum(len(text.split()) for text in whole)
    assert 0.45 < kept < 0.75
    assert said(words_left_out(tokens, keys, 0.0, "bytes")) == whole


def test_a_caption_loses_the_same_words_in_any_batch() -> None:
    texts, keys = ["a red car", "a very long story of a house", "sun"], keys_of(1, 0, 3)
    together = said(words_left_out(trimmed(byte_tokens(texts, 64)), keys, 1.0, "bytes"))
    for at, text in enumerate(texts):
        alone = words_left_out(trimmed(byte_tokens([text], 64)), keys[at : at + 1], 1.0, "bytes")
        assert said(alone) == [together[at]]


def test_an_encoder_s_first_and_last_tokens_stay() -> None:
    tokens = torch.tensor([[102, 7, 8, 9, 103, 0], [102, 5, 103, 0, 0, 0]]).repeat(50, 1)
    left = words_left_out(tokens, keys_of(0, 0, 100), 1.0, "transformers")
    for row in left.tolist():
        full = [t for t in row if t]
        assert full[0] == 102 and full[-1] == 103 and 3 <= len(full) <= 5
    assert len({tuple(row) for row in left[::2].tolist()}) > 4
