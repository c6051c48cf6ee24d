"""Compass's search: decides which configuration is profiled next."""
