"""Studies of questions that the paper does not answer."""
