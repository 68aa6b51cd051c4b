"""The code's revision is told where git tracks the package, and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tutelage.core.revision import revision_of


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with one file, committed."""
    folder = tmp_path / "tree" / "package"
    folder.mkdir(parents=True)
    (folder / "code.py").write_text("one = 1\n")
    git(tmp_path / "tree", "init", "-q")
    git(folder, "add", "code.py")
    git(folder, "commit", "-qm", "first")
    return folder


def test_the_commit_is_that_of_the_working_tree(package: Path) -> None:
    revision = revision_of(package)
    assert revision is not None and not revision.dirty
    assert revision.commit == str(revision) == git(package, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_a_changed_or_a_new_file_makes_it_dirty(package: Path, name: str) -> None:
    (package / name).write_text("two = 2\n")
    revision = revision_of(package)
    assert revision is not None and revision.dirty and "changes" in str(revision)


def test_what_changed_outside_the_package_does_not_count(package: Path) -> None:
    (package.parent / "notes.txt").write_text("of another thing\n")
    revision = revision_of(package)
    assert revision is not None and not revision.dirty


def test_a_tree_that_merely_contains_the_package_says_nothing(package: Path) -> None:
    installed = package.parent / ".venv" / "package"
    installed.mkdir(parents=True)
    (installed / "code.py").write_text("one = 1\n")
    assert revision_of(installed) is None


def test_without_git_or_a_commit_there_is_no_revision(tmp_path: Path) -> None:
    assert revision_of(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("one = 1\n")
    git(tmp_path, "add", "code.py")
    assert revision_of(tmp_path) is None
