"""Readers of texts with entities: CoNLL, CSV, JSONL of annotation tools, Arrow, plain text."""
