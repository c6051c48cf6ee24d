"""Planners to learn from."""
