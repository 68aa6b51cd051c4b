"""A tiny encoder in a folder, as `transformers` writes one, and a few texts."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForTokenClassification

from tutelage.tasks.ner.documents import Document, Span

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz.,"]
TOKENS += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
TOKENS += ["anna", "lives", "in", "berlin", "works", "at", "acme", "and", "likes", "paris"]


def save_tokenizer(folder: Path) -> None:
    """A BERT tokenizer of letters and a few words."""
    vocabulary = {token: i for i, token in enumerate(TOKENS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(TOKENS[:5])
    tokenizer.enable_truncation(8)  # as published folders do; it must not count
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))


def save_encoder(folder: Path, hidden: int = 16, layers: int = 2) -> Path:
    """A BERT with random weights that fits the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    config = BertConfig(
        vocab_size=len(TOKENS),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    torch.manual_seed(1)
    BertForTokenClassification(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def text(number: int, words: str, *entities: tuple[str, str]) -> Document:
    """A text with some of its words as entities: (words, label)."""
    spans = [Span(words.index(e), words.index(e) + len(e), label) for e, label in entities]
    return Document.of_text(f"t{number}", words, spans)


def few_texts() -> tuple[Document, ...]:
    """Texts of persons, places and firms."""
    return (
        text(0, "Anna lives in Berlin.", ("Anna", "person"), ("Berlin", "place")),
        text(1, "Otto works at Acme, and likes Paris.", ("Otto", "person"), ("Acme", "firm")),
        text(2, "in"),
        text(3, ""),
    )
