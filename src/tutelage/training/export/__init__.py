"""Trained models as files that other runtimes read, checked against what was trained."""
