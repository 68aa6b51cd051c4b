"""From the words of texts to the tokens of a network, once, as flat arrays."""
