"""Geometry has its known values, and a collapse is named with its likely cause."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tutelage.core.errors import ConfigError
from tutelage.tasks.multimodal.diagnosis import HEALTHY, Evidence, diagnose
from tutelage.tasks.multimodal.geometry import Geometry, effective_rank, geometry, uniformity
from tutelage.tasks.multimodal.zero_shot import category_embeddings, zero_shot_metrics

SOUND = Evidence(
    geometry=Geometry(0.6, -3.0, -3.1, 0.4, 60.0, 55.0),
    dimensions=128,
    recall=0.2,
    chance=0.01,
    gradient_share=0.5,
    frozen=(),
    temperature=0.07,
    bounds=(0.01, 1.0),
    repels=True,
    learning_rate=1e-3,
)


def test_one_point_and_the_whole_sphere_have_their_values() -> None:
    point = F.normalize(torch.ones(50, 16, dtype=torch.float64), dim=1)
    assert uniformity(point) == pytest.approx(0, abs=1e-6) and effective_rank(point) == 0
    sphere = F.normalize(torch.randn(2000, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    assert uniformity(sphere.double()) < -3.4
    assert effective_rank(sphere.double()) == pytest.approx(16, rel=0.02)


def test_alignment_and_gap_of_known_embeddings() -> None:
    a, b = torch.eye(4)[:2], torch.eye(4)[2:]
    found = geometry(a, b)
    assert found.alignment == pytest.approx(2)
    assert found.modality_gap == pytest.approx(1)
    assert geometry(a, a).alignment == 0
    assert found.uniformity_image == pytest.approx(-4)


def shape(**values: float) -> Geometry:
    return replace(SOUND.geometry, **values)


@pytest.mark.parametrize(
    ("changes", "name", "cause"),
    [
        ({"geometry": shape(uniformity_image=-0.01, uniformity_text=-0.02), "repels": False},
         "complete collapse", "only draws pairs together"),
        ({"geometry": shape(uniformity_image=0.0, uniformity_text=0.0), "learning_rate": 0.1},
         "complete collapse", "learning_rate"),
        ({"geometry": shape(uniformity_image=-0.01), "frozen": ("image",)},
         "image tower collapse", "frozen"),
        ({"geometry": shape(effective_rank_text=3.0), "temperature": 0.9},
         "dimensional collapse of the text tower", "temperature"),
        ({"recall": 0.012, "temperature": 0.01}, "nothing learned", "memorised"),
        ({"recall": 0.012, "frozen": ("image",)}, "nothing learned", "frozen"),
        ({"geometry": shape(modality_gap=1.1), "temperature": 0.02}, "modality gap", "temperature"),
        ({"gradient_share": 0.001}, "image tower starved", "higher rate"),
        ({"gradient_share": 0.999}, "text tower starved", "higher rate"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_likely_cause(
    changes: dict[str, object], name: str, cause: str
) -> None:
    assert diagnose(SOUND) == (HEALTHY,)
    (finding,) = diagnose(replace(SOUND, **changes))  # type: ignore[arg-type]
    assert finding.name == name and cause in finding.cause and finding.seen


def test_zero_shot_takes_the_closest_category() -> None:
    vectors = {"a dog": 0, "a picture of dog": 0, "a cat": 1, "a picture of cat": 1}
    seen: list[str] = []

    def embed(texts: object) -> torch.Tensor:
        seen.extend(texts)  # type: ignore[arg-type]
        return torch.eye(3)[[vectors[t] for t in texts]]  # type: ignore[attr-defined]

    categories = category_embeddings(["dog", "cat"], ["a {}", "a picture of {}"], embed)
    assert seen == ["a dog", "a picture of dog", "a cat", "a picture of cat"]
    images = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [0.9, 0.1, 0]])
    truth = torch.tensor([0, 1, 1, 0]).numpy()
    metrics, commonest = zero_shot_metrics(images, truth, categories)
    assert metrics["zero_shot_accuracy"] == 0.75
    assert metrics["zero_shot_balanced_accuracy"] == 0.75
    assert commonest == {"zero_shot_accuracy": 0.5, "zero_shot_balanced_accuracy": 0.5}
    with pytest.raises(ConfigError, match="has no {}"):
        category_embeddings(["dog"], ["a dog"], embed)
    assert math.isclose(float(categories.norm(dim=1)[0]), 1, rel_tol=1e-6)
