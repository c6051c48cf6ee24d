"""Recorded runs that are continued from any decision, and the regret of each decision."""
