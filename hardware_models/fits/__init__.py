"""Fitting of the hardware models to the tables; simulations read only the fitted coefficients."""
