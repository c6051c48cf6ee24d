"""Measured tables of hardware, and pure functions that compute times and prices from them.

This package does not simulate. Every function computes numbers from its arguments and from the CSV
files in ``data``. Each row of these files names its source. The package imports no other package of
this project. Quantities are SI at the interfaces (seconds, bytes, bits per second) and USD per
hour.
"""
