"""Bayesian optimisation: Gaussian processes, encodings and acquisition functions."""
