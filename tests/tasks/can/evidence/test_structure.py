"""Counters and checksums are recognised in payloads, and only where they are."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage.tasks.can.evidence.checksums import find_parity_checksum, find_sum_checksum
from tutelage.tasks.can.evidence.counters import Counter, find_counters
from tutelage.tasks.can.frames import Frames
from tutelage.tasks.can.simulator import VEHICLES, simulate_capture
from tutelage.tasks.can.simulator.database import Message, vehicle_messages


def _words(frames: Frames, identifier: int) -> np.ndarray:
    payload = frames.payload[frames.arbitration_id == identifier]
    return np.ascontiguousarray(payload).view("<u8").ravel()


def _octets(words: np.ndarray) -> np.ndarray:
    return words.view(np.uint8).reshape(-1, 8)


def _random_payloads(seed: int, count: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8), dtype=np.uint8)


def _has(message: Message, prefix: str) -> bool:
    return any(s.source.startswith(prefix) for s in message.signals)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_every_checksum_over_moving_signals_is_found_and_no_other(vehicle: str) -> None:
    frames = simulate_capture(vehicle, seed=5, seconds=12).frames
    for message in vehicle_messages(vehicle):
        words = _words(frames, message.arbitration_id)
        octets_that_move = (_octets(words ^ words[0]) != 0).any(axis=0).sum()
        if len(np.unique(words)) < 200 or octets_that_move < 3:
            continue
        parity = find_parity_checksum(words, message.dlc)
        added = find_sum_checksum(words, message.dlc)
        linear = _has(message, "checksum_crc8") or _has(message, "checksum_xor")
        assert (parity is not None) == linear, hex(message.arbitration_id)
        assert (added is not None) == _has(message, "checksum_sum"), hex(message.arbitration_id)


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_the_alive_counters_of_a_vehicle_are_found_where_they_stand(vehicle: str) -> None:
    frames = simulate_capture(vehicle, seed=6, seconds=12).frames
    for message in vehicle_messages(vehicle):
        counters = [s for s in message.signals if s.source == "counter" and not s.big_endian]
        words = _words(frames, message.arbitration_id)
        for signal in counters:
            if 2 <= signal.length <= 8 and len(words) >= 4 << signal.length:
                found = {(c.shift, c.width) for c in find_counters([words])}
                assert (signal.start, signal.length) in found, hex(message.arbitration_id)


def test_a_counter_that_skips_a_value_at_its_turn_is_found_with_its_modulus() -> None:
    payload = np.zeros((300, 8), np.uint8)
    payload[:, 7] = np.arange(300) % 15 << 4
    assert find_counters([payload.view("<u8").ravel()]) == [Counter(60, 4, 15)]


def test_noise_and_constants_hold_neither_counter_nor_checksum() -> None:
    for payload in (_random_payloads(1), np.zeros((400, 8), np.uint8)):
        words = payload.view("<u8").ravel()
        assert find_counters([words]) == []
        assert find_parity_checksum(words, 8) is None
        assert find_sum_checksum(words, 8) is None


@pytest.mark.parametrize("reflected", [False, True])
@pytest.mark.parametrize("place", [0, 7])
def test_a_crc_of_any_polynomial_in_the_first_or_last_octet_is_found(
    place: int, reflected: bool
) -> None:
    payload = _random_payloads(2)
    others = [o for o in range(8) if o != place]
    for row in payload:
        crc = 0xA5
        for octet in row[others].tolist():
            crc ^= octet
            for _ in range(8):
                if reflected:
                    crc = crc >> 1 ^ 0x9B if crc & 1 else crc >> 1
                else:
                    crc = (crc << 1 ^ 0x2F if crc & 0x80 else crc << 1) & 0xFF
        row[place] = crc ^ 0x33
    words = payload.view("<u8").ravel()
    found = find_parity_checksum(words, 8)
    assert found is not None
    masks, parity = np.array(found.masks, np.uint64), np.array(found.parity)
    assert (np.bitwise_count(words[:, None] & masks) % 2 == parity).all()
    changed = words ^ np.uint64(1 << 20)
    assert (np.bitwise_count(changed[:, None] & masks) % 2 != parity).any(axis=1).all()


def test_a_nibble_that_completes_the_sum_of_all_is_found() -> None:
    payload = _random_payloads(3)
    payload[:, 7] &= 0xF0
    total = (payload >> 4).sum(axis=1) + (payload & 15).sum(axis=1)
    payload[:, 7] |= ((3 - total) % 16).astype(np.uint8)
    found = find_sum_checksum(payload.view("<u8").ravel(), 8)
    assert found is not None
    assert (found.modulus, found.residue) == (16, 3)


def test_octets_that_mirror_each_other_are_no_checksum() -> None:
    payload = np.zeros((400, 8), np.uint8)
    payload[:, 2] = payload[:, 7] = _random_payloads(4)[:, 0]
    words = payload.view("<u8").ravel()
    assert find_parity_checksum(words, 8) is None
    assert find_sum_checksum(words, 8) is None


def test_the_low_bits_of_a_value_that_rises_steadily_are_no_counter() -> None:
    value = 4 * np.arange(400) + 3
    little = (value & 0xFF) | (value >> 8 << 8) | 0xC2 << 32
    assert find_counters([little.astype(np.uint64)]) == []
    swapped = (value & 0xFF) << 8 | value >> 8
    assert find_counters([swapped.astype(np.uint64)]) == []
    (found,) = find_counters([(value & 0xFF).astype(np.uint64)])
    assert (found.shift, found.width) == (2, 6)


def test_a_counter_that_never_begins_again_within_a_stretch_is_no_error() -> None:
    rising = [np.arange(at, at + 3, dtype=np.uint64) for at in range(6)] * 40
    assert Counter(0, 3, 8) in find_counters(rising)
