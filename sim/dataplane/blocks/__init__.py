"""The block data plane: compiled recurrences simulate many requests at once, stored in arrays."""
