"""Every fenced block of README and docs is tried, or says why not; how many is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from documents import (
    COMMANDS,
    INCLUDED,
    READ,
    ROOT,
    RUN,
    SHOWN,
    TYPED,
    UNTRIED,
    Block,
    blocks,
    check_data,
    check_included,
    check_shell,
    commands,
    every_block,
    pages,
)
from new_task import Digits
from tutelage.testing import offered

pytestmark = pytest.mark.system
RUNNER = """
import os, sys, runpy, traceback
for script in sys.argv[1:]:
    os.makedirs(script + ".folder")
    os.chdir(script + ".folder")
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException:
        print(script, traceback.format_exc(limit=-1), file=sys.stderr)
"""


@pytest.fixture(autouse=True, scope="module")
def task_of_the_example() -> Iterator[None]:
    """Pages speak of the example's task as of one that is installed."""
    with offered(Digits()):
        yield


def of(means: str) -> list[Block]:
    """The blocks that are tried by these means."""
    return [block for block in every_block() if block.means == means]


def scripts(found: list[Block], folder: Path) -> dict[str, str]:
    """Write each block to a file of its own; the file's path to the block's place."""
    written = {}
    for number, block in enumerate(found):
        path = folder / f"block_{number}.py"
        path.write_text(block.text, encoding="utf-8")
        written[str(path)] = block.place
    return written


def test_every_block_is_tried_or_says_beside_itself_why_not(
    record_property: Callable[[str, object], None],
) -> None:
    found = every_block()
    silent = [block.place for block in found if block.means == UNTRIED and not block.reason]
    assert not silent, f"nothing tries {silent}; *Not tried by a test: WHY.* beside it says why"
    untitled = [block.place for block in found if block.means == SHOWN and not block.title]
    assert not untitled, f'```text title="WHAT IT IS" is what {untitled} should begin with'
    counts = Counter(block.means for block in found)
    lines = sum(len(list(commands(block.text))) for block in found if block.means == COMMANDS)
    printed = [f"{len(found)} code blocks of {len(pages())} pages, {lines} commands among them:"]
    printed += [
        f"{counts[means]:5} {means}" for means in (COMMANDS, RUN, TYPED, READ, INCLUDED, SHOWN)
    ]
    printed += [f"{counts[UNTRIED]:5} {UNTRIED}"]
    record_property("printed", "\n".join(printed))
    assert sum(counts.values()) == len(found)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_files_of_a_page_are_what_the_package_takes(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    for block in found:
        if block.title and block.language != "text" and "/" not in block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
    wrong = [said for block in found if block.means == READ for said in check_data(block)]
    wrong += [said for block in found if block.means == INCLUDED for said in check_included(block)]
    wrong += [said for block in found if block.language == "sh" for said in check_shell(block)]
    assert not wrong, "\n".join(wrong)


def test_python_that_needs_no_run_runs(tmp_path: Path) -> None:
    written = scripts(of(RUN), tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, *written], capture_output=True, text=True, check=False
    )
    wrong = [f"{place}: {done.stderr}" for path, place in written.items() if path in done.stderr]
    assert not wrong, wrong[0]


def test_python_that_trains_is_typed_as_the_package_is(tmp_path: Path) -> None:
    written = scripts(of(TYPED), tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *written],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"MYPYPATH": "src"},
    )  # fmt: skip
    said = done.stdout + done.stderr
    for path, place in written.items():
        said = said.replace(path, place)
    assert done.returncode == 0, said


@pytest.mark.parametrize(
    ("language", "text", "word"),
    [
        ("sh", "tutelage train can training.max_epoch=5\n", "max_epochs"),
        ("sh", "tutelage train can mode=autoencoder model=gat mode.teacher=x\n", "teacher"),
        ("sh", "tutelage trian can\n", "trian"),
        ("sh", "tutelage runs list --tsak can\n", "--tsak"),
        ("sh", "tutelage evaluate @last training.max_epochs=5\n", "finished run"),
        ("sh", "candump can0 | tutelage watch @last evaluation.kk=2\n", "kk"),
        ("sh", "tutelage hpo ner \\\n  hpo.trails=3\n", "trails"),
        ("sh", "tutelage pipeline can-full studnet.model.hidden=16\n", "studnet"),
        ("sh", "make quikstart\n", "target"),
        ("sh", "pip install 'tutelage[cann]'\n", "cann"),
        ("sh", "nvidia-smi\n", "no reason"),
        ("yaml", "training: {max_epoch: 5}\n", "max_epoch"),
        ("yaml", "# tutelage hpo ner\nparameters: {model.droput: {values: [0.1]}}\n", "droput"),
        ("yaml", "task: can\nstages: {first: {prset: teacher}}\n", "prset"),
        ("csv", "a,b\n1\n", "length"),
        ("json", "{,}", "JSON"),
    ],
)
def test_a_rotten_block_is_told(language: str, text: str, word: str) -> None:
    block = Block(Path("page.md"), 1, language, "", text)
    wrong = check_shell(block) if language == "sh" else check_data(block)
    assert word in wrong[-1]


def test_a_part_that_is_not_there_is_told() -> None:
    for title, said in (("absent.py", "there is no"), ("new_task.py", "says something else")):
        block = Block(Path("page.md"), 1, "python", f"examples/{title}", "import nothing\n")
        (wrong,) = check_included(block)
        assert said in wrong


def test_a_reason_counts_where_a_person_sees_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    reason = "*Not tried by a test:\nit needs a GPU.*"
    page.write_text(
        f"A\n\n```sh\nmake\n```\n\n{reason}\n\n```sh\nls\n```\n\n<!-- x -->\n\n```\nx\n```\n",
        encoding="utf-8",
    )
    assert [block.reason for block in blocks(page)] == [True, True, False]
