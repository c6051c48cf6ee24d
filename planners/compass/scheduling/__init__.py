"""Compass's scheduler: decides which query gets which plan."""
