"""The readers of outside data: real seeds for each, how they are mutated, and what reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fuzzing import domains, seeds
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
        times: Inputs that it gets for each one of the slowest reader.
    """

    name: str
    file: str
    seeds: Callable[[Path], list[bytes]]
    mutate: Mutate
    read: Callable[[Path], object]
    times: int = 1


def flow(random: object, seed: bytes, other: bytes) -> bytes:
    """Change a YAML file as a tree, and write it in flow style, which is JSON."""
    import yaml

    return mutate_json(random, json.dumps(yaml.safe_load(seed)).encode(), other)  # type: ignore[arg-type]


TREE: Final = either(flow, YAML, both(flow, YAML))
CAN_WORDS: Final = mutate_bytes((b"can0 ", b"##", b"R", b"0x", b"20000000#", b"(", b")", b"T"))
_ALL: Final = (
    # CAN captures
    Reader("can candump", "capture.log", seeds.candump, CAN_WORDS, domains.can_capture, 2),
    Reader("can candump with ROAD labels", "capture_metadata.json", seeds.road, JSON, domains.road, 2),
    Reader("can csv", "capture.csv", seeds.can_csv, CAN_WORDS, domains.can_capture, 2),
    Reader("can hcrl", "capture.csv", seeds.hcrl, CAN_WORDS, domains.can_capture, 2),
    Reader("can otids", "capture.txt", seeds.otids, CAN_WORDS, domains.can_capture, 2),
    Reader("can parquet", "capture.parquet", seeds.can_parquet, mutate_parquet(seeds.can_columns),
           domains.can_capture),
    Reader("can asc", "capture.asc", seeds.asc, CAN_WORDS, domains.can_watched, 1),
    Reader("can blf", "capture.blf", seeds.blf, BYTES, domains.can_watched, 1),
    Reader("can trc", "capture.trc", seeds.trc, CAN_WORDS, domains.can_watched, 1),
    Reader("can mf4", "capture.mf4", seeds.mf4, BYTES, domains.can_watched, 1),
    # texts
    Reader("ner conll", "texts.conll", seeds.conll, BYTES, domains.texts, 3),
    Reader("ner jsonl", "texts.jsonl", seeds.jsonl, LINES, domains.texts, 3),
    Reader("ner json", "texts.json", seeds.json_texts, JSON, domains.texts, 2),
    Reader("ner plain text", "texts.txt", seeds.plain, BYTES, domains.texts, 2),
    Reader("ner parquet", "texts.parquet", seeds.ner_parquet, mutate_parquet(seeds.ner_columns),
           domains.texts),
    Reader("ner arrow folder", "state.json", seeds.arrow_state, JSON, domains.arrow_folder),
    Reader("ner encoder config", "config.json", seeds.encoder_config, JSON, domains.encoder_folder),
    Reader("ner tokenizer", "tokenizer.json", seeds.tokenizer, JSON, domains.tokenizer),
    # recordings
    Reader("neural npz", "session.npz", seeds.npz, either(mutate_npz, mutate_npz, BYTES), domains.session),
    Reader("neural hdf5", "session.h5", seeds.hdf5, either(mutate_hdf5, mutate_hdf5, BYTES),
           domains.session),
    Reader("neural nwb", "session.nwb", seeds.nwb, either(mutate_hdf5, BYTES), domains.session),
    Reader("neural yaml", "sessions.yaml", seeds.session_yaml, TREE, domains.session),
    # pictures
    Reader("multimodal png", "picture.png", seeds.image("PNG"), either(mutate_png, mutate_png, BYTES),
           domains.picture),
    Reader("multimodal jpeg", "picture.jpg", seeds.image("JPEG"), BYTES, domains.picture),
    Reader("multimodal webp", "picture.webp", seeds.image("WEBP"), BYTES, domains.picture),
    Reader("multimodal gif", "picture.gif", seeds.image("GIF"), BYTES, domains.picture),
    Reader("multimodal bmp", "picture.bmp", seeds.image("BMP"), BYTES, domains.picture),
    Reader("multimodal tiff", "picture.tiff", seeds.image("TIFF"), BYTES, domains.picture),
    Reader("multimodal captions csv", "captions.csv", seeds.captions_csv, BYTES, domains.captions, 2),
    Reader("multimodal captions jsonl", "captions.jsonl", seeds.captions_jsonl, LINES,
           domains.captions, 2),
    Reader("multimodal captions parquet", "captions.parquet", seeds.captions_parquet,
           mutate_parquet(seeds.caption_columns), domains.captions),
    Reader("multimodal shard", "shard.tar", seeds.shard, either(mutate_tar, mutate_tar, BYTES),
           domains.shard),
    # settings
    Reader("override", "typed.txt", seeds.overrides, YAML, domains.override, 2),
    Reader("settings yaml", "settings.yaml", seeds.settings_yaml, TREE, domains.settings),
    Reader("settings json", "config.json", seeds.settings_json, JSON, domains.settings),
    Reader("recipe", "recipe.yaml", seeds.recipe, TREE, domains.recipe),
    Reader("search space", "space.yaml", seeds.space, TREE, domains.space),
    Reader("study settings", "study.yaml", seeds.study_settings, TREE, domains.study_settings),
    Reader("split file", "split.json", seeds.split, JSON, domains.split, 3),
    # runs and studies
    Reader("run config", "config.json", seeds.run_config, JSON, domains.run_config),
    Reader("run record", "record.json", seeds.record, JSON, domains.record, 2),
    Reader("run inputs", "inputs.json", seeds.inputs, JSON, domains.inputs, 3),
    Reader("run metrics", "metrics.csv", seeds.metrics, BYTES, domains.metrics, 3),
    Reader("run manifest", "final.json", seeds.manifest, JSON, domains.manifest, 2),
    Reader("run result", "result.json", seeds.result, JSON, domains.result, 3),
    Reader("study record", "study.json", seeds.study_record, JSON, domains.study_record, 3),
    Reader("study trials", "trials.json", seeds.study_trials, JSON, domains.study_trials, 3),
    Reader("study journal", "study.journal", seeds.journal, LINES, domains.journal),
    # models
    Reader("weights", "model.safetensors", seeds.weights, either(mutate_safetensors, BYTES),
           domains.weights, 2),
    Reader("weights compared", "model.safetensors", seeds.weights, either(mutate_safetensors, BYTES),
           domains.weights_compared, 2),
    Reader("checkpoint", "step-0000000001.safetensors", seeds.checkpoint,
           either(mutate_safetensors, mutate_safetensors, BYTES), domains.checkpoint, 2),
    Reader("checkpoint marker", "step-0000000001.json", seeds.marker, JSON, domains.marker, 3),
    Reader("model card", "model.json", seeds.card, JSON, domains.card, 2),
    Reader("can preprocessing", "model.json", seeds.can_card, JSON, domains.can_card),
    Reader("ner preprocessing", "model.json", seeds.ner_card, JSON, domains.ner_card),
    Reader("neural preprocessing", "model.json", seeds.neural_card, JSON, domains.neural_card, 2),
    Reader("multimodal preprocessing", "model.json", seeds.multimodal_card, JSON,
           domains.multimodal_card, 2),
    Reader("export card", "model.onnx.json", seeds.export_card, JSON, domains.export_card, 3),
)  # fmt: skip
READERS: Final = {reader.name: reader for reader in _ALL}
