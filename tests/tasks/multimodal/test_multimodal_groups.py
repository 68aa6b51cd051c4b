"""What shares a caption or its looks gets one id, and no id lies on both sides of a split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pairs import drawing

from tutelage.core.errors import DataError
from tutelage.tasks.multimodal.data.groups import group_ids, thumbnail_digests
from tutelage.tasks.multimodal.data.pairs import Pairs
from tutelage.tasks.multimodal.data.splits import split_pairs


def pairs_of(captions: Sequence[Sequence[str]], splits: Sequence[str] = ()) -> Pairs:
    """Pairs with noise for pictures."""
    count = len(captions)
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    flat = [(row, text) for row, texts in enumerate(captions) for text in texts]
    return Pairs(
        images=images,
        names=[str(row) for row in range(count)],
        captions=[text for _, text in flat],
        image_of=np.array([row for row, _ in flat]),
        languages=[""] * len(flat),
        categories=[""] * count,
        groups=[""] * count,
        splits=list(splits) or [""] * count,
    )


def ids_of(pairs: Pairs) -> list[int]:
    return group_ids(pairs, thumbnail_digests(pairs.images)).tolist()


def test_equal_captions_join_whatever_their_case_and_spaces() -> None:
    ids = ids_of(pairs_of([["A  Cat"], ["dog"], ["a cat"], ["CAT"]]))
    assert ids[0] == ids[2] and len(set(ids)) == 3


def test_a_chain_of_shared_captions_is_one_group() -> None:
    ids = ids_of(pairs_of([["a", "b"], ["b", "c"], ["c", "d"], ["d", "e"], ["f"]]))
    assert len(set(ids[:4])) == 1 and ids[4] != ids[0]


def test_pictures_that_look_the_same_join_after_recompression() -> None:
    pairs = pairs_of([["a"], ["b"], ["c"]])
    pairs.images[0] = drawing("red", "circle", "large", 0)
    pairs.images[1] = np.clip(pairs.images[0].astype(int) + 1, 0, 255)
    ids = ids_of(pairs)
    assert ids[0] == ids[1] != ids[2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=40, max_size=120), st.integers(0, 5))
def test_no_group_straddles_a_random_split(words: list[int], seed: int) -> None:
    captions = [[f"w{word}"] for word in words] + [[f"own {n}"] for n in range(40)]
    pairs = pairs_of(captions)
    ids = group_ids(pairs, np.arange(len(pairs)).astype(np.uint64))
    split = split_pairs(pairs, ids, 0.1, 0.25, seed)
    parts = (split.train, split.validation, split.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(pairs)))
    groups = [set(ids[part].tolist()) for part in parts]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert 0 < len(split.test) <= 0.25 * len(pairs)


def test_the_data_s_own_splits_are_followed_and_repeats_leave_training() -> None:
    captions = [["a"], ["b"], ["c"], ["d"], ["a"], ["e"], ["f"], ["g"]]
    splits = ["train"] * 4 + ["test", "test", "validation", "validation"]
    pairs = pairs_of(captions, splits)
    split = split_pairs(pairs, np.array(ids_of(pairs)), 0.1, 0.2, 0)
    assert split.train.tolist() == [1, 2, 3]
    assert split.test.tolist() == [4, 5] and split.validation.tolist() == [6, 7]
    assert "1 pictures left out" in split.findings[0]


@pytest.mark.parametrize("captions", [[["a"]], [["same"]] * 50, [["a"], ["b"], ["c"]]])
def test_too_few_different_captions_are_refused(captions: list[list[str]]) -> None:
    pairs = pairs_of(captions)
    with pytest.raises(DataError, match="different captions"):
        split_pairs(pairs, np.array(ids_of(pairs)), 0.1, 0.25, 0)
