"""Hostile inputs for every reader: real seeds, mutated in bytes and in structure."""
