"""Each task in each mode at its smallest, on embedded data: what resuming is tried on."""

from __future__ import annotations

from dataclasses import dataclass

Settings = tuple[str, ...]


@dataclass(frozen=True)
class Cells:
    """A task's settings for every run, for each run that others name, and for each cell."""

    small: Settings
    donors: dict[str, Settings]
    cells: dict[str, Settings]


EVERY_RUN: Settings = ("training.accelerator=cpu", "training.max_epochs=3")

_GAT: Settings = ("model.layers=1", "model.hidden=4", "model.heads=2")
_VGAE: Settings = ("mode=autoencoder", "model=vgae", *_GAT, "model.latent=4", "model.dropout=0.1")
CAN = Cells(
    small=(*EVERY_RUN, "data.simulated_seconds=5", "training.batch_size=128"),
    donors={
        "vgae": (*_VGAE, "training.seed=1"),
        "gat": ("model.layers=1", "model.hidden=6", "model.heads=2"),
    },
    cells={
        "normal": (*_GAT, "training.averaging.name=ema"),
        "autoencoder": _VGAE,
        "curriculum": (
            *("mode=curriculum", *_GAT, "mode.guide={vgae}", "mode.stages=2"),
            *("mode.memory.name=ewc", "mode.memory.samples=16"),
        ),
        "distillation": (
            *("mode=distillation", *_GAT, "mode.teacher={gat}", "mode.feature_weight=0.1"),
        ),
        "fusion": (
            *("mode=fusion", "model=dqn", "mode.experts=[{vgae},{gat}]"),
            *("mode.folds=2", "mode.passes=1"),
        ),
    },
)

_TAGGER: Settings = (
    *("model.word_embedding=8", "model.byte_embedding=4", "model.byte_channels=8"),
    "model.hidden=8",
)
NER = Cells(
    small=(
        *(*EVERY_RUN, "data.embedded=resumes", "data.resumes=40", "training.batch_size=8"),
        "evaluation.bootstrap=0",
    ),
    donors={"one": (*_TAGGER, "training.seed=1"), "other": (*_TAGGER, "training.seed=2")},
    cells={
        "normal": _TAGGER,
        "autoencoder": ("mode=autoencoder", *_TAGGER),
        "curriculum": ("mode=curriculum", *_TAGGER, "mode.measure=length", "mode.stages=2"),
        "distillation": (
            *("mode=distillation", *_TAGGER, "mode.teacher={one}", "mode.start=teacher"),
        ),
        "fusion": (
            *("mode=fusion", "model=gated", "mode.experts=[{one},{other}]"),
            *("mode.folds=2", "mode.passes=1", "training.batch_size=64"),
        ),
    },
)

_CORE: Settings = (
    "model.frontend={name: conv, lags: 4, channels: 4, kernel: 7, stride: 2}",
    *("model.convnet.channels=[4]", "model.convnet.kernels=[3]", "model.convnet.pools=[2]"),
    "model.convnet.dropout=0.2",
)
NEURAL = Cells(
    small=(
        *(*EVERY_RUN, "data.simulated_sessions=1", "data.simulated_seconds=72"),
        *("data.simulated_units=4", "training.batch_size=8"),
        *("evaluation.baselines=false", "evaluation.bootstrap=0", "evaluation.drawn_sessions=0"),
    ),
    donors={"one": (*_CORE, "training.seed=1"), "other": (*_CORE, "training.seed=2")},
    cells={
        "normal": (
            *(*_CORE, "data.sampler=contrast", "data.contrast_warmup_steps=4"),
            "training.regularizers=[{name: proximal_l1, parameters: '*.features', strength: 1e-3}]",
        ),
        "autoencoder": ("mode=autoencoder", *_CORE),
        "curriculum": (
            *("mode=curriculum", *_CORE, "mode.measure=low_contrast"),
            *("mode.draw=weighted", "mode.stages=2"),
        ),
        "distillation": (
            *("mode=distillation", *_CORE, "mode.teacher={one}", "mode.feature_weight=0.1"),
        ),
        "fusion": (
            *("mode=fusion", "model=keyed", "mode.experts=[{one},{other}]"),
            *("mode.folds=2", "mode.passes=1", "training.batch_size=128"),
        ),
    },
)

_TOWERS: Settings = (
    *("model.width=4", "model.embedding=8", "model.text.width=8", "model.text.buckets=64"),
    "model.text.length=16",
)
MULTIMODAL = Cells(
    small=(
        *(*EVERY_RUN, "data.embedded=emoji_noto64", "data.languages=[en]", "data.size=32"),
        *("training.batch_size=256", "evaluation.resamples=0", "evaluation.pictures=0"),
    ),
    donors={"one": (*_TOWERS, "training.seed=1"), "other": (*_TOWERS, "training.seed=2")},
    cells={
        "normal": (*_TOWERS, "training.chunk=128"),
        "stages": (
            *(*_TOWERS, "training.max_epochs=3"),
            "training.stages=[{epochs: 1, freeze: [image, text]}, "
            "{epochs: 1, queue: 300, rates: {image: 0}}, "
            "{epochs: 1, freeze: [text], rates: {image: 0.1, projections: 0.5}}]",
        ),
        "autoencoder": ("mode=autoencoder", *_TOWERS),
        "curriculum": ("mode=curriculum", *_TOWERS, "mode.measure=length", "mode.stages=2"),
        "distillation": ("mode=distillation", *_TOWERS, "mode.teacher={one}"),
        "fusion": (
            *("mode=fusion", "model=keyed", "model.text.length=16"),
            *("mode.experts=[{one},{other}]", "mode.folds=2", "mode.passes=3"),
        ),
    },
)

TASKS = {"can": CAN, "multimodal": MULTIMODAL, "ner": NER, "neural": NEURAL}
