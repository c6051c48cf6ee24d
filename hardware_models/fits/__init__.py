"""Fits of the models of hardware to the tables; a simulation reads their results alone."""
