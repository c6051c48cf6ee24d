"""Measurements during a run: goodput, telemetry, and the tables of results."""
