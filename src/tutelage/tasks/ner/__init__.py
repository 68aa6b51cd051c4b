"""Token classification: texts, words, and the entities that models find in them."""
