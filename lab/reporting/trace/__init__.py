"""A run as a trace: for Perfetto, and as a picture."""
