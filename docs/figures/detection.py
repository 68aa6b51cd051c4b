"""Draw the README's picture: a simulated capture, its attacks, and what a trained run says of it.

Usage: python docs/figures/detection.py RUN docs/figures/detection.png
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import tutelage
from tutelage.tasks.can.frames import ATTACK
from tutelage.tasks.can.simulator import SimulatedCapture, simulate_capture, write_csv

INK, ALARM, CALM = "#3b4252", "#d1495b", "#2a9d8f"


def main(run: str, picture: str) -> None:
    """Train nothing: apply ``run`` to a capture that it has never seen, and draw both."""
    capture = simulate_capture("estate", seed=2026, seconds=40.0, attack="rpm_spoofing")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "estate.csv"
        write_csv(capture.frames, path)
        (windows,) = tutelage.predict(run, path)
    rows = np.array(windows.rows, dtype=float)
    column = {name: rows[:, i] for i, name in enumerate(windows.columns)}
    plt.rcParams |= {"font.size": 9, "axes.spines.top": False}
    plt.rcParams |= {"axes.spines.right": False, "text.color": INK, "axes.labelcolor": INK}
    figure, (bus, score) = plt.subplots(
        2, 1, figsize=(8, 3.6), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    draw_bus(bus, capture)
    middle = (column["start_time"] + column["end_time"]) / 2
    alarm = column["alarm"] > 0
    score.vlines(middle[~alarm], 0, column["score"][~alarm], color=CALM, linewidth=0.6)
    score.vlines(middle[alarm], 0, column["score"][alarm], color=ALARM, linewidth=0.8)
    score.set(xlabel="seconds", ylabel="P(attack)", ylim=(0, 1.05))
    for axes in (bus, score):
        for start, end in capture.intervals:
            axes.axvspan(start, end, color=ALARM, alpha=0.08, linewidth=0)
    figure.savefig(picture, dpi=150, metadata={"Software": None})


def draw_bus(axes: plt.Axes, capture: SimulatedCapture) -> None:
    """Every frame as a dot at its time and id; injected frames in red."""
    frames = capture.frames
    ids, place = np.unique(frames.arbitration_id, return_inverse=True)
    injected = frames.label == ATTACK
    shown = np.flatnonzero(~injected)[::6]
    axes.scatter(frames.timestamp[shown], place[shown], s=0.4, color=INK, linewidths=0)
    axes.scatter(frames.timestamp[injected], place[injected], s=3, color=ALARM, linewidths=0)
    axes.set(ylabel="CAN id", yticks=[0, len(ids) - 1])
    axes.set_yticklabels([f"0x{ids[0]:X}", f"0x{ids[-1]:X}"])
    axes.set_title(
        "Spoofed engine speed in a drive never seen in training", loc="left", fontsize=10
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
