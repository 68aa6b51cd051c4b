"""Readers of files of texts with entities: CoNLL, JSONL of annotation tools, Arrow, plain text."""
