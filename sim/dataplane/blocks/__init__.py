"""The block data plane: whole windows of requests as arrays, moved by compiled recurrences."""
