"""The commands `compass-sim` and `compass-lab`."""
