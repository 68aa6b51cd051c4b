"""Payloads hold the bits that cantools would put there, and checksums that a receiver accepts."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.core.errors import UnknownNameError
from tutelage.tasks.can.simulator import VEHICLES
from tutelage.tasks.can.simulator.database import read_dbc, vehicle_messages
from tutelage.tasks.can.simulator.packing import checksum, pack


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_packing_equals_cantools_for_every_message(vehicle: str) -> None:
    database, random = read_dbc(vehicle), np.random.default_rng(3)
    for message in vehicle_messages(vehicle):
        raw = []
        for signal in message.signals:
            low = -(1 << (signal.length - 1)) if signal.signed else 0
            high = min(low + (1 << signal.length), 1 << 62)
            raw.append(random.integers(low, high, 5))
        packed = pack(message.signals, raw)
        for row in range(5):
            values = {s.name: int(r[row]) for s, r in zip(message.signals, raw, strict=True)}
            data = database.encode_message(
                message.arbitration_id, values, scaling=False, strict=False
            )
            assert packed[row].tobytes() == data.ljust(8, b"\0"), message.name


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_each_dbc_has_its_own_ids_periods_and_layouts(vehicle: str) -> None:
    messages = vehicle_messages(vehicle)
    assert 30 <= len(messages) <= 50
    assert {"Cyclic", "OnChange", "Poisson"} == {m.trigger for m in messages}
    assert all(m.period > 0 or m.trigger != "Cyclic" for m in messages)
    sources = {s.source for m in messages for s in m.signals}
    assert {"speed", "rpm", "gear", "counter", "constant"} <= sources
    assert any(s.startswith("checksum_") for s in sources)


def test_crc8_is_that_of_sae_j1850() -> None:
    check = np.frombuffer(b"123456789", np.uint8)[None, :]
    assert checksum("crc8", check).tolist() == [0x4B]


def test_xor_and_sum_run_over_the_other_bytes() -> None:
    data = np.array([[0xF0, 0x0F, 0xFF], [200, 100, 1]], np.uint8)
    assert checksum("xor", data).tolist() == [0, 200 ^ 100 ^ 1]
    assert checksum("sum", data).tolist() == [0xFE, 301 % 256]


def test_an_unknown_vehicle_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="hatchback"):
        vehicle_messages("hatchbak")
