"""`FinalConfig`: how the model to ship is trained, judged and exported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tutelage.core.config import RunPolicy
from tutelage.core.overrides import build_config
from tutelage.core.sections import Section

PREFIX: Final = "final"
"""What stands before these settings where they are typed with a run's: ``final.policy=…``."""
Format = Literal["onnx", "onnx-int8", "hf"]
Combination = Literal["new_only", "combined", "append"]
Source = Literal["scratch", "best_selected", "final_training"]


class Gate(Section):
    """What a model has to keep to be shipped."""

    metric: str | None = Field(default=None, min_length=1)
    """A score of the run, as its record names it, such as `test/f1`."""
    minimum: float | None = None
    """The least that it may be."""
    maximum: float | None = None
    """The most that it may be, for a metric of which less is better."""
    latency_ms: float | None = Field(default=None, gt=0)
    """The most that half of the calls of an exported file may take, on one thread, for one sample:
    the slowest of the lengths that are timed."""
    megabytes: float | None = Field(default=None, gt=0)
    """The most that an exported file may weigh; where nothing is exported, the weights."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        limited = self.minimum is not None or self.maximum is not None
        if limited != (self.metric is not None):
            raise ValueError("metric needs minimum or maximum, and each of these a metric")
        return self


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class FinalConfig(Section):
    """The training of the model to ship."""

    policy: RunPolicy = "reuse_if_exists"
    """`reuse_if_exists`: what was shipped, or trained, by the same settings is taken; `force_new`:
    a new run; `resume_if_incomplete`: an unfinished run of the same settings goes on;
    `continue_from_previous`: begin with the weights of the newest shipped model of the same task,
    mode and model, or go on with a run that so began."""
    source: Source = "scratch"
    """`scratch`: fresh weights; `best_selected`: those of the run that is named, or of the study's
    refit; `final_training`: those of the newest shipped model of the same task, mode and model."""
    on: Literal["all", "split"] = "all"
    """`all`: train on the whole training pool, up to the epoch that was best; `split`: as the run
    trained, with held-out data to stop by."""
    combine: Combination | None = None
    """What becomes of the data that the run or study had where `data.root` names new ones:
    `new_only`: they are left out; `combined`: each set is split as it would be alone; `append`: the
    older tests stay the tests; null: as the settings of the data say."""
    export: Annotated[tuple[Format, ...], BeforeValidator(_as_list)] = ()
    """Formats to export the model to; each file is checked against the model."""
    gate: Gate = Gate()
    """What it has to keep to be shipped."""

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if self.policy == "continue_from_previous" and self.source == "best_selected":
            raise ValueError(
                "continue_from_previous begins with the weights of the newest shipped model, "
                "best_selected with those of the run that is named; give one of them"
            )
        timed = [name for name in self.export if name != "hf"]
        if self.gate.latency_ms is not None and not timed:
            raise ValueError("gate.latency_ms is of an exported file: set export=onnx")
        if len(set(self.export)) != len(self.export):
            raise ValueError("a format is named twice")
        return self

    @property
    def begins_with_shipped(self) -> bool:
        """Whether it begins with the weights of the newest shipped model."""
        return self.source == "final_training" or self.policy == "continue_from_previous"


class _Request(BaseModel):
    """What stands under `final`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    final: FinalConfig = FinalConfig()


def read_final_config(overrides: Iterable[str]) -> tuple[FinalConfig, tuple[str, ...]]:
    """Return the settings of a final training, and the rest, which are those of its run.

    Raises:
        ConfigError: A setting is unknown or wrong.
    """
    given = tuple(overrides)
    own = tuple(text for text in given if text.split("=")[0].split(".")[0] == PREFIX)
    rest = tuple(text for text in given if text not in own)
    return build_config(_Request, [], own).final, rest
