"""Measured tables of hardware and the pure functions that follow from them.

Nothing here simulates: every function maps names and numbers to numbers, reads its figures from
the CSV files in ``data`` (each row says where it comes from), and knows no other package.
Quantities are SI at the interfaces (seconds, bytes, bits per second) and USD per hour.
"""
