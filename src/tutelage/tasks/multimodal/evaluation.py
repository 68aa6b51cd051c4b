"""`Evaluator`: retrieval among test pictures, beside chance, with intervals and a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tutelage.core.blocks import Blocks, blocks_of, pack_blocks
from tutelage.core.errors import DataError
from tutelage.core.records import Evaluation, Table
from tutelage.tasks.multimodal.data.batches import trimmed
from tutelage.tasks.multimodal.data.pairs import Pairs
from tutelage.tasks.multimodal.datamodule import EVALUATION_BATCH, DataHandler
from tutelage.tasks.multimodal.diagnosis import Evidence, Finding, diagnose
from tutelage.tasks.multimodal.geometry import Geometry, geometry, gradient_share
from tutelage.tasks.multimodal.module import TwoTowerModule
from tutelage.tasks.multimodal.pictures import cosines, gallery
from tutelage.tasks.multimodal.retrieval import CUTOFFS, Ranks, bootstrap, ranks
from tutelage.tasks.multimodal.towers.two_towers import tokenize
from tutelage.tasks.multimodal.zero_shot import category_embeddings, zero_shot_metrics

DIRECTIONS = ("text_to_image", "image_to_text")
CHANCE, COMMONEST = "chance", "commonest category"
BOOTSTRAP_SEED = 0
WITHOUT_VARIANCE = ("feature_consistency",)
"""Losses that draw pairs together and push nothing apart."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Test pictures with all their captions, in one space.

    Args:
        rows: (N,) int64 places of the pictures in the data.
        images: (N, D) of unit length.
        caption_rows: (C,) int64 rows of their captions.
        texts: (C, D) of unit length.
        image_ids: (N,) what belongs together.
        text_ids: (C,) likewise.
    """

    rows: NDArray[np.int64]
    images: Tensor
    caption_rows: NDArray[np.int64]
    texts: Tensor
    image_ids: Tensor
    text_ids: Tensor


class Evaluator:
    """Scores a model on the test pictures of some data.

    Args:
        module: The model.
        data: The data.
    """

    def __init__(self, module: TwoTowerModule, data: DataHandler) -> None:
        self.module, self.data = module, data
        self.settings = data.config.evaluation

    def evaluate(self) -> Evaluation:
        """Return every metric of the test pictures, those of chance, tables, and pictures.

        Keys are ``test/metric`` for the mean of both directions, ``test/text_to_image_metric`` and
        ``test/image_to_text_metric`` for one; ``_low`` and ``_high`` end a 95 % interval. In a fold
        ``held_out`` stands in the place of ``test``.

        Raises:
            DataError: Nothing is left to score.
        """
        self.module.eval()
        embedded = self.embed(self.data.test_rows)
        found = self.both_ways(embedded)
        metrics = averaged({name: one.metrics() for name, one in found.items()})
        metrics |= self.intervals(embedded, found)
        chance = averaged({name: by_chance(one) for name, one in found.items()})
        zero_shot, commonest = self.zero_shot(embedded)
        firsts = self.data.last_captions(embedded.rows)
        places = torch.from_numpy(np.searchsorted(embedded.caption_rows, firsts))
        shape = geometry(embedded.images, embedded.texts[places])
        share = self.gradient_share()
        metrics |= {**zero_shot, **shape.metrics(), "gradient_share_image": share}
        findings = diagnose(self.evidence(metrics, chance, shape, embedded))
        split = self.data.test_split
        baselines = {CHANCE: keyed(chance, split)}
        if commonest:
            baselines[COMMONEST] = keyed(commonest, split)
        tables, files = gallery(
            embedded, self.data.pairs, self.settings.pictures, cosines(embedded)
        )
        first = retrieval_table(found, metrics, chance, split), diagnosis_table(findings)
        return Evaluation(
            metrics=keyed(metrics, split),
            baselines=baselines,
            tables=(*first, *tables),
            files=files | pack_blocks(recall_blocks(split, embedded, found, self.data.pairs)),
        )

    # ---- embeddings

    def embed(self, rows: NDArray[np.int64]) -> Embedded:
        """Embed some pictures and all their captions.

        Raises:
            DataError: There are fewer than two, or they have no captions.
        """
        captions = self.data.captions_of(rows)
        if len(rows) < 2 or not len(captions):
            what = "captions" if len(rows) else "pictures"
            raise DataError(
                f"{len(rows)} pictures with {len(captions)} captions are left to score",
                where=self.data.config.data.root,
                hint=f"Give {what} that the model was not trained on, two or more.",
            )
        ids = torch.from_numpy(self.data.ids)
        return Embedded(
            rows=rows,
            images=self.embed_images(rows),
            caption_rows=captions,
            texts=self.embed_tokens(self.data.tokens[torch.from_numpy(captions)]),
            image_ids=ids[torch.from_numpy(rows)],
            text_ids=ids[torch.from_numpy(self.data.pairs.image_of[captions])],
        )

    @torch.inference_mode()
    def embed_images(self, rows: NDArray[np.int64]) -> Tensor:
        """Return (N, D) unit embeddings of pictures, in main memory."""
        module, loader = self.module, self.data.picture_loader(rows)
        moved = (self.data.transfer_batch_to_device(b, module.device, 0) for b in loader)
        return torch.cat([module.embed_images(batch).float().cpu() for batch in moved])

    @torch.inference_mode()
    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Return (C, D) unit embeddings of (C, T) tokens, in main memory."""
        module = self.module
        parts = [trimmed(p).to(module.device) for p in torch.split(tokens, EVALUATION_BATCH)]
        return torch.cat([module.embed_texts(part).float().cpu() for part in parts])

    def embed_sentences(self, texts: Sequence[str]) -> Tensor:
        """Return (n, D) unit embeddings of texts."""
        return self.embed_tokens(tokenize(texts, self.module.model_config.text))

    # ---- scores

    def both_ways(self, e: Embedded) -> dict[str, Ranks]:
        """Rank pictures for each caption, and captions for each picture."""
        chunk = self.settings.chunk
        to_image = ranks(e.texts, e.images, e.text_ids, e.image_ids, chunk)
        to_text = ranks(e.images, e.texts, e.image_ids, e.text_ids, chunk)
        return dict(zip(DIRECTIONS, (to_image, to_text), strict=True))

    def intervals(self, e: Embedded, found: Mapping[str, Ranks]) -> dict[str, float]:
        """Return the ends of 95 % intervals of recall and MRR, by resampling groups."""
        if not self.settings.resamples:
            return {}
        groups = torch.cat([e.text_ids, e.image_ids]).numpy()
        values = {f"recall@{k}": [found[name].hits[k] for name in DIRECTIONS] for k in CUTOFFS} | {
            "mrr": [found[name].reciprocal for name in DIRECTIONS]
        }
        border = len(e.text_ids)
        drawn: dict[str, list[float]] = {name: [] for name in values}
        for weights in bootstrap(groups, self.settings.resamples, BOOTSTRAP_SEED):
            sides = weights[:border], weights[border:]
            for name, parts in values.items():
                means = [float(v @ w / w.sum()) for v, w in zip(parts, sides, strict=True)]
                drawn[name].append(sum(means) / len(means))
        ends = {name: np.quantile(sample, (0.025, 0.975)) for name, sample in drawn.items()}
        low = {f"{name}_low": float(end[0]) for name, end in ends.items()}
        return low | {f"{name}_high": float(end[1]) for name, end in ends.items()}

    def zero_shot(self, e: Embedded) -> tuple[dict[str, float], dict[str, float]]:
        """Score classification by category prompts; nothing where there are no two categories."""
        named = [self.data.pairs.categories[row] for row in e.rows]
        known = sorted(set(named) - {""})
        if len(known) < 2:
            return {}, {}
        with_category = torch.tensor([bool(name) for name in named])
        truth = np.array([known.index(name) for name in named if name], dtype=np.int64)
        prompts = category_embeddings(known, self.settings.prompts, self.embed_sentences)
        return zero_shot_metrics(e.images[with_category], truth, prompts)

    def gradient_share(self) -> float:
        """Return the image tower's share of the gradient, on the first test pairs."""
        batch = next(iter(self.data.evaluation_loader(self.data.test_rows)))
        moved = self.data.transfer_batch_to_device(batch, self.module.device, 0)
        return gradient_share(self.module, moved)

    def evidence(
        self,
        metrics: Mapping[str, float],
        chance: Mapping[str, float],
        shape: Geometry,
        e: Embedded,
    ) -> Evidence:
        """Gather what a diagnosis is made from."""
        loss, config = self.module.loss.loss, self.module.model_config
        temperature = getattr(loss, "temperature", None)
        value = float(temperature().detach()) if callable(temperature) else None
        scale = getattr(temperature, "log_temperature", None)
        bounds = None if scale is None else (float(np.exp(scale.low)), float(np.exp(scale.high)))
        return Evidence(
            geometry=shape,
            dimensions=min(e.images.shape[1], len(e.rows) - 1),
            recall=metrics["recall@10"],
            chance=chance["recall@10"],
            gradient_share=metrics["gradient_share_image"],
            frozen=config.freeze,
            temperature=value,
            bounds=bounds,
            repels=config.loss not in WITHOUT_VARIANCE,
            learning_rate=self.data.config.training.learning_rate,
        )


def recall_blocks(
    split: str, e: Embedded, found: Mapping[str, Ranks], pairs: Pairs
) -> tuple[Blocks, ...]:
    """Return the mean recall@10 of both directions by groups of what belongs together."""
    groups = np.unique(torch.cat([e.text_ids, e.image_ids]).numpy(), return_inverse=True)[1]
    hits = [found[name].hits[10] for name in DIRECTIONS]
    share = np.concatenate([np.full(len(one), 1 / len(one) / len(hits)) for one in hits])
    above = np.bincount(groups, np.concatenate(hits) * share)
    items = [*(pairs.names[row] for row in e.rows), *(pairs.captions[r] for r in e.caption_rows)]
    return blocks_of(
        f"{split}/recall@10",
        "groups of pictures with their captions",
        above,
        np.bincount(groups, share),
        [groups.tobytes(), *(text.encode() for text in items)],
    )


def averaged(directions: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return each metric's mean over both directions, then each direction's own."""
    first = next(iter(directions.values()))
    found = {
        name: sum(metrics[name] for metrics in directions.values()) / len(directions)
        for name in first
    }
    for direction, metrics in directions.items():
        found |= {f"{direction}_{name}": value for name, value in metrics.items()}
    return found


def by_chance(found: Ranks) -> dict[str, float]:
    """Return recall in a random order of the candidates."""
    return {f"recall@{k}": float(hits.mean()) for k, hits in found.chance.items()}


def keyed(metrics: Mapping[str, float], split: str) -> dict[str, float]:
    """Return metrics under the name of the split that is scored."""
    return {f"{split}/{name}": value for name, value in metrics.items()}


def retrieval_table(
    found: Mapping[str, Ranks],
    metrics: Mapping[str, float],
    chance: Mapping[str, float],
    split: str,
) -> Table:
    """A row for each direction and their mean: recall beside chance, ranks, MRR, mAP."""
    names = [*(f"recall@{k}" for k in CUTOFFS), "median_rank", "mrr", "map"]
    rows = []
    for label, prefix in (("mean", ""), *((d.replace("_", " "), f"{d}_") for d in DIRECTIONS)):
        queries = sum(len(one.first) for d, one in found.items() if not prefix or prefix[:-1] == d)
        values = (metrics[f"{prefix}{name}"] for name in names)
        rows.append((label, queries, *values, chance[f"{prefix}recall@10"]))
    columns = ("direction", "queries", *names, "recall@10 by chance")
    note = ""
    if "recall@10_low" in metrics:
        low, high = metrics["recall@10_low"], metrics["recall@10_high"]
        note = (
            f"Mean recall@10: 95 % interval {low:.4f} to {high:.4f}, by resampling groups of "
            "pictures that belong together."
        )
    title = f"Retrieval among {split.replace('_', '-')} pictures"
    return Table(title=title, columns=columns, rows=tuple(rows), note=note)


def diagnosis_table(findings: Sequence[Finding]) -> Table:
    """A row for each finding: its name, what was seen, the likely cause."""
    rows = tuple((f.name, f.seen, f.cause) for f in findings)
    return Table(title="Diagnosis", columns=("finding", "seen", "likely cause"), rows=rows)
