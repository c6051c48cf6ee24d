"""Small compiled functions and memory helpers for the compiled code of `sim`."""
