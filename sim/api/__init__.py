"""The planning interface: everything that a planner may import from ``sim``."""
