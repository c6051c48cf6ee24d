"""Compass: a planner composed of a search, a scheduler, a runtime and their parts."""
