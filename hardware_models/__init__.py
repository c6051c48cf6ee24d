"""Measured tables of hardware, and pure functions that compute times and prices from them.

Nothing in this package simulates. Every function computes numbers from its arguments and from the
CSV files in ``data``, each row of which names its source. It imports no other package of this
project. Quantities are SI at the interfaces (seconds, bytes, bits per second) and USD per hour.
"""
