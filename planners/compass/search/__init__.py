"""Compass's search: which configuration is looked at next."""
