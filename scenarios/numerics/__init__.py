"""Distributions, and arithmetic in compiled functions."""
