"""Pictures with captions: read, checked, decoded once, grouped, split and augmented."""
