"""A cache of runs for studies and what-if tools."""
