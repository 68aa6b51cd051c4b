"""Vehicle descriptions read from DBC files: what each message carries, its layout and schedule."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from tutelage.core.errors import UnknownNameError

if TYPE_CHECKING:
    import cantools.database.can

VEHICLES: tuple[str, ...] = ("hatchback", "estate", "pickup")


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal's layout, as the DBC states it.

    Args:
        name: The signal's name in the DBC.
        source: What fills it: a channel of `signals.Drive`, or ``constant``, ``counter``,
            ``checksum_crc8``, ``checksum_xor``, ``checksum_sum`` (DBC attribute ``Source``).
        start: DBC start bit (least significant if little-endian, most significant if big-endian).
        length: Bits.
        big_endian: Motorola byte order.
        signed: Two's complement.
        scale: Physical units per raw step.
        offset: Physical value of raw zero.
        initial: Raw value of a constant.
    """

    name: str
    source: str
    start: int
    length: int
    big_endian: bool
    signed: bool
    scale: float
    offset: float
    initial: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message: identifier, sender, length in bytes, schedule and signals.

    Args:
        arbitration_id: 11-bit identifier.
        name: The message's name in the DBC.
        sender: The control unit that sends it; its clock drifts as one.
        dlc: Payload bytes.
        period: Cycle time in seconds; 0 when it is sent on events alone.
        trigger: ``Cyclic``, ``OnChange`` (of its first signal, beside any cycle) or ``Poisson``.
        event_rate: Events a second of a ``Poisson`` message.
        signals: In DBC order.
    """

    arbitration_id: int
    name: str
    sender: str
    dlc: int
    period: float
    trigger: str
    event_rate: float
    signals: tuple[Signal, ...]

    def carries(self, source: str) -> bool:
        """Whether one of the signals is filled from ``source``."""
        return any(s.source == source for s in self.signals)


def read_dbc(vehicle: str) -> cantools.database.can.Database:
    """Return the vehicle's DBC as `cantools` reads it.

    Raises:
        UnknownNameError: No such vehicle.
    """
    if vehicle not in VEHICLES:
        raise UnknownNameError("vehicle", vehicle, VEHICLES)
    import cantools  # a second or two: it pulls in python-can, asammdf and pandas

    text = resources.files(__package__).joinpath("dbc", f"{vehicle}.dbc").read_text("utf-8")
    return cantools.database.load_string(text, "dbc")


@lru_cache(maxsize=len(VEHICLES))
def vehicle_messages(vehicle: str) -> tuple[Message, ...]:
    """Return the vehicle's messages in order of identifier.

    Raises:
        UnknownNameError: No such vehicle.
    """
    database = read_dbc(vehicle)
    return tuple(_message(m) for m in sorted(database.messages, key=lambda m: m.frame_id))


def _message(message: cantools.database.can.Message) -> Message:
    rate = message.dbc.attributes.get("EventRate")
    return Message(
        arbitration_id=message.frame_id,
        name=message.name,
        sender=message.senders[0],
        dlc=message.length,
        period=(message.cycle_time or 0) / 1000,
        trigger=message.send_type or "Cyclic",
        event_rate=float(rate.value) if rate is not None else 0.0,
        signals=tuple(_signal(s) for s in message.signals),
    )


def _signal(signal: cantools.database.can.Signal) -> Signal:
    return Signal(
        name=signal.name,
        source=str(signal.dbc.attributes["Source"].value),
        start=signal.start,
        length=signal.length,
        big_endian=signal.byte_order == "big_endian",
        signed=signal.is_signed,
        scale=float(signal.scale),
        offset=float(signal.offset),
        initial=int(signal.raw_initial or 0),
    )
