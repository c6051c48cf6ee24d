"""Planners from the literature, adapted to this world."""
