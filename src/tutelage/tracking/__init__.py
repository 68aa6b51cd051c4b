"""Runs mirrored to MLflow, from their records alone; no torch."""
