"""The block data plane, whose compiled recurrences simulate many requests at once, in arrays."""
