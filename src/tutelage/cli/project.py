"""The files of a new project: settings, what data are read, and a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import fill
from typing import Final

import yaml

from tutelage.cli.config_options import Option, data_formats, data_layout, options
from tutelage.core.config import RunConfig
from tutelage.report.settings import as_text
from tutelage.task import Task

CONFIG, DATA, SCRIPT = "config.yaml", "data/README.md", "train.py"
SECTIONS: Final = ("mode", "model", "data", "training")
_OF_TRAINING: Final = ("seed", "max_epochs", "batch_size", "learning_rate", "weight_decay")
_LEFT_OUT: Final = ("root", "links", "split_file", "fold")
_WIDTH: Final = 100
_CONFIG = """\
# Settings of this project: tutelage train {task} --config {config}
# These are the defaults; change them, or leave lines out. `tutelage config {task}` lists every
# setting that there is.
"""
_ROOT = """\
  # Your files, as {data} says; until this line counts, embedded ones train:
  # {summary}.
  # root: data
"""
_SCRIPT = '''\
"""Train as {config} says, and show {headline}; settings may follow the script's name."""

import sys

import tutelage

run = tutelage.train("{task}", *sys.argv[1:], config="{config}")
for name, value in run.metrics.items():  # all are in the folder's record.json, and in report.html
    if name.endswith("/{headline}") and name.count("/") == 1:
        print(f"{{name:48}} {{value:.4f}}")
print("folder", run.path)
'''
_DATA = """\
# Data

Put your files in this folder and let the line `root: data` in `{config}` count. What a file is,
`{task}` sees by its content:

{formats}
{layout}
Then, in the folder of the project:

    tutelage audit {task} data.root=data
    tutelage train {task} --config {config}

`tutelage data {task}` tells the same, and every setting of the data.
"""


def project_files(task: Task[RunConfig]) -> dict[str, str]:
    """Return the content of each file of a new project, by its path in the folder."""
    names = {"task": task.name, "config": CONFIG}
    formats = data_formats(task.config_type).items()
    layout = data_layout(task.config_type)
    about = _DATA.format(
        **names,
        formats="\n".join(f"- {name}: {what}" for name, what in formats),
        layout=f"\n{layout}\n" if layout else "",
    )
    return {
        CONFIG: _config(task),
        DATA: about,
        SCRIPT: _SCRIPT.format(**names, headline=task.headline),
    }


def _config(task: Task[RunConfig]) -> str:
    """Return settings that are what they would be anyway, each beneath what it does."""
    fields = task.config_type.model_fields
    names = {
        part: fields[part].get_default(call_default_factory=True).name for part in ("mode", "model")
    }
    every = options(task.config_type)
    text = _CONFIG.format(task=task.name, config=CONFIG)
    for section in SECTIONS:
        text += f"{section}:\n"
        if section in names:
            text += f"  name: {names[section]}\n"
        if section == "data":
            text += _ROOT.format(data=DATA, summary=task.data_summary)
        when = ("", f"{section}={names.get(section)}")
        text += "".join(_lines(section, [o for o in every if o.when in when], every))
    return text


def _lines(section: str, listed: list[Option], every: list[Option]) -> Iterator[str]:
    """Comment and line of each setting of a section that is one value."""
    groups = {option.path.rpartition(".")[0] for option in every}
    for option in listed:
        head, _, name = option.path.partition(".")
        wanted = name in _OF_TRAINING if section == "training" else name not in _LEFT_OUT
        if head == section and wanted and "." not in name and option.path not in groups:
            sentence = re.split(r"\.\s+(?=[A-Z])", " ".join(option.help.split()))[0].rstrip(".")
            said = f"{sentence} ({option.values})." if option.values else f"{sentence}."
            yield fill(said, _WIDTH, initial_indent="  # ", subsequent_indent="  # ") + "\n"
            quiet = "# " if option.default is None else ""
            yield f"  {quiet}{name}: {_as_yaml(option.default)}\n"


def _as_yaml(value: object) -> str:
    if isinstance(value, (dict, list, str)):
        text = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
        return text.removesuffix("...\n").strip()
    return as_text(value)
