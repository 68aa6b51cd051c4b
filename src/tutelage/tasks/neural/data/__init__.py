"""Recordings as batches: splits, chunks, order, and the data module."""
