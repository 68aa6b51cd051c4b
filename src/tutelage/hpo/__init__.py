"""Tuning: search spaces, studies, trials, cross-validation and refits; no torch."""
