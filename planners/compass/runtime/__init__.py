"""Compass's runtime: watching what is deployed, and replanning on drift."""
