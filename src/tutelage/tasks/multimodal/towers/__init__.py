"""Image and text towers, their projections, and the pair of them."""
