"""Predictions of a served pipeline: tables from observations, simulations from tables, errors."""
