"""Fusion of finished runs: states, combiners behind one interface, cross-fitting, comparison."""
