"""Claim: training on mixed chunks is ten times windows an item, and twice cycling over sessions.

Run: python benchmarks/neural_training.py [--json FILE] [--seconds S] [--sessions N]
     [--stimuli own shared]

One model, one seed, one thread, several ways of training it on simulated recordings, rotated by
slices of CPU time so that what else the machine does meets all alike:

- `windows`: a data set whose item is one frame with its history, batches collated by session, as
  research code for single sessions does it;
- `cycling`: contiguous chunks of one session a step, plain 3-D convolutions, as openretina does it;
  `cycling 50` with the chunks that it ships (`train_chunk_size: 50`, history included);
- `tutelage`: chunks of all sessions in a step, one pass of the core, channels last.

All of it twice. `own`: each recording shows its own movies. `shared`: all show the same, in another
order, as openretina's data sets do; there ours takes each stimulus with all sessions' answers
(`data.batches=shared`), as many stimuli a step as the others take chunks. A frame that four
sessions saw counts four times, for everyone: peers pass it through the core four times.

`bf16` stands behind the ways that are run in mixed precision too (`training.precision=bf16`);
openretina ships `precision: 32-true`. All compute the same function of the same parameters, which
is checked before the clock starts, and pass about as many frames through the core a step. Peers'
ways are written here on plain PyTorch.

Prints predicted frames a CPU-second, ratios at equal and at mixed precision, and whether the
correlation on held-out trials is equal or better after as many CPU-seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

from targets import Target, conclude  # noqa: E402
from tutelage.core.overrides import build_config  # noqa: E402
from tutelage.tasks.neural.batch import NeuralBatch, SessionChunk  # noqa: E402
from tutelage.tasks.neural.config import NeuralConfig  # noqa: E402
from tutelage.tasks.neural.data.datamodule import MultiDatasetDM  # noqa: E402
from tutelage.tasks.neural.data.split import TRAIN, VALIDATION  # noqa: E402
from tutelage.tasks.neural.losses import masked_sum  # noqa: E402
from tutelage.tasks.neural.models.layers import ClipConv  # noqa: E402
from tutelage.tasks.neural.models.multi_dataset import rates_of  # noqa: E402
from tutelage.tasks.neural.modules import NeuralModule  # noqa: E402

MODEL = (
    "model.frontend.name=temporal",
    "model.frontend.lags=16",
    "model.convnet.channels=[16,32,32]",
    "model.convnet.kernels=[7,5,3]",
    "model.convnet.frames=[1,5,5]",
    "model.convnet.pools=[2,1,1]",
    "model.convnet.padding=valid",
    "model.modulator.name=none",
    "model.readout.name=gaussian",
)
STIMULI = ("own", "shared")
CHUNK, CHUNKS, RATE = 97, 3, 3e-3
WINDOWS = CHUNK * CHUNKS
SHIPPED = 50
"""Frames of a chunk in openretina's own settings, those of history included."""
BF16 = " bf16"
CLAIMS = (
    ("tutelage", "windows", 10.0),
    ("tutelage", "cycling", 2.0),
    ("tutelage", "cycling 50", 2.0),
    (f"tutelage{BF16}", f"cycling{BF16}", 2.0),
    (f"tutelage{BF16}", "windows", 10.0),
    (f"tutelage{BF16}", "cycling", 2.0),
    (f"tutelage{BF16}", "cycling 50", 2.0),
)
"""Ours, a peer, and how much faster ours is meant to be: first at equal precision, then mixed."""
Told = tuple[dict[str, object], list[Target]]
"""What was found, and what was asked for."""


def plain_core(module: NeuralModule, stimulus: Tensor) -> Tensor:
    """The module's core as 3-D convolutions: (B, 1, F, H, W) uint8 to (B, L, h, w, C)."""
    core = module.network.core
    x = core.standardised(stimulus)[:, None]
    filters = core.frontend.weight @ core.frontend.basis
    x = F.conv3d(x, filters[:, None, :, None, None])
    for layer, pool in zip(core.convnet.layers, core.convnet.pools, strict=True):
        conv: ClipConv = layer.conv
        size = (len(conv.weight), conv.frames, conv.inputs, conv.kernel, conv.kernel)
        x = F.conv3d(x, conv.weight.view(size).transpose(1, 2))
        norm, training = layer.norm, module.training
        moments = (norm.running_mean, norm.running_var)
        x = F.batch_norm(x, *moments, norm.weight, norm.bias, training, norm.momentum, norm.eps)
        x = F.avg_pool3d(F.elu(x), (1, pool, pool))
    return x.permute(0, 2, 3, 4, 1)


def plain_loss(module: NeuralModule, parts: list[SessionChunk]) -> Tensor:
    """Mean loss over the valid entries of chunks, one pass of the core for each."""
    sums, counts = [], []
    for part in parts:
        drive = module.network.head(part.session).drive(plain_core(module, part.stimulus), part)
        rates = rates_of(drive, "softplus")
        sums.append(masked_sum("poisson", rates, part.responses, part.valid))
        counts.append(part.valid.sum())
    return torch.stack(sums).sum() / torch.stack(counts).sum()


class Windows(Dataset[SessionChunk]):
    """An item is a frame with its history."""

    def __init__(self, data: MultiDatasetDM) -> None:
        self.context, self.items = data.context, []
        table = data.tables[TRAIN]
        self.sessions = data.sessions
        for session, start, stop in zip(table.session, table.start, table.stop, strict=True):
            self.items += [(int(session), frame) for frame in range(start, stop)]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[int, Tensor, Tensor, Tensor]:
        number, frame = self.items[index]
        session = self.sessions[number]
        stimulus = torch.from_numpy(session.stimulus[frame - self.context : frame + 1, 0].copy())[
            None
        ]
        responses = torch.from_numpy(session.responses[frame].copy())[None]
        return number, stimulus, responses, torch.from_numpy(session.valid[frame].copy())[None]

    def collate(self, items: list[tuple[int, Tensor, Tensor, Tensor]]) -> list[SessionChunk]:
        parts = []
        for number in sorted({item[0] for item in items}):
            mine = [item[1:] for item in items if item[0] == number]
            stimulus, responses, valid = (torch.stack(each) for each in zip(*mine, strict=True))
            parts.append(
                SessionChunk(
                    session=self.sessions[number].id,
                    stimulus=stimulus,
                    responses=responses,
                    valid=valid,
                    behaviour=None,
                    past=torch.zeros(len(mine), self.context, responses.shape[-1]),
                    frames=torch.zeros(len(mine), dtype=torch.int64),
                )
            )
        return parts


@dataclass
class Way:
    """A way of training, with its own copy of the model."""

    module: NeuralModule
    batches: Iterator[object]
    loss: Callable[[NeuralModule, object], Tensor]
    bf16: bool = False
    frames: int = 0
    seconds: float = 0.0
    reached: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=RATE)

    def step(self, counts: bool) -> None:
        started = time.process_time()
        batch = next(self.batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.loss(self.module, batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if counts:
            parts = batch.parts if isinstance(batch, NeuralBatch) else batch
            self.seconds += time.process_time() - started
            self.frames += sum(int(part.valid.any(-1).sum()) for part in parts)


def endless(make: Callable[[], Iterator[object]]) -> Iterator[object]:
    while True:
        yield from make()


def held_out(data: MultiDatasetDM, module: NeuralModule) -> float:
    """Mean correlation over the units of all sessions on the validation trials."""
    module.eval()
    with torch.inference_mode():
        for batch in data.evaluation_loader(VALIDATION):
            for part, rates in zip(batch.parts, module.rates_of(batch), strict=True):
                module.score_of(part.session).update(rates, part.responses, part.valid)
        scores = [module.score_of(session) for session in module.sessions]
        found = torch.cat([score.corr() for score in scores]).nanmean()
        for score in scores:
            score.reset()
    module.train()
    return float(found)


def data_of(recorded: tuple[str, ...], batches: str, cache: Path, chunk: int) -> MultiDatasetDM:
    """The recordings, in batches of one kind."""
    settings = (*MODEL, *recorded, f"data.chunk_frames={chunk}", f"data.batches={batches}")
    config = build_config(NeuralConfig, [], settings)
    data = MultiDatasetDM(config, cache)
    data.batch_size = round(WINDOWS / chunk)
    data.setup("fit")
    return data


def ways(own: MultiDatasetDM, cycled: MultiDatasetDM, shipped: MultiDatasetDM) -> dict[str, Way]:
    """Every way of training, each with a fresh model.

    Args:
        own: The recordings as ours takes them.
        cycled: In chunks of one session a step.
        shipped: In such chunks, as short as openretina's.
    """

    def model() -> NeuralModule:
        torch.manual_seed(0)
        return NeuralModule(own.config.model, own.config.training, own.learned)

    def chunks(data: MultiDatasetDM) -> Iterator[object]:
        loader = data.train_dataloader()
        return endless(lambda: iter(loader))

    def ours(module: NeuralModule, batch: object) -> Tensor:
        return module.step(batch)["loss"]

    def theirs(module: NeuralModule, batch: object) -> Tensor:
        return plain_loss(module, list(batch.parts))

    items = Windows(own)
    loader = DataLoader(items, WINDOWS, True, collate_fn=items.collate, drop_last=True)
    return {
        "windows": Way(model(), endless(lambda: iter(loader)), plain_loss),
        "cycling 50": Way(model(), chunks(shipped), theirs),
        "cycling": Way(model(), chunks(cycled), theirs),
        f"cycling{BF16}": Way(model(), chunks(cycled), theirs, bf16=True),
        "tutelage": Way(model(), chunks(own), ours),
        f"tutelage{BF16}": Way(model(), chunks(own), ours, bf16=True),
    }


def agree(data: MultiDatasetDM, module: NeuralModule) -> float:
    """Largest difference between our rates and those of plain 3-D convolutions."""
    part = next(iter(data.evaluation_loader(VALIDATION))).parts[0]
    module.eval()
    with torch.inference_mode():
        drive = module.network.head(part.session).drive(plain_core(module, part.stimulus), part)
        apart = float((rates_of(drive, "softplus") - module.rates(part)).abs().max())
    module.train()
    return apart


def compare(stimuli: str, args: argparse.Namespace, cache: Path) -> Told:
    """Train in every way by turns; print and return how fast and how well."""
    recorded = (
        *(f"data.simulated_sessions={args.sessions}", f"data.simulated_seconds={args.recorded}"),
        f"data.simulated_stimuli={stimuli}",
    )
    kind = "mixed" if stimuli == "own" else "shared"
    own, cycled = (data_of(recorded, each, cache, CHUNK) for each in (kind, "by_session"))
    shipped = data_of(recorded, "by_session", cache, SHIPPED - own.context)
    found = ways(own, cycled, shipped)
    apart = agree(own, found["tutelage"].module)
    for way in found.values():
        for _ in range(2):
            way.step(counts=False)
    for mark in (args.seconds / 3, 2 * args.seconds / 3, args.seconds):
        for way in found.values():
            while way.seconds < mark:
                way.step(counts=True)
            way.reached.append((way.seconds, held_out(own, way.module)))
    print(f"\n{stimuli} stimuli, {args.sessions} sessions")
    print(f"largest difference between our rates and plain 3-D convolutions: {apart:.1e}")
    figures, asked = told(stimuli, found)
    return figures | {"apart": apart}, asked


def told(stimuli: str, found: Mapping[str, Way]) -> Told:
    """Print speeds and correlations; return them, and what they say of each claim."""
    speed = {name: way.frames / way.seconds for name, way in found.items()}
    for name, way in found.items():
        curve = "  ".join(f"{seconds:.0f} s: r={r:.3f}" for seconds, r in way.reached)
        print(f"{name:14s} {speed[name]:7.0f} frames per CPU-second   {curve}")
    asked = []
    for mine, peer, wanted in CLAIMS:
        pairs = list(zip(found[mine].reached, found[peer].reached, strict=True))
        gains = ", ".join(f"{a[1] - b[1]:+.3f}" for a, b in pairs)
        precision = "equal" if (BF16 in mine) == (BF16 in peer) else "mixed"
        held = "equal or better" if all(a[1] >= b[1] for a, b in pairs) else "NOT always better"
        what = f"{mine} over {peer} ({precision} precision)"
        print(f"{what}: held-out r {held} at equal CPU-seconds ({gains})")
        asked.append(Target(f"{stimuli} stimuli, {what}", speed[mine] / speed[peer], "≥", wanted))
    reached = {name: way.reached for name, way in found.items()}
    return {"speed": speed, "reached": reached}, asked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU-seconds for each way")
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--recorded", type=int, default=240, help="seconds of each recording")
    parser.add_argument("--stimuli", nargs="+", choices=STIMULI, default=STIMULI)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")
    with tempfile.TemporaryDirectory() as cache:
        found = {stimuli: compare(stimuli, args, Path(cache)) for stimuli in args.stimuli}
    figures = {stimuli: each for stimuli, (each, _) in found.items()}
    conclude(figures, [one for _, asked in found.values() for one in asked], args.json)


if __name__ == "__main__":
    main()
