"""A run: setting it up, simulating it, writing it to a directory, and resuming it."""
