"""A tagger that answers over HTTP, by its exported file."""
