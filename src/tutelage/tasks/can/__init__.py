"""CAN-bus intrusion detection: captures, graphs of windows, detectors."""
