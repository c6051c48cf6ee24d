"""Hydra groups that name everything a run is composed of; data only."""
