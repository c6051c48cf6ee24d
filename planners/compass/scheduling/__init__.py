"""Compass's scheduler: which query gets which plan."""
