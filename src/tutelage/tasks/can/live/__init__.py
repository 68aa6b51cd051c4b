"""Live detection: frames as they come, windows as they fill, a verdict for each."""
