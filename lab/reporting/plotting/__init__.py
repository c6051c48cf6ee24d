"""The style of figures, and helpers for drawing and saving them."""
