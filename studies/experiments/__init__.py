"""Experiments that hold planners to their claims."""
