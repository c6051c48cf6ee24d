"""Planners that measure something about planning rather than serve queries."""
