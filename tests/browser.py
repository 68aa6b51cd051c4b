"""What a real browser says of a page, and a person who has only a keyboard or a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PHONE, DESK = 390, 1440
BROKEN = "[...document.images].filter(image => !image.naturalWidth).map(image => image.alt)"
MUTE = """[...document.querySelectorAll("img, svg[role=img]")].filter(
    drawing => !(drawing.alt || drawing.getAttribute("aria-label"))).length"""
TOO_WIDE = "document.documentElement.scrollWidth - window.innerWidth"


@contextmanager
def opened() -> Iterator[Any]:
    """A page of a real browser, if there is one on this machine."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.set_default_timeout(120_000)
        yield page
        browser.close()


def look_at(path: Path) -> None:
    """Open a report on a phone and on a desk; what is wrong with it fails.

    Without a browser it skips: let it be the last thing that a test does.
    """
    with opened() as page:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        for width in (PHONE, DESK):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(path.as_uri())
            assert page.evaluate(TOO_WIDE) <= 0, f"wider than {width} pixels"
        assert said == []
        assert page.evaluate(BROKEN) == [] and page.evaluate(MUTE) == 0
        folded = page.locator("details").first
        folded.locator("summary").press("Enter")
        assert folded.evaluate("details => details.open")
