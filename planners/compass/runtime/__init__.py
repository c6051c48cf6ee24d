"""Compass's runtime: monitors deployments, and replans queries that have drifted."""
