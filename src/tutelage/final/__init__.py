"""The model to ship: selected, trained on all data, gated and exported; no torch."""
