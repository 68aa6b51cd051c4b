"""The fenced blocks of README and docs, and what tries each of them without training anything."""

from __future__ import annotations

import csv
import json
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import typer.core
import typer.main

from tutelage.api import resolve
from tutelage.api.restoring import FREE
from tutelage.cli.app import app
from tutelage.core.config import RunConfig
from tutelage.core.errors import ConfigError
from tutelage.core.overrides import build_config, parse_override, parse_yaml
from tutelage.core.recipes import parse_recipe
from tutelage.core.store import RunStore
from tutelage.final.config import read_final_config
from tutelage.hpo.config import read_hpo_config, split_overrides
from tutelage.hpo.space import check_space, parse_space, read_space
from tutelage.losses import LOSSES
from tutelage.task import load_task, task_names
from tutelage.tasks.neural.sessions.described import ParentFile
from tutelage.training.planning import find_recipe, plan

ROOT = Path(__file__).parents[1]
COMMANDS = "commands, parsed by the real parser, with settings held against the real tasks"
RUN = "Python that is run"
TYPED = "Python that is type-checked, since it trains or needs a run"
READ = "YAML, JSON, TOML and CSV, read as the file that it is"
INCLUDED = "parts of files that tests run"
SHOWN = "output and folders, under a title that says what they are"
UNTRIED = "nothing tries them, for the reason that stands beside"

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1``` *$", re.MULTILINE | re.DOTALL)
_INFO = re.compile(r'(\w*)(?: +title="([^"]*)")?')
_REASON = re.compile(r"\*Not tried by a test: [^*]+\*")
_NEEDS_RUN = re.compile(r"\btutelage\.\w+\(|\b(open_backend|mirror|OnnxScorer)\(|OnnxScorer\.")
_VARIABLE = re.compile(r"[A-Z_]+=")
_SHELL = ("cd", "mkdir", "cp", "export", "source", "ls", "cat", "head", "seq", "echo")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        page: Its page, seen from the repository.
        line: Number of its first line.
        language: First word behind the fence.
        title: What the fence gives as title.
        text: Its lines, without the fence's indentation.
        reason: Whether the paragraph before or after it says why nothing tries it.
    """

    page: Path
    line: int
    language: str
    title: str
    text: str
    reason: bool = False

    @property
    def place(self) -> str:
        """Page and line, as an editor finds them."""
        return f"{self.page}:{self.line}"

    @property
    def task(self) -> str | None:
        """The task that its page is of, if it is of one."""
        of_one = {*self.page.parts, self.page.stem} & set(task_names())
        return of_one.pop() if len(of_one) == 1 else None

    @property
    def means(self) -> str:
        """What tries it."""
        if self.title.startswith(("examples/", "tests/")):
            return INCLUDED
        if self.language == "python":
            return TYPED if _NEEDS_RUN.search(self.text) else RUN
        if self.language in ("yaml", "json", "toml", "csv"):
            return READ
        if self.language == "text":
            return SHOWN
        return COMMANDS if self.language == "sh" and any(ours(self)) else UNTRIED


def pages() -> list[Path]:
    """README and every page of docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        indent, info, inside = match.groups()
        parts = _INFO.fullmatch(info.strip())
        before = text[: match.start()].rstrip().rpartition("\n\n")[2]
        after = text[match.end() :].lstrip().partition("\n\n")[0]
        said = any(_REASON.search(" ".join(near.split())) for near in (before, after))
        language, title = parts.groups() if parts else (info, "")
        lines = "".join(line.removeprefix(indent) for line in inside.splitlines(keepends=True))
        number = text[: match.start()].count("\n") + 1
        where = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
        found.append(Block(where, number, language, title or "", lines, said))
    return found


def every_block() -> list[Block]:
    """The fenced blocks of all pages."""
    return [block for page in pages() for block in blocks(page)]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block: lines that go on are joined, pipes parted."""
    whole = ""
    for line in text.splitlines():
        whole += line + "\n"
        lexer = shlex.shlex(whole.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # a quotation goes on
            continue
        if line.endswith("\\"):
            continue
        whole = ""
        yield from _parted(words)


def _parted(words: Iterable[str]) -> Iterator[list[str]]:
    """Commands between pipes, without variables before them and files that they write."""
    command: list[str] = []
    redirected = False
    for word in [*words, "|"]:
        if word in ("|", "&&", ";", "||"):
            if command:
                yield command
            command = []
        elif word in (">", ">>", "<"):
            redirected = True
        elif redirected:
            redirected = False
        elif command or not _VARIABLE.match(word):
            command.append(word)


def ours(block: Block) -> list[list[str]]:
    """The commands of a block that are ours to try."""
    return [words for words in commands(block.text) if words[0] in ("tutelage", "make", "pip")]


def check_shell(block: Block) -> list[str]:
    """What is wrong with a block of commands; in a folder that holds the page's titled files."""
    wrong = []
    for words in commands(block.text):
        said = " ".join(words)
        try:
            tried = _try_command(words, block.task)
        except Exception as error:  # whatever a rotten command raises is what is wrong with it
            wrong.append(f"{block.place}: {said}: {type(error).__name__}: {error}")
            continue
        if not tried and not block.reason:
            wrong.append(f"{block.place}: {said}: nothing tries it, and no reason stands beside")
    return wrong


def _try_command(words: list[str], task: str | None) -> bool:
    """Try a command as far as it goes without work; whether there was anything to try."""
    program, *rest = words
    if program == "tutelage":
        name, given = parse(rest)
        check_settings(name, given, task)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert [word for word in rest if "=" not in word][0] in targets, "there is no such target"
    elif program == "pip":
        _check_install(rest)
    elif program == "python":
        _check_script(rest)
    else:
        return program in _SHELL
    return True


@cache
def _whole_command() -> typer.core.TyperGroup:
    """The command line with all its commands."""
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    return command


def parse(arguments: list[str]) -> tuple[str, dict[str, object]]:
    """What the command line makes of arguments: the command's name, and its parameters."""
    command, name, context = _whole_command(), "tutelage", None
    path: list[str] = []
    while True:
        try:
            context = command.make_context(name, list(arguments), parent=context)
        except typer.Exit:  # --help
            return " ".join(path), {}
        if not hasattr(command, "resolve_command"):
            return " ".join(path), context.params
        left = [*context._protected_args, *context.args]
        name, command, arguments = command.resolve_command(context, left)
        path.append(name)


def check_settings(command: str, given: Mapping[str, object], task: str | None) -> None:
    """Hold what a command was given against the tasks, as the command would before any work."""
    named, store = str(given.get("task")), RunStore(Path("runs"))
    typed = tuple(map(str, given.get("overrides") or given.get("settings") or ()))  # type: ignore[call-overload]
    preset, file = given.get("preset"), given.get("config")
    if command in ("train", "audit", "folds", "config"):
        if given.get("task") is not None:
            resolve(named, typed, preset=preset, config=file or given.get("file"))  # type: ignore[arg-type]
    elif command == "hpo":
        own, typed = split_overrides(typed)
        study = read_hpo_config(own, file)  # type: ignore[arg-type]
        found, base = resolve(named, typed, preset=preset)  # type: ignore[arg-type]
        check_space(read_space(str(given.get("space") or study.space), found), found, base, typed)
    elif command == "pipeline":
        if given.get("recipe") is not None:
            plan(find_recipe(str(given["recipe"])), store, typed)
    elif command == "final":
        _some_task_takes(read_final_config(typed)[1], task)
    elif command == "losses" and given.get("name") is not None:
        LOSSES.get(str(given["name"]))
    elif command in ("evaluate", "predict", "watch", "export", "serve"):
        source = str(given.get("source"))
        typed = (source, *typed) if command == "predict" and "=" in source else typed
        for text in typed:
            assert parse_override(text)[0][0] in FREE, f"{text} can't change a finished run"
        _some_task_takes(typed, task)
    else:
        _some_task_takes(typed, task)


def _some_task_takes(typed: Iterable[str], task: str | None) -> None:
    """Build a configuration with these settings, of the page's task or of any.

    Raises:
        ConfigError: No task takes them.
    """
    wrong: list[ConfigError] = []
    for name in task_names() if task is None else [task]:
        config: type[RunConfig] = load_task(name).config_type
        try:
            build_config(config, [], typed)
        except ConfigError as error:
            wrong.append(error)
        else:
            return
    raise wrong[0]


def _check_install(arguments: list[str]) -> None:
    """Extras that are asked for exist, and so do files that are named."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    known = extras["optional-dependencies"]
    for before, word in zip(["", *arguments], arguments, strict=False):
        if before == "-c":
            assert (ROOT / word).exists(), f"there is no {word}"
        of_ours = re.fullmatch(r"(?:\.|tutelage|.*\.whl)\[(.*)\]", word)
        for extra in of_ours[1].split(",") if of_ours else ():
            assert extra in known, f"there is no extra {extra}"


def _check_script(arguments: list[str]) -> None:
    """A script of the repository, or one that the page shows, exists and knows its options."""
    name, *rest = arguments
    path = next((p for p in (Path(name), ROOT / name) if p.exists()), None)
    assert path is not None, f"there is no {name}"
    text = path.read_text(encoding="utf-8")
    for word in rest:
        if word.startswith("--"):
            assert f'"{word.partition("=")[0]}"' in text, f"{name} knows no {word}"


def check_included(block: Block) -> list[str]:
    """What is wrong with a block that is a part of a file that tests run: it stands in there."""
    file = ROOT / block.title
    if not file.is_file():
        return [f"{block.place}: there is no {block.title}"]
    if block.text.strip() not in file.read_text("utf-8"):
        return [f"{block.place}: {block.title} says something else"]
    return []


def check_data(block: Block) -> list[str]:
    """What is wrong with a block of data, read as the kind of file that it is."""
    try:
        if block.language == "csv":
            widths = {len(row) for row in csv.reader(block.text.splitlines())}
            assert len(widths) == 1, "its rows are not of one length"
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)
        else:
            _check_yaml(parse_yaml(block.text), block)
    except Exception as error:  # whatever a rotten file raises is what is wrong with it
        return [f"{block.place}: {type(error).__name__}: {error}"]
    return []


def _check_yaml(content: object, block: Block) -> None:
    """Read settings as a recipe, a search space, a session of recordings, or a run's own."""
    assert isinstance(content, dict), "it holds no settings"
    where, names = block.place, [block.task] if block.task else task_names()
    if "stages" in content:
        recipe = parse_recipe("shown", content, where)
        plan(recipe, RunStore(Path("runs")))
    elif "parameters" in content:
        space = parse_space("shown", content)
        task = load_task(_task_of_space(block))
        check_space(space, task, build_config(task.config_type, []))
    elif "sessions" in content or "file" in content:
        build_config(ParentFile, [content])
    else:
        _some_config(content, names)


def _task_of_space(block: Block) -> str:
    """The task that a space is of: its page's, or the one of a command in its first comment."""
    asked = re.search(r"tutelage hpo (\w+)", block.text)
    found = asked[1] if asked else block.task
    assert found is not None, "say what it is of in a comment: # tutelage hpo TASK …"
    return found


def _some_config(content: Mapping[str, object], names: Iterable[str]) -> None:
    wrong: list[ConfigError] = []
    for name in names:
        try:
            build_config(load_task(name).config_type, [content])
        except ConfigError as error:
            wrong.append(error)
        else:
            return
    raise wrong[0]
