"""Losses that are made of other losses, or that look at both modalities at once."""
