"""Studies of what the paper does not show."""
