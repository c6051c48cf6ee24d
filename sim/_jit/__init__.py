"""Small kernels and memory helpers for the compiled code of `sim`."""
