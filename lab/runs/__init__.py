"""One run: set up, simulated, written to a directory, resumed."""
