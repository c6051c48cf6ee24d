"""Compass's profiler: which items of which configurations are measured."""
