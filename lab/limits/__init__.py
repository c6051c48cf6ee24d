"""Limits of wall-clock time on runs and on calls of planners."""
