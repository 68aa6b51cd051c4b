"""Scores of predicted responses, beside ceilings and baselines."""
