"""Planners that measure properties of planning instead of serving queries."""
