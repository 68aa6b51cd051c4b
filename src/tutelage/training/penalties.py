"""Prices on named parameters with a schedule of their own, and steps that hold weights small."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from tutelage.core.errors import ConfigError, suggest

Schedule = Literal["constant", "warmup", "ramp", "decay"]


class Rule(Protocol):
    """Which parameters pay what, and when; a section of settings is one."""

    @property
    def name(self) -> str:
        """One of `PENALTIES` or `PROXIMAL`."""

    @property
    def parameters(self) -> str:
        """Pattern of parameters' names, as a shell has it for files."""

    @property
    def strength(self) -> float:
        """What a penalty is multiplied by; what a clamp holds weights within."""

    @property
    def schedule(self) -> Schedule:
        """How the strength moves over the run."""

    @property
    def start(self) -> float:
        """Share of the run at which it begins to move."""

    @property
    def end(self) -> float:
        """Share of the run at which it has moved."""


def factor(schedule: Schedule, progress: float, start: float, end: float) -> float:
    """Return the share of a rule's strength that holds at ``progress`` (0 to 1) of the run.

    `constant`: always 1; `warmup`: 0 before ``start``, then 1; `ramp`: a line from 0 at ``start``
    to 1 at ``end``; `decay`: a line from 1 at ``start`` to 0 at ``end``.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "warmup":
        return float(progress >= start)
    moved = min(1.0, max(0.0, (progress - start) / max(end - start, 1e-12)))
    return moved if schedule == "ramp" else 1.0 - moved


def l1(weight: Tensor) -> Tensor:
    """Return the sum of sizes."""
    return weight.abs().sum()


def l2(weight: Tensor) -> Tensor:
    """Return the sum of squares."""
    return weight.square().sum()


def group_lasso(weight: Tensor) -> Tensor:
    """Return the sum of the groups' norms; a group is what belongs to one output (Yuan & Lin 2006).

    The root's gradient at 0 is taken as 0.
    """
    squares = weight.reshape(len(weight), -1).square().sum(1)
    return torch.where(squares > 0, squares.clamp(min=1e-24).sqrt(), squares).sum()


def orthogonality(weight: Tensor) -> Tensor:
    """Return ||W W' - I||^2 with each output's weights scaled to norm 1."""
    rows = F.normalize(weight.reshape(len(weight), -1), dim=1)
    return (
        (rows @ rows.t() - torch.eye(len(rows), device=rows.device, dtype=rows.dtype))
        .square()
        .sum()
    )


def laplacian(weight: Tensor) -> Tensor:
    """Return the sum of squared second differences over the last two dimensions.

    Each place is compared with the mean of its neighbours above, below, left and right; at a border
    the place itself stands for the missing one.
    """
    maps = weight.reshape(-1, 1, *weight.shape[-2:])
    padded = F.pad(maps, (1, 1, 1, 1), mode="replicate")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    around = around + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return (around - 4 * maps).square().sum()


PENALTIES: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "l1": l1,
    "l2": l2,
    "group_lasso": group_lasso,
    "orthogonality": orthogonality,
    "laplacian": laplacian,
}
PROXIMAL: Final = ("proximal_l1", "proximal_clamp")


class Penalties:
    """The rules of a run, each with the parameters that its pattern fits.

    Args:
        rules: In any order; several may fit one parameter.
        named: All parameters that can be meant, by name.

    Raises:
        ConfigError: A pattern fits no parameter, or a rule can't take the shape of one.
    """

    def __init__(self, rules: Iterable[Rule], named: Iterable[tuple[str, nn.Parameter]]) -> None:
        known = dict(named)
        self.rules: list[tuple[Rule, list[nn.Parameter]]] = []
        for rule in rules:
            found = {n: p for n, p in known.items() if fnmatchcase(n, rule.parameters)}
            if not found:
                said = f"{rule.name}: no parameter is called {rule.parameters!r}"
                hint = suggest(rule.parameters, known)
                raise ConfigError(said, where="training.regularizers", hint=hint)
            flat = [n for n, p in found.items() if p.ndim < _least_dimensions(rule.name)]
            if flat:
                said = f"{rule.name} can't be taken of {', '.join(flat)}: too few dimensions"
                raise ConfigError(said, where="training.regularizers")
            self.rules.append((rule, list(found.values())))

    def total(self, progress: float) -> Tensor | None:
        """Return the sum of all prices at ``progress`` (0 to 1) of the run; null without one."""
        total: Tensor | None = None
        for rule, parameters in self.rules:
            if rule.name in PROXIMAL:
                continue
            share = rule.strength * factor(rule.schedule, progress, rule.start, rule.end)
            price = torch.stack([PENALTIES[rule.name](p) for p in parameters]).sum() * share
            total = price if total is None else total + price
        return total

    def hold(self, optimizer: Optimizer, progress: Callable[[], float]) -> None:
        """Let the proximal rules act after each step of the optimiser, once a step.

        Args:
            optimizer: It trains all parameters that the rules fit.
            progress: Tells the share of the run that is done.
        """
        held = [(rule, ps) for rule, ps in self.rules if rule.name in PROXIMAL]
        if not held:
            return

        def act(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            rates = {id(p): group for group in optimizer.param_groups for p in group["params"]}
            for rule, parameters in held:
                share = factor(rule.schedule, progress(), rule.start, rule.end)
                _shrink(optimizer, rates, rule, share, parameters)

        optimizer.register_step_post_hook(act)


@torch.no_grad()
def _shrink(
    optimizer: Optimizer,
    groups: Mapping[int, Mapping[str, Any]],
    rule: Rule,
    share: float,
    parameters: Sequence[nn.Parameter],
) -> None:
    for parameter in parameters:
        if rule.name == "proximal_clamp":
            parameter.clamp_(-rule.strength, rule.strength)
        elif id(parameter) in groups:
            step = step_size(optimizer, groups[id(parameter)], parameter)
            shrunk = (parameter.abs() - rule.strength * share * step).clamp(min=0)
            parameter.copy_(parameter.sign() * shrunk)


def step_size(optimizer: Optimizer, group: Mapping[str, Any], parameter: Tensor) -> Tensor | float:
    """Return how far a gradient of 1 moves each weight now.

    With Adam that is the learning rate over the root of the weight's second moment, so that the
    proximal step of a weight is in proportion to its gradient step (Yun et al. 2021, 2007.01014).
    """
    rate = float(group["lr"])
    state = optimizer.state.get(parameter)
    if not isinstance(optimizer, Adam | AdamW) or not state:
        return rate
    correction = 1 - group["betas"][1] ** float(state["step"])
    moment: Tensor = state["exp_avg_sq"] / correction
    return rate / (moment.sqrt() + float(group["eps"]))


def _least_dimensions(name: str) -> int:
    return 2 if name in ("group_lasso", "orthogonality", "laplacian") else 0
