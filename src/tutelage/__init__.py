"""Tutelage: one typed, modular training system, from raw data to a traced model."""
