"""Drawings become files for papers: the same drawing in each format, and nothing from outside."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from made_runs import finish_run
from tutelage.core.errors import StorageError
from tutelage.core.records import Figure, Lane, Line, Panel
from tutelage.core.store import Run, RunStore
from tutelage.report.plates import plates_of, write_plates

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>alert('x')</script> $x_1$"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    at = (0.0, 0.5, 1.0)
    one = Line(name="model", values=(0.0, 0.8, 1.0), at=at, low=(0.0, 0.6, 1.0), high=(0, 1, 1))
    found = finish_run(RunStore(tmp_path / "home"))
    panels = (
        Panel(title="ROC", lines=(one, Line(name=EVIL, values=at, at=at)), across="rate"),
        Panel(title="bus", lanes=(Lane(name="attack", spans=((0.0, 2.0),)),), across="seconds"),
        Panel(title="field", image=((0.0, 1.0), (1.0, 0.5)), marks=((0.5, 0.5),)),
        Panel(title="trace", lines=(one, one)),
    )
    found.update(figures=(Figure(title="Thresholds on test", panels=panels),))
    png = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20
    (found.path / "closest.png").write_bytes(png)
    found.update(artifacts={"closest.png": found.artifact(found.path / "closest.png")})
    return found


NAMES = [
    "01-thresholds-on-test-roc", "02-thresholds-on-test-bus", "03-thresholds-on-test-field",
    "04-thresholds-on-test-trace", "05-training-loss",
]  # fmt: skip


def test_every_drawing_is_an_svg_that_needs_nothing_else(run: Run, tmp_path: Path) -> None:
    written = write_plates([run], {run.id: "<svg/>"}, tmp_path / "out", "svg")
    names = sorted(path.name for path in written)
    assert names == sorted(
        [*(f"{name}.svg" for name in NAMES), f"lineage-{run.id}.svg", "closest.png"]
    )
    for name in NAMES:
        root = ElementTree.parse(tmp_path / "out" / f"{name}.svg").getroot()
        assert root.tag == f"{SVG}svg" and root.attrib["aria-label"]
        assert root.attrib["width"].endswith("mm")
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            "svg", "style", "path", "polyline", "text", "rect", "circle",
        }  # fmt: skip
        text = (tmp_path / "out" / f"{name}.svg").read_text()
        assert "var(" not in text and "url(" not in text and "href" not in text
    roc = (tmp_path / "out" / f"{NAMES[0]}.svg").read_text()
    assert "model" in roc and "&lt;script&gt;" in roc, "a legend names the lines"


def test_a_pdf_is_one_page_of_that_size_with_its_letters(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_plates([run], {}, tmp_path, "pdf")
    for name, plate in zip(NAMES, plates_of([run]), strict=True):
        content = (tmp_path / f"{name}.pdf").read_bytes()
        assert content.startswith(b"%PDF") and content.count(b"/Type /Page\n") <= 1
        (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content)
        assert [float(side) / 72 * 25.4 for side in box] == pytest.approx(plate.size_mm, abs=0.1)
        assert b"/Type3" not in content and b"CreationDate" not in content
    streams = re.findall(
        rb"stream\r?\n(.*?)endstream", (tmp_path / f"{NAMES[0]}.pdf").read_bytes(), re.S
    )
    drawn = b"".join(zlib.decompressobj().decompress(stream) for stream in streams)
    assert b" Tj" in drawn or b" TJ" in drawn, "letters are letters"


def test_a_png_has_the_dots_of_print(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("PIL.Image")
    write_plates([run], {}, tmp_path, "png")
    with image.open(tmp_path / f"{NAMES[0]}.png") as picture:
        assert picture.width == pytest.approx(86 / 25.4 * 600, abs=2)
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert (0, 0x72, 0xB2) in colours and (255, 255, 255) in colours


def test_a_comparison_writes_its_own_drawings_and_those_of_each_run(
    run: Run, tmp_path: Path
) -> None:
    other = finish_run(RunStore(tmp_path / "home"), "model.heads=2")
    names = [plate.name for plate in plates_of([run, other])]
    assert names[0].startswith("comparison-01-") and "run-2-01-training-loss" in names
    assert len(set(names)) == len(names)


def test_a_folder_that_is_a_file_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="no folder"):
        write_plates([run], {}, tmp_path / "file", "svg")
