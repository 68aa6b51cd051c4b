"""The readers of outside data: real seeds for each, how they are mutated, and what reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fuzzing import domains
from fuzzing import seeds_can as can
from fuzzing import seeds_models as models
from fuzzing import seeds_pictures as pictures
from fuzzing import seeds_recordings as recordings
from fuzzing import seeds_runs as runs
from fuzzing import seeds_settings as settings
from fuzzing import seeds_texts as texts
from fuzzing.formats import (
    mutate_hdf5,
    mutate_npz,
    mutate_parquet,
    mutate_png,
    mutate_safetensors,
    mutate_tar,
)
from fuzzing.mutation import YAML_WORDS, Mutate, both, either, json_lines, mutate_bytes, mutate_json

BYTES: Final = mutate_bytes()
JSON: Final = either(mutate_json, mutate_json, BYTES, both(mutate_json, BYTES))
LINES: Final = either(json_lines, json_lines, BYTES, both(json_lines, BYTES))
YAML: Final = mutate_bytes(YAML_WORDS)
"""Seeds are block style, and flow style, which JSON is."""


@dataclass(frozen=True)
class Reader:
    """A reader of outside data.

    Args:
        name: What it is called.
        file: Name of the file that an input becomes.
        seeds: Makes files that it accepts, given a folder for scratch.
        mutate: Makes an input of one of them.
        read: Reads an input at its path, and all that hangs on it.
    """

    name: str
    file: str
    seeds: Callable[[Path], list[bytes]]
    mutate: Mutate
    read: Callable[[Path], object]


def flow(random: object, seed: bytes, other: bytes) -> bytes:
    """Change a YAML file as a tree, and write it in flow style, which is JSON."""
    import yaml

    return mutate_json(random, json.dumps(yaml.safe_load(seed)).encode(), other)  # type: ignore[arg-type]


TREE: Final = either(flow, YAML, both(flow, YAML))
CAN_WORDS: Final = mutate_bytes((b"can0 ", b"##", b"R", b"0x", b"20000000#", b"(", b")", b"T"))
_ALL: Final = (
    # CAN captures
    Reader("can candump", "capture.log", can.candump, CAN_WORDS, domains.can_capture),
    Reader("can candump with ROAD labels", "capture_metadata.json", can.road, JSON, domains.road),
    Reader("can csv", "capture.csv", can.can_csv, CAN_WORDS, domains.can_capture),
    Reader("can hcrl", "capture.csv", can.hcrl, CAN_WORDS, domains.can_capture),
    Reader("can otids", "capture.txt", can.otids, CAN_WORDS, domains.can_capture),
    Reader(
        "can parquet",
        "capture.parquet",
        can.can_parquet,
        mutate_parquet(can.can_columns),
        domains.can_capture,
    ),
    Reader("can asc", "capture.asc", can.asc, CAN_WORDS, domains.can_watched),
    Reader("can blf", "capture.blf", can.blf, BYTES, domains.can_watched),
    Reader("can trc", "capture.trc", can.trc, CAN_WORDS, domains.can_watched),
    Reader("can mf4", "capture.mf4", can.mf4, BYTES, domains.can_watched),
    # texts
    Reader("ner conll", "texts.conll", texts.conll, BYTES, domains.texts),
    Reader("ner jsonl", "texts.jsonl", texts.jsonl, LINES, domains.texts),
    Reader("ner json", "texts.json", texts.json_texts, JSON, domains.texts),
    Reader("ner csv", "texts.csv", texts.ner_csv, BYTES, domains.texts),
    Reader("ner plain text", "texts.txt", texts.plain, BYTES, domains.texts),
    Reader(
        "ner parquet",
        "texts.parquet",
        texts.ner_parquet,
        mutate_parquet(texts.ner_columns),
        domains.texts,
    ),
    Reader("ner arrow folder", "state.json", texts.arrow_state, JSON, domains.arrow_folder),
    Reader(
        "ner encoder config",
        "config.json",
        texts.encoder_config,
        JSON,
        domains.encoder_folder,
    ),
    Reader("ner tokenizer", "tokenizer.json", texts.tokenizer, JSON, domains.tokenizer),
    # recordings
    Reader(
        "neural npz",
        "session.npz",
        recordings.npz,
        either(mutate_npz, mutate_npz, BYTES),
        domains.session,
    ),
    Reader(
        "neural hdf5",
        "session.h5",
        recordings.hdf5,
        either(mutate_hdf5, mutate_hdf5, BYTES),
        domains.session,
    ),
    Reader(
        "neural nwb",
        "session.nwb",
        recordings.nwb,
        either(mutate_hdf5, BYTES),
        domains.session,
    ),
    Reader("neural yaml", "sessions.yaml", recordings.session_yaml, TREE, domains.session),
    # pictures
    Reader(
        "multimodal png",
        "picture.png",
        pictures.image("PNG"),
        either(mutate_png, mutate_png, BYTES),
        domains.picture,
    ),
    Reader("multimodal jpeg", "picture.jpg", pictures.image("JPEG"), BYTES, domains.picture),
    Reader("multimodal webp", "picture.webp", pictures.image("WEBP"), BYTES, domains.picture),
    Reader("multimodal gif", "picture.gif", pictures.image("GIF"), BYTES, domains.picture),
    Reader("multimodal bmp", "picture.bmp", pictures.image("BMP"), BYTES, domains.picture),
    Reader("multimodal tiff", "picture.tiff", pictures.image("TIFF"), BYTES, domains.picture),
    Reader(
        "multimodal captions csv",
        "captions.csv",
        pictures.captions_csv,
        BYTES,
        domains.captions,
    ),
    Reader(
        "multimodal captions jsonl",
        "captions.jsonl",
        pictures.captions_jsonl,
        LINES,
        domains.captions,
    ),
    Reader(
        "multimodal captions parquet",
        "captions.parquet",
        pictures.captions_parquet,
        mutate_parquet(pictures.caption_columns),
        domains.captions,
    ),
    Reader(
        "multimodal shard",
        "shard.tar",
        pictures.shard,
        either(mutate_tar, mutate_tar, BYTES),
        domains.shard,
    ),
    # settings
    Reader("override", "typed.txt", settings.overrides, YAML, domains.override),
    Reader("settings yaml", "settings.yaml", settings.settings_yaml, TREE, domains.settings),
    Reader("settings json", "config.json", settings.settings_json, JSON, domains.settings),
    Reader("recipe", "recipe.yaml", settings.recipe, TREE, domains.recipe),
    Reader("search space", "space.yaml", settings.space, TREE, domains.space),
    Reader("study settings", "study.yaml", settings.study_settings, TREE, domains.study_settings),
    Reader("split file", "split.json", settings.split, JSON, domains.split),
    # runs and studies
    Reader("run config", "config.json", runs.run_config, JSON, domains.run_config),
    Reader("run record", "record.json", runs.record, JSON, domains.record),
    Reader("run inputs", "inputs.json", runs.inputs, JSON, domains.inputs),
    Reader("run metrics", "metrics.csv", runs.metrics, BYTES, domains.metrics),
    Reader("run manifest", "final.json", runs.manifest, JSON, domains.manifest),
    Reader("run result", "result.json", runs.result, JSON, domains.result),
    Reader("study record", "study.json", runs.study_record, JSON, domains.study_record),
    Reader("study trials", "trials.json", runs.study_trials, JSON, domains.study_trials),
    Reader("study journal", "study.journal", runs.journal, LINES, domains.journal),
    # models
    Reader(
        "weights",
        "model.safetensors",
        models.weights,
        either(mutate_safetensors, BYTES),
        domains.weights,
    ),
    Reader(
        "weights compared",
        "model.safetensors",
        models.weights,
        either(mutate_safetensors, BYTES),
        domains.weights_compared,
    ),
    Reader(
        "checkpoint",
        "step-0000000001.safetensors",
        models.checkpoint,
        either(mutate_safetensors, mutate_safetensors, BYTES),
        domains.checkpoint,
    ),
    Reader("checkpoint marker", "step-0000000001.json", models.marker, JSON, domains.marker),
    Reader("model card", "model.json", models.card, JSON, domains.card),
    Reader("can preprocessing", "model.json", models.can_card, JSON, domains.can_card),
    Reader("ner preprocessing", "model.json", models.ner_card, JSON, domains.ner_card),
    Reader("neural preprocessing", "model.json", models.neural_card, JSON, domains.neural_card),
    Reader(
        "multimodal preprocessing",
        "model.json",
        models.multimodal_card,
        JSON,
        domains.multimodal_card,
    ),
    Reader("export card", "model.onnx.json", models.export_card, JSON, domains.export_card),
)
READERS: Final = {reader.name: reader for reader in _ALL}
