"""Fusion of CAN detectors: experts' scores, the state of a window, modules of mode *fusion*."""
