"""Compass's profiler: decides how many and which items are measured for a configuration."""
