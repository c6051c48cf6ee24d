"""Fits of the hardware models to the tables; a simulation reads only their results."""
