"""Picture the reports of small runs of every task, and of a comparison, for docs/reports.md.

Usage: python docs/figures/reports.py [PICTURE ...] [NAME=RUN ...]

NAME=RUN gives a finished run for one of `RUNS`. Otherwise it trains what is not in the store yet
(TUTELAGE_HOME) on the embedded data, which takes minutes. It needs Chromium. Pictures are written
beside this file.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import tutelage
from tutelage.cli.report import write_page
from tutelage.core.store import RunStore

HERE = Path(__file__).parent
COLOURS = 128
"""Of a picture's palette: enough for letters and lines, and small."""
GAT = ("training.max_epochs=6",)
RUNS: Mapping[str, tuple[str, ...]] = {
    "can": ("can", *GAT),
    "curriculum": ("can", *GAT, "mode=curriculum"),
    "ner": ("ner", "data.embedded=resumes", "training.max_epochs=6"),
    "neural": ("neural", "training.max_epochs=4"),
    "multimodal": ("multimodal",),
}


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture of a part of a page.

    Args:
        runs: The runs of the page, by their names in `RUNS`.
        start: Words of the heading or title that it begins with; the top for none.
        height: In pixels.
        width: Of the window.
        scheme: Light or dark.
    """

    runs: Sequence[str]
    start: str = ""
    height: int = 900
    width: int = 1000
    scheme: str = "light"


SHOTS: Mapping[str, Shot] = {
    "report-can": Shot(("can",), start="Figures", height=900),
    "report-ner": Shot(("ner",), start="What was taken for what", height=850),
    "report-neural": Shot(("neural",), start="Figures", height=950),
    "report-multimodal": Shot(("multimodal",), start="Pictures closest to a caption", height=900),
    "report-comparison": Shot(("can", "curriculum"), height=1250),
    "report-phone": Shot(("can",), height=1100, width=390, scheme="dark"),
}


def main(words: Sequence[str]) -> None:
    """Train what the pictures need, and take them."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    shots = {name: SHOTS[name] for name in words if name in SHOTS} or SHOTS
    runs = {}
    for name in dict.fromkeys(run for shot in shots.values() for run in shot.runs):
        known = given.get(name)
        runs[name] = RunStore.default().find(known) if known else tutelage.train(*RUNS[name])
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, shot in shots.items():
            path = Path(folder, f"{name}.html")
            write_page([runs[run] for run in shot.runs], RunStore.default(), path)
            size = {"width": shot.width, "height": shot.height}
            page = browser.new_page(viewport=size, color_scheme=shot.scheme)
            page.goto(path.as_uri())
            small = quantised(picture(page, shot))
            (HERE / f"{name}.png").write_bytes(small)
            print(f"{name}.png {len(small) / 1000:.0f} kB")
            page.close()


def picture(page: Page, shot: Shot) -> bytes:
    """Take a part of a page."""
    top = 0.0
    if shot.start:
        where = page.locator("h2, h3, figcaption").filter(has_text=shot.start).first
        top = page.evaluate("e => e.getBoundingClientRect().top + scrollY", where.element_handle())
    clip = {"x": 0, "y": max(0, top - 12), "width": shot.width, "height": shot.height}
    return page.screenshot(clip=clip, full_page=True)


def quantised(png: bytes) -> bytes:
    """Write a PNG with a palette."""
    buffer = BytesIO()
    with Image.open(BytesIO(png)) as image:
        image.convert("RGB").quantize(COLOURS).save(buffer, "png", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
