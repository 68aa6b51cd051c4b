"""Networks that tag words."""
