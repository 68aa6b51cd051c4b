"""Real seeds of texts with entities, encoders and tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.formats import odd_column
from fuzzing.seeds_shared import table


def conll(folder: Path) -> list[bytes]:
    germeval = "# http://x [2009]\n1\tSchau\tO\tO\n2\tBerlin\tB-LOC\tO\n3\t!\tO\tO\n"
    bioes = "Ada S-PER\nin O\nNew B-LOC\nYork E-LOC\n\nx O\n"
    four = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\nPeter NNP I-NP I-PER\n"
    return [bioes.encode(), four.encode(), germeval.encode(), b"Paris\tcity\nis\tO\nbig\tO\n"]


def _records() -> list[object]:
    return [
        {"text": "Ada lives in Oslo", "label": [[0, 3, "person"], [13, 17, "place"]], "id": 1},
        {
            "text": "Ada",
            "spans": [{"start": 0, "end": 3, "label": "person"}],
            "answer": "accept",
            "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0}],
        },
        {
            "content": "Ada B",
            "annotation": [{"label": ["p"], "points": [{"start": 0, "end": 2, "text": "Ada"}]}],
        },
        {
            "data": {"text": "Ada"},
            "annotations": [{"result": [{"value": {"start": 0, "end": 3, "labels": ["p"]}}]}],
        },
        {"tokens": ["Ada", "lives"], "ner_tags": ["B-person", "O"]},
        {"text": "plain", "entities": []},
    ]


def jsonl(folder: Path) -> list[bytes]:
    return ["\n".join(map(json.dumps, _records())).encode() + b"\n"]


def json_texts(folder: Path) -> list[bytes]:
    return [json.dumps(_records()).encode(), json.dumps(_records()[3:4], indent=1).encode()]


def ner_csv(folder: Path) -> list[bytes]:
    spans = '"[[0, 3, ""person""], [13, 17, ""place""]]"'
    return [f"id,text,label\n1,Ada lives in Oslo,{spans}\n2,Nobody,\n".encode(), b"text\nAda\n"]


def plain(folder: Path) -> list[bytes]:
    return ["A line.\n\nAnother — with signs 😀\n東京 ไทย\n".encode()]


def ner_columns(random: Random) -> dict[str, Any]:
    import pyarrow as pa

    rows = random.choice((0, 1, 3, 3))
    tokens = pa.array([["Ada", "B"]] * rows, pa.list_(pa.string()))
    usual = {
        random.choice(("tokens", "text")): lambda: tokens,
        random.choice(("ner_tags", "tags", "label")): lambda: pa.array(
            [["B-p", "O"]] * rows, pa.list_(pa.string())
        ),
        "id": lambda: pa.array(list("abc")[:rows]),
    }
    return {name: odd_column(random, make, rows) for name, make in usual.items()}


_NAMES = ["O", "B-person", "I-person"]
_FEATURES = {
    "tokens": {"_type": "List"},
    "ner_tags": {"feature": {"_type": "ClassLabel", "names": _NAMES}},
}


def ner_parquet(folder: Path) -> list[bytes]:
    columns = {"tokens": [["Ada", "L"], ["x"]], "ner_tags": [[1, 2], [0]]}
    metadata = {b"huggingface": json.dumps({"info": {"features": _FEATURES}}).encode()}
    return [table(columns, metadata), table({"text": ["Ada", "B"]})]


def arrow_state(folder: Path) -> list[bytes]:
    import pyarrow as pa

    table = pa.table({"tokens": [["Ada", "L"], ["x"]], "ner_tags": [[1, 2], [0]]})
    for name, content in (
        ("data", table),
        ("indices", pa.table({"indices": pa.array([1, 0], pa.uint64())})),
    ):
        with (
            pa.OSFile(str(folder / f"{name}.arrow"), "wb") as file,
            pa.ipc.new_stream(file, content.schema) as writer,
        ):
            writer.write_table(content)
    (folder / "dataset_info.json").write_text(json.dumps({"features": _FEATURES}))
    state = {
        "_data_files": [{"filename": "data.arrow"}],
        "_indices_data_files": [{"filename": "indices.arrow"}],
    }
    return [json.dumps(state | {"_split": "train", "_format_type": None}).encode()]


def _tokenizer() -> str:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##n", "anna", "b"]
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.add_special_tokens(words[:5])
    return str(made.to_str())


def _encoder() -> dict[str, object]:
    return {
        "model_type": "bert",
        "vocab_size": 9,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "architectures": ["BertForTokenClassification"],
        "hidden_act": "gelu",
    }


def _encoder_folder(folder: Path) -> None:
    import torch

    from tutelage.training.tensorfile import write_tensors

    (folder / "tokenizer.json").write_text(_tokenizer())
    (folder / "config.json").write_text(json.dumps(_encoder()))
    write_tensors(folder / "model.safetensors", {"x": torch.zeros(1)}, {})


def encoder_config(folder: Path) -> list[bytes]:
    _encoder_folder(folder)
    return [json.dumps(_encoder()).encode()]


def tokenizer(folder: Path) -> list[bytes]:
    _encoder_folder(folder)
    return [_tokenizer().encode()]
