"""Planners from the literature, adapted to this simulator."""
