"""Experts whose outputs are distributions, rates or similarities, blended by learned weights."""
