"""Compass's runtime: monitoring of deployments, and replanning on drift."""
