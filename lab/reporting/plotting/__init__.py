"""The style of figures, and helpers to draw and save them."""
